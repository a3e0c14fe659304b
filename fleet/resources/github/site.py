"""What the resources around one repository are made from; every module of this package takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pulumi

from fleet.config import Settings
from fleet.github.inventory import LiveRepository
from fleet.manifests.trees import Tree
from fleet.model import Fleet, Repository
from fleet.resources.options import GitHubScope

if TYPE_CHECKING:
    import pulumi_github as github


def key_of(fleet: Fleet, repository: Repository) -> str:
    """Name of a repository within the stack. The shared ones keep theirs when they are renamed, and are renamed then;
    by another name they would be made anew."""
    shared = repository.name in fleet.repositories.model_dump().values()
    return repository.role if shared else f"own-{repository.name}"


def workflow_lines(tree: Tree) -> Iterator[str]:
    """Of all workflows in a tree."""
    for path, content in tree.items():
        if path.startswith(".github/workflows/"):
            yield from content.decode().splitlines()


@dataclass(frozen=True, kw_only=True)
class Site:
    """One repository of the fleet."""

    settings: Settings
    repository: Repository
    tree: Tree
    """What it is seeded with."""
    live: LiveRepository | None
    """What was found of it before the run."""
    teams: Mapping[str, github.Team]
    scope: GitHubScope
    runner: pulumi.ProviderResource
    """The provider of commands."""

    @property
    def commands(self) -> GitHubScope:
        """Where commands belong."""
        return replace(self.scope, provider=self.runner)

    def below(self, parent: pulumi.Resource) -> Site:
        """The same, with resources that belong to `parent`."""
        return replace(self, scope=replace(self.scope, parent=parent))

    @property
    def has_code_owners(self) -> bool:
        return any(path.rpartition("/")[2] == "CODEOWNERS" for path in self.tree)

    @property
    def opens_pull_requests(self) -> bool:
        """Whether one of its workflows asks for that with the token that GitHub gives it."""
        return any("pull-requests: write" in line for line in workflow_lines(self.tree))
