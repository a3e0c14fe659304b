"""A repository of applications: the releases of each tenant, and what moves their versions."""

from __future__ import annotations

from fleet.manifests.trees.overlay import Files, release_files
from fleet.manifests.trees.updates import update_files, update_policy
from fleet.model import Fleet, Repository


def apps_files(fleet: Fleet, repository: Repository) -> Files:
    """`components/<name>` is what the tenant of that name gets; in the oci design it is published as an artifact."""
    for name in repository.workloads:
        tenant = fleet.tenants[name]
        yield from release_files(
            f"components/{name}",
            tenant.releases,
            fleet.overlays_of(tenant),
            design=fleet.design,
            policy=update_policy(repository, name),
        )
    yield from update_files(repository, {name: fleet.tenants[name] for name in repository.workloads})
