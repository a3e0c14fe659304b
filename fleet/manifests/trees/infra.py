"""The infra repository: platform components, their controllers before their custom resources."""

from __future__ import annotations

from fleet.manifests.dump import dump_files
from fleet.manifests.trees.overlay import Files, config_files, release_files
from fleet.model import Fleet


def infra_tree(fleet: Fleet) -> dict[str, bytes]:
    """Path → bytes of every file. `components/<name>` is what is published as the artifact of that component."""
    return dump_files(_files(fleet))


def _files(fleet: Fleet) -> Files:
    for name, component in fleet.components.items():
        yield from release_files(f"components/{name}/controllers", component.releases, fleet.overlays)
        yield from config_files(f"components/{name}/configs", component.configs, fleet.overlays)
