"""A release: where its chart comes from, and the HelmRelease that installs it.

In the oci design the chart is an OCIRepository of its own, in the git design a version of a HelmRepository's. The
version carries the marker by which image automation finds it.
"""

from __future__ import annotations

from fleet import names
from fleet.manifests.dump import Commented
from fleet.manifests.mirror import access, rewriting
from fleet.manifests.objects import CHART_LAYER, RETRY, metadata
from fleet.model import Fleet, Release
from fleet.model.base import Manifest


def release_objects(fleet: Fleet, name: str, release: Release, *, policy: str) -> tuple[Manifest, ...]:
    """The chart's source and the HelmRelease; `policy` is `namespace:name` of the ImagePolicy of the version."""
    version = Commented(release.version, f'{{"$imagepolicy": "{policy}:tag"}}')
    if fleet.design == "git":
        chart = {"chart": _chart(name, release, version)}
        return _chart_repository(fleet, name, release), _helm_release(fleet, name, release, chart)
    reference = {"kind": "OCIRepository", "name": f"{name}-chart"}
    source = _chart_source(fleet, name, release, version)
    return source, _helm_release(fleet, name, release, {"chartRef": reference})


def values_patch(name: str, values: Manifest) -> Manifest:
    """Strategic merge that lays an environment's values over those of the base."""
    return {
        "apiVersion": names.HELM_API,
        "kind": "HelmRelease",
        "metadata": metadata(name),
        "spec": {"values": values},
    }


def local_release(fleet: Fleet, name: str, release: Release, *, source: str, folder: str) -> Manifest:
    """The HelmRelease of a chart in the Git repository `source`, made anew with every commit; `folder` is that of the
    component or tenant."""
    chart = {
        "chart": f"./{folder}/{release.chart.removeprefix('./')}",
        "interval": "12h",
        "reconcileStrategy": "Revision",
        "sourceRef": {"kind": "GitRepository", "name": source},
    }
    return _helm_release(fleet, name, release, {"chart": {"spec": chart}})


def _chart_source(fleet: Fleet, name: str, release: Release, version: str) -> Manifest:
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "OCIRepository",
        "metadata": metadata(f"{name}-chart"),
        "spec": {
            "interval": "1h",
            "url": release.chart,
            "layerSelector": CHART_LAYER,
            "ref": {"tag": version},
            **access(fleet, release.chart),
        },
    }


def _chart_repository(fleet: Fleet, name: str, release: Release) -> Manifest:
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "HelmRepository",
        "metadata": metadata(f"{name}-charts"),
        "spec": {
            "type": "oci",
            "interval": "12h",
            "url": release.chart.rpartition("/")[0],
            **access(fleet, release.chart),
        },
    }


def _chart(name: str, release: Release, version: str) -> Manifest:
    return {
        "spec": {
            "chart": release.chart.rpartition("/")[2],
            "version": version,
            "interval": "12h",
            "sourceRef": {"kind": "HelmRepository", "name": f"{name}-charts"},
        }
    }


def _helm_release(fleet: Fleet, name: str, release: Release, chart: Manifest) -> Manifest:
    spec: Manifest = {
        "interval": "1h",
        "timeout": "10m",
        "releaseName": name,
        **chart,
        "install": {"crds": "Create", "strategy": RETRY},
        "upgrade": {"crds": "CreateReplace", "strategy": RETRY},
        "driftDetection": _drift_detection(release),
    }
    spec |= rewriting(fleet, release)
    if release.test:
        spec["test"] = {"enable": True}
    if release.values:
        spec["values"] = release.values
    return {"apiVersion": names.HELM_API, "kind": "HelmRelease", "metadata": metadata(name), "spec": spec}


def _drift_detection(release: Release) -> Manifest:
    mode = {"mode": "enabled" if release.drift_detection else "disabled"}
    return mode | ({"ignore": list(release.drift_ignore)} if release.drift_ignore else {})
