"""A release: where its chart comes from, and the HelmRelease that installs it."""

from __future__ import annotations

from fleet import names
from fleet.manifests.objects import CHART_LAYER, RETRY, metadata
from fleet.model import Release
from fleet.model.base import Manifest


def chart_source(name: str, release: Release) -> Manifest:
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "OCIRepository",
        "metadata": metadata(f"{name}-chart"),
        "spec": {
            "interval": "1h",
            "url": release.chart,
            "layerSelector": CHART_LAYER,
            "ref": {"tag": release.version},
        },
    }


def helm_release(name: str, release: Release) -> Manifest:
    spec: Manifest = {
        "interval": "1h",
        "timeout": "10m",
        "releaseName": name,
        "chartRef": {"kind": "OCIRepository", "name": f"{name}-chart"},
        "install": {"crds": "Create", "strategy": RETRY},
        "upgrade": {"crds": "CreateReplace", "strategy": RETRY},
        "driftDetection": {"mode": "enabled" if release.drift_detection else "disabled"},
    }
    if release.values:
        spec["values"] = release.values
    return {"apiVersion": names.HELM_API, "kind": "HelmRelease", "metadata": metadata(name), "spec": spec}


def values_patch(name: str, values: Manifest) -> Manifest:
    """Strategic merge that lays an environment's values over those of the base."""
    return {
        "apiVersion": names.HELM_API,
        "kind": "HelmRelease",
        "metadata": metadata(name),
        "spec": {"values": values},
    }
