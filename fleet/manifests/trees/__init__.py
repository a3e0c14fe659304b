"""Whole repositories as path → bytes, the same for whoever writes them: seed, sandbox, `python -m fleet render`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.manifests.dump import dump_files
from fleet.manifests.trees.apps import apps_files
from fleet.manifests.trees.documents import document_files
from fleet.manifests.trees.fleet import fleet_files
from fleet.manifests.trees.infra import infra_files
from fleet.model import Fleet, Repository, repositories_of

if TYPE_CHECKING:
    from fleet.manifests.trees.overlay import Files

__all__ = ["Tree", "tree", "trees"]

Tree = dict[str, bytes]
"""Content by path, below the root of a repository."""


def trees(fleet: Fleet) -> dict[str, Tree]:
    """The tree of every repository, by its name."""
    return {name: tree(fleet, repository) for name, repository in repositories_of(fleet).items()}


def tree(fleet: Fleet, repository: Repository) -> Tree:
    """Everything that the repository starts with."""
    return dump_files(_files(fleet, repository))


def _files(fleet: Fleet, repository: Repository) -> Files:
    files: dict[str, Callable[[Fleet, Repository], Files]] = {
        "fleet": fleet_files,
        "infra": infra_files,
        "apps": apps_files,
    }
    if render := files.get(repository.role):  # a repository of code has nothing that Flux reads
        yield from render(fleet, repository)
    yield from document_files(fleet, repository)
