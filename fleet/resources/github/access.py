"""Who may do what in a repository: teams, and people in none; the access of others is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi

from fleet.resources.github.site import Site
from fleet.resources.options import attached

if TYPE_CHECKING:
    import pulumi_github as github


def make(site: Site, made: github.Repository, depends_on: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """Nobody gets in before `depends_on`."""
    import pulumi_github as github

    teams = [
        github.TeamRepository(
            site.scope.resource_name(f"team-{name}"),
            team_id=site.teams[name].id,
            repository=made.name,
            permission=permission,
            opts=attached(site.scope, made, depends_on=depends_on),
        )
        for name, permission in site.repository.access.items()
    ]
    people = [
        github.RepositoryCollaborator(
            site.scope.resource_name(f"person-{login.lower()}"),
            repository=made.name,
            username=login.lower(),  # as GitHub tells it; another case would differ on every run
            permission=permission,
            opts=attached(site.scope, made, depends_on=depends_on),
        )
        for login, permission in site.settings.fleet.github.collaborators.get(site.repository.name, {}).items()
    ]
    return [*teams, *people]
