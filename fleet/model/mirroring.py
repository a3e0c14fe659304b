"""A fleet as its clusters see it behind a mirror: every address of what others publish, replaced once.

Called by `fleet.config`; all manifests are made of what it returns. Images of charts keep their names, by which a
chart's output is rewritten. What fleet.yaml writes out itself (`configs`, `objects`, values) stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fleet import names
from fleet.model.catalog import merge
from fleet.model.distribution import VARIANTS
from fleet.model.fleet import Fleet
from fleet.model.flux import Flux
from fleet.model.tenant import Release, Workload

W = TypeVar("W", bound=Workload)


def mirrored(fleet: Fleet) -> Fleet:
    """The same fleet without a mirror, and where it is mirrored already."""
    if fleet.mirror is None:
        return fleet
    operator = fleet.operator
    changes: dict[str, Any] = {
        "operator": operator.model_copy(
            update={"chart": fleet.pulled_from(operator.chart), "image": fleet.pulled_from(operator.image)}
        ),
        "flux": _flux(fleet),
        "clusters": {
            name: cluster.model_copy(update={"flux": _moved(fleet, cluster.flux)})
            for name, cluster in fleet.clusters.items()
        },
        "components": _workloads(fleet, fleet.components),
        "tenants": _workloads(fleet, fleet.tenants),
        "sources": tuple(fleet.pulled_from(s) if s.startswith("oci://") else s for s in fleet.sources),
    }
    return fleet.model_copy(update=changes)


def _flux(fleet: Fleet) -> Flux:
    flux = fleet.flux
    moved = _moved(fleet, {"registry": flux.registry, "artifact": flux.artifact, "variant": flux.variant})
    if fleet.mirror and fleet.mirror.user:
        secrets = ("image_pull_secret", "artifact_pull_secret")
        moved |= {key: getattr(flux, key) or names.MIRROR_SECRET for key in secrets}
    return flux.model_copy(update=moved)


def _moved(fleet: Fleet, flux: Mapping[str, Any]) -> dict[str, Any]:
    """The section with its addresses replaced, in a cluster's own keys as well: these three are spelt alike."""
    moved = {key: fleet.pulled_from(flux[key]) for key in ("registry", "artifact") if flux.get(key)}
    if flux.get("registry") in VARIANTS and not flux.get("variant"):
        moved["variant"] = VARIANTS[flux["registry"]]
    return {**flux, **moved}


def _workloads(fleet: Fleet, workloads: Mapping[str, W]) -> dict[str, W]:
    return {
        name: workload.model_copy(
            update={"releases": {key: _release(fleet, release) for key, release in workload.releases.items()}}
        )
        for name, workload in workloads.items()
    }


def _release(fleet: Fleet, release: Release) -> Release:
    chart = release.chart if release.is_local else fleet.pulled_from(release.chart)
    added = fleet.mirror.filled(release.mirror_values) if fleet.mirror else {}
    return release.model_copy(update={"chart": chart, "values": merge(release.values, added), "mirror_values": {}})
