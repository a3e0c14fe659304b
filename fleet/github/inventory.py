"""What an organisation has of a fleet already: the query that asks for it, and its answer read.

Called by `preflight`. The query asks for everything at once; what does not exist is null in its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Found = Mapping[str, Any]
"""The data of an answer, or a part of it."""


@dataclass(frozen=True, kw_only=True)
class LiveRepository:
    """A repository that exists."""

    visibility: str
    archived: bool
    administered: bool
    """Whether we may change its settings."""
    default_branch: str | None
    branches: frozenset[str]
    """Of `main` and `production`, those that exist."""
    topics: frozenset[str]
    rulesets: Mapping[str, int]
    """Numbers by name."""
    protections: frozenset[str]
    """Patterns of its classic rules."""
    environments: frozenset[str]
    policies: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Numbers by environment and pattern; known only where they were asked for."""
    variables: frozenset[str] = frozenset()
    """Of the bot's environment; known only where they were asked for."""


@dataclass(frozen=True, kw_only=True)
class LiveTeam:
    """A team that exists."""

    id: int
    name: str
    roles: Mapping[str, str]
    """`member` or `maintainer`, by login in lower case."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What exists, by the name that the fleet has for it."""

    repositories: Mapping[str, LiveRepository] = field(default_factory=dict)
    teams: Mapping[str, LiveTeam] = field(default_factory=dict)
    people: frozenset[str] = frozenset()
    """Logins that GitHub knows, of those that were asked for."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What to look for. All names have passed the model, so none of them can break out of its quotes."""

    repositories: Sequence[str]
    teams: Sequence[str]
    people: Sequence[str]

    @property
    def query(self) -> str:
        teams = (f'team{n}: team(slug: "{name}") {{ ...Team }}' for n, name in enumerate(self.teams))
        repositories = (
            f'repository{n}: repository(owner: $owner, name: "{name}", followRenames: false) {{ ...Repository }}'
            for n, name in enumerate(self.repositories)
        )
        people = (f'user{n}: user(login: "{login}") {{ login }}' for n, login in enumerate(self.people))
        fragments = [REPOSITORY, *([TEAM] if self.teams else [])]
        return "\n".join([HEAD, *teams, "}", *repositories, *people, "}", *fragments])

    def read(self, data: Found) -> Inventory:
        organization = data.get("organization") or {}
        people = (data.get(f"user{n}") for n, _ in enumerate(self.people))
        return Inventory(
            repositories={name: _repository(found) for name, found in _present(self.repositories, "repository", data)},
            teams={name: _team(found) for name, found in _present(self.teams, "team", organization)},
            people=frozenset(found["login"].lower() for found in people if found),
        )


HEAD: Final = """\
query Inventory($owner: String!) {
account: repositoryOwner(login: $owner) { __typename login }
organization(login: $owner) {
viewerCanCreateRepositories viewerCanCreateTeams"""
REPOSITORY: Final = """\
fragment Repository on Repository {
  visibility isArchived viewerPermission
  defaultBranchRef { name }
  main: ref(qualifiedName: "refs/heads/main") { name }
  production: ref(qualifiedName: "refs/heads/production") { name }
  repositoryTopics(first: 100) { nodes { topic { name } } }
  rulesets(first: 100, includeParents: false) { nodes { name databaseId } }
  branchProtectionRules(first: 100) { nodes { pattern } }
  environments(first: 100) { nodes { name } }
}"""
TEAM: Final = """\
fragment Team on Team {
  databaseId name
  members(membership: IMMEDIATE, first: 100) { edges { role node { login } } }
}"""


def _present(names: Iterable[str], alias: str, data: Found) -> Iterable[tuple[str, Any]]:
    found = ((name, data.get(f"{alias}{n}")) for n, name in enumerate(names))
    return ((name, item) for name, item in found if item)


def _repository(found: Found) -> LiveRepository:
    return LiveRepository(
        visibility=found["visibility"].lower(),
        archived=found["isArchived"],
        administered=found["viewerPermission"] == "ADMIN",
        default_branch=(found["defaultBranchRef"] or {}).get("name"),
        branches=frozenset(name for name in ("main", "production") if found[name]),
        topics=frozenset(node["topic"]["name"] for node in _nodes(found, "repositoryTopics")),
        rulesets={node["name"]: node["databaseId"] for node in _nodes(found, "rulesets")},
        protections=frozenset(node["pattern"] for node in _nodes(found, "branchProtectionRules")),
        environments=frozenset(node["name"] for node in _nodes(found, "environments")),
    )


def _team(found: Found) -> LiveTeam:
    edges = _nodes(found, "members", "edges")
    roles = {edge["node"]["login"].lower(): edge["role"].lower() for edge in edges}
    return LiveTeam(id=found["databaseId"], name=found["name"], roles=roles)


def _nodes(found: Found, connection: str, list_name: str = "nodes") -> list[Any]:
    """A connection is null for those who may not see it."""
    return [node for node in (found[connection] or {}).get(list_name) or [] if node]
