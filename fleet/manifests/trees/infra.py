"""The infra repository: components, their controllers before their custom resources, and what moves versions."""

from __future__ import annotations

from fleet.manifests.delivery import INFRA
from fleet.manifests.trees.overlay import Files, config_parts, layers
from fleet.manifests.trees.sops import sops_file
from fleet.manifests.trees.workloads import folder_of, local_charts, release_parts, update_files
from fleet.model import Fleet, Repository


def infra_files(fleet: Fleet, repository: Repository) -> Files:
    for name, component in fleet.components.items():
        folder, environments = folder_of(name), fleet.overlays_of(component)
        yield from layers(
            f"{folder}/controllers", release_parts(fleet, repository, name, component, INFRA), environments
        )
        yield from layers(f"{folder}/configs", config_parts(component.configs), environments, component.config_maps)
        yield from local_charts(fleet, name, component)
    yield from update_files(fleet, fleet.components)
    yield from sops_file(fleet.components)
