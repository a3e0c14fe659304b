"""What a stack exports: facts and onboarding text. A kubeconfig is exported as a secret, other secrets never."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.config import Settings
from fleet.manifests.instance import flux_instance
from fleet.resources import FluxCluster


def describe(settings: Settings, clusters: Mapping[str, FluxCluster]) -> dict[str, Any]:
    """The stack's outputs by name."""
    fleet = settings.fleet
    return {
        "environment": settings.stack.environment,
        "artifacts": f"oci://{fleet.artifacts}",
        "clusters": {name: _cluster(settings, name, cluster) for name, cluster in clusters.items()},
        "tenants": {name: {"team": tenant.team, "namespace": name} for name, tenant in fleet.tenants.items()},
        "kubeconfigs": {name: cluster.kubeconfig for name, cluster in clusters.items()},
        "onboarding": _onboarding(settings),
    }


def _cluster(settings: Settings, name: str, cluster: FluxCluster) -> dict[str, Any]:
    sync = flux_instance(settings.fleet, name)["spec"]["sync"]
    return {"instance": cluster.instance, "source": sync["url"], "revision": sync["ref"], "path": sync["path"]}


def _onboarding(settings: Settings) -> str:
    """What a new member of a tenant's team needs to know, in a few lines."""
    fleet, environment = settings.fleet, settings.fleet.environments[settings.stack.environment]
    apps = f"https://github.com/{fleet.owner}/{fleet.repositories.apps}"
    how = "a merge to main" if environment.tracks == "main" else "a release tag `<tenant>/vX.Y.Z`"
    return "\n".join(
        [
            f"{settings.stack.environment} runs on: {', '.join(settings.stack.clusters)}",
            f"Applications: {apps}, folder components/<tenant>; {how} brings a change here.",
            f"Tenants: {', '.join(f'{name} (team {tenant.team})' for name, tenant in fleet.tenants.items()) or 'none'}",
        ]
    )
