"""Which team may do what in a repository; access of other teams and people is left alone."""

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

    return [
        github.TeamRepository(
            site.scope.resource_name(f"team-{name}"),
            team_id=site.teams[name].id,
            repository=made.name,
            permission=permission,
            opts=attached(site.scope, made, depends_on=depends_on),
        )
        for name, permission in site.repository.access.items()
    ]
