"""The organisation's side of a fleet: teams and repositories, made by the one stack that fleet.yaml names for it.

observation.py  what is on GitHub and in the state already, and whether it can work; before anything is made
provider.py     signing in
teams.py        teams and their members
repository.py   one repository, step by step; the steps are `environments`, `seed`, `access` and `protection`
site.py         what these steps are made from

Left out on purpose: which actions may run in a repository, which is the organisation's policy; a repository that sets
its own is refused wherever that is stricter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pulumi

from fleet.config import Settings
from fleet.model import repositories_of
from fleet.resources.github import teams
from fleet.resources.github.observation import Observation, observe
from fleet.resources.github.provider import provider
from fleet.resources.github.repository import FleetRepository
from fleet.resources.github.site import Site, key_of
from fleet.resources.options import GitHubScope, children

__all__ = ["FleetRepository", "GitHub", "Observation", "observe"]


class GitHub(pulumi.ComponentResource):
    """The teams and repositories of a fleet."""

    repositories: Mapping[str, FleetRepository]

    def __init__(self, name: str, *, settings: Settings, found: Observation) -> None:
        super().__init__("fleet:index:GitHub", name)
        import pulumi_command as command

        fleet = settings.fleet
        signed_in = provider(settings, children(self), reached=found.reached)
        scope = GitHubScope(name=name, provider=signed_in, parent=self, held=frozenset(found.held))
        runner = command.Provider(name, opts=children(self))
        made = teams.make(scope, fleet, found.inventory)
        sites = {
            name: Site(
                settings=settings,
                repository=repository,
                tree=found.trees[name],
                live=found.live(fleet, repository),
                teams=made,
                scope=replace(scope, name=key_of(fleet, repository)),
                runner=runner,
            )
            for name, repository in repositories_of(fleet).items()
        }
        self.repositories = {name: FleetRepository(site.scope.name, site) for name, site in sites.items()}
        self.register_outputs({"repositories": {name: made.url for name, made in self.repositories.items()}})
