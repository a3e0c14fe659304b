"""The apps repository: the releases of each tenant."""

from __future__ import annotations

from fleet.manifests.dump import dump_files
from fleet.manifests.trees.overlay import Files, release_files
from fleet.model import Fleet


def apps_tree(fleet: Fleet) -> dict[str, bytes]:
    """Path → bytes of every file. `components/<name>` is what is published as the artifact of that tenant."""
    return dump_files(_files(fleet))


def _files(fleet: Fleet) -> Files:
    for name, tenant in fleet.tenants.items():
        yield from release_files(f"components/{name}", tenant.releases, fleet.overlays)
