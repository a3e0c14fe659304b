"""The infra repository: platform components, their controllers before their custom resources."""

from __future__ import annotations

from fleet.manifests.trees.overlay import Files, config_files, release_files
from fleet.manifests.trees.updates import update_files, update_policy
from fleet.model import Fleet, Repository


def infra_files(fleet: Fleet, repository: Repository) -> Files:
    """`components/<name>` is what delivers the component of that name; in the oci design, an artifact of its own."""
    for name, component in fleet.components.items():
        folder, environments = f"components/{name}", fleet.overlays_of(component)
        policy = update_policy(repository, name)
        yield from release_files(
            f"{folder}/controllers", component.releases, environments, design=fleet.design, policy=policy
        )
        yield from config_files(f"{folder}/configs", component.configs, component.config_maps, environments)
    yield from update_files(repository, fleet.components)
