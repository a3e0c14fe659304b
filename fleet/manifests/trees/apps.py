"""A repository of applications: the releases and objects of each tenant, and what moves versions."""

from __future__ import annotations

from fleet.manifests.delivery import APPS
from fleet.manifests.trees.overlay import Files, config_parts, layers
from fleet.manifests.trees.sops import sops_file
from fleet.manifests.trees.workloads import folder_of, local_charts, release_parts, update_files
from fleet.model import Fleet, Repository


def apps_files(fleet: Fleet, repository: Repository) -> Files:
    tenants = {name: fleet.tenants[name] for name in repository.workloads}
    for name, tenant in tenants.items():
        parts = [*release_parts(fleet, repository, name, tenant, APPS), *config_parts(tenant.objects)]
        yield from layers(folder_of(name), parts, fleet.overlays_of(tenant))
        yield from local_charts(fleet, name, tenant)
    yield from update_files(fleet, tenants)
    yield from sops_file(tenants)
