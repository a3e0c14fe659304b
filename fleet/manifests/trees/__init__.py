"""Whole repositories as path → bytes, the same for whoever writes them: seed, sandbox, `python -m fleet render`."""

from fleet.manifests.trees.apps import apps_tree
from fleet.manifests.trees.fleet import fleet_tree
from fleet.manifests.trees.infra import infra_tree

__all__ = ["apps_tree", "fleet_tree", "infra_tree"]
