"""What a stack exports: facts and onboarding text. A kubeconfig is exported as a secret, other secrets never."""

from __future__ import annotations

from typing import Any

from fleet.config import Settings
from fleet.manifests.instance import flux_instance
from fleet.resources import Deployment, FluxCluster


def describe(settings: Settings, made: Deployment) -> dict[str, Any]:
    """The stack's outputs by name."""
    fleet = settings.fleet
    return {
        "environment": settings.stack.environment,
        "design": fleet.design,
        "delivers_from": f"oci://{fleet.artifacts}" if fleet.design == "oci" else fleet.home,
        "clusters": {name: _cluster(settings, name, cluster) for name, cluster in made.clusters.items()},
        "tenants": {name: _tenant(settings, name) for name in _tenants(settings)},
        "kubeconfigs": {name: cluster.kubeconfig for name, cluster in made.clusters.items()},
        "onboarding": _onboarding(settings),
        **({"repositories": _repositories(made)} if made.repositories else {}),
        **({"pull_requests": dict(made.proposals)} if made.proposals else {}),
    }


def _repositories(made: Deployment) -> dict[str, Any]:
    """Where each is, and what became of its content: that may be a pull request to look at."""
    return {name: {"url": found.url, "content": found.content} for name, found in made.repositories.items()}


def _cluster(settings: Settings, name: str, cluster: FluxCluster) -> dict[str, Any]:
    sync = flux_instance(settings.fleet, name)["spec"]["sync"]
    return {"instance": cluster.instance, "source": sync["url"], "revision": sync["ref"], "path": sync["path"]}


def _tenants(settings: Settings) -> list[str]:
    """Names of the tenants of this environment."""
    fleet, environment = settings.fleet, settings.stack.environment
    return [name for name, tenant in fleet.tenants.items() if environment in fleet.overlays_of(tenant)]


def _tenant(settings: Settings, name: str) -> dict[str, str]:
    fleet = settings.fleet
    tenant = fleet.tenants[name]
    repository = f"{fleet.home}/{fleet.repository_of(tenant)}"
    return {"team": tenant.team, "namespace": name, "repository": repository, "folder": f"components/{name}"}


def _onboarding(settings: Settings) -> str:
    """What a new member of a tenant's team needs to know, in a few lines."""
    environment = settings.stack.environment
    tenants = {name: _tenant(settings, name) for name in _tenants(settings)}
    lines = [
        f"{environment} runs on: {', '.join(settings.stack.clusters)}",
        f"{_promotion(settings)} brings a change of a tenant's folder here.",
        *(f"{name}: team {t['team']}, {t['repository']}, folder {t['folder']}" for name, t in tenants.items()),
    ]
    return "\n".join(lines)


def _promotion(settings: Settings) -> str:
    if settings.fleet.environments[settings.stack.environment].tracks == "main":
        return "A merge to main"
    tag = "A release tag `<tenant>/vX.Y.Z`"
    return tag if settings.fleet.design == "oci" else "A merge of main to production"
