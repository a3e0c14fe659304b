"""The teams of the organisation: those of fleet.yaml, and one of the bot alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fleet.github.inventory import Inventory
from fleet.model import Fleet
from fleet.model.repository import BOTS
from fleet.resources.options import GitHubScope, precious

if TYPE_CHECKING:
    import pulumi_github as github

    Teams = Mapping[str, github.Team]

PEOPLES = ("description", "ldapDn", "notificationSetting", "parentTeamId", "parentTeamReadId", "parentTeamReadSlug")
"""Settings of a team that are people's own, among them its place below another team."""


def members_of(fleet: Fleet) -> dict[str, tuple[str, ...]]:
    """Logins by team, in lower case, as GitHub tells them; without any, membership is left to others."""
    bots = {BOTS: (fleet.bot.name,)} if fleet.has_bot_account else {}
    named = {name: team.members for name, team in fleet.teams.items()} | bots
    return {name: tuple(sorted({login.lower() for login in logins})) for name, logins in named.items()}


def make(scope: GitHubScope, fleet: Fleet, inventory: Inventory) -> Teams:
    """The teams by name; their names are their slugs."""
    made = {}
    for name, logins in members_of(fleet).items():
        made[name] = _team(scope, name, inventory)
        if logins:
            _members(scope, name, made[name], logins, inventory)
    return made


def _team(scope: GitHubScope, name: str, inventory: Inventory) -> github.Team:
    import pulumi_github as github

    live, own = inventory.teams.get(name), f"team-{name}"
    identity = scope.taken_over(github.Team, own, str(live.id) if live else None)
    return github.Team(
        scope.resource_name(own),
        name=live.name if live else name,
        description="The Flux bot" if name == BOTS else "",
        privacy="closed",
        opts=precious(scope, identity=identity, left=PEOPLES),
    )


def _members(scope: GitHubScope, name: str, team: github.Team, logins: tuple[str, ...], inventory: Inventory) -> None:
    """Exactly these: who is in the bot's team passes protection. Who maintains the team is left to people, and the
    owners of the organisation always do."""
    import pulumi_github as github

    live, own = inventory.teams.get(name), f"members-{name}"
    roles = live.roles if live else {}
    github.TeamMembers(
        scope.resource_name(own),
        team_slug=team.slug,
        members=[{"username": login, "role": roles.get(login, "member")} for login in logins],
        opts=precious(scope, identity=scope.taken_over(github.TeamMembers, own, str(live.id) if live else None)),
    )
