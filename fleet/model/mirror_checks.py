"""Faults of sense in a fleet with a mirror: what is pulled must be known beforehand. Called by `fleet.model.checks`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from fleet.errors import Problem, did_you_mean
from fleet.model.distribution import RELEASES
from fleet.model.fleet import Fleet


def check_mirror(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    if fleet.mirror:
        yield from _releases_of_flux(fleet, source)
        yield from _images(fleet, source)


def _releases_of_flux(fleet: Fleet, source: str) -> Iterator[Problem]:
    """Told once where the fleet's own section has the fault; what is wrong otherwise is told elsewhere."""
    told = set()
    for name, cluster in fleet.clusters.items():
        try:
            version = fleet.flux_of(name).version
        except ValidationError:
            continue
        path = f"{source}.clusters.{name}.flux.version" if "version" in cluster.flux else f"{source}.flux.version"
        if version not in RELEASES and path not in told:
            told.add(path)
            message = f"`{version}` is no release whose images are known, which a mirror needs"
            yield Problem(path, message, did_you_mean(version, RELEASES))


def _images(fleet: Fleet, source: str) -> Iterator[Problem]:
    for section, workloads in (("components", fleet.components), ("tenants", fleet.tenants)):
        for name, workload in workloads.items():
            for release, spec in workload.releases.items():
                if spec.images is None and not spec.is_local:
                    path = f"{source}.{section}.{name}.releases.{release}.images"
                    hint = "list them as the chart writes them; `images: []` if it has none"
                    yield Problem(path, "with a mirror, the images of the chart must be known", hint)
