"""What the organisation adds to GraphQL: accounts, teams, settings of repositories, classic protection of branches.

Called by `graphql_api`, which knows Git. Who may pass a classic rule is always nobody: no test asks for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tests.github_double.organization import Settings, Team
from tests.github_double.repository import Repository

if TYPE_CHECKING:
    from tests.github_double.server import GitHubDouble

Found = dict[str, Any]

ALLOWANCES: Final = (
    "pushAllowances",
    "reviewDismissalAllowances",
    "bypassForcePushAllowances",
    "bypassPullRequestAllowances",
)

PAGE: Final = {"endCursor": None, "hasNextPage": False, "hasPreviousPage": False, "startCursor": None}
"""Everything is on the first page."""


class Typed(Exception):
    """An error with GitHub's kind of it."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def root(github: GitHubDouble) -> Mapping[str, Any]:
    """Fields of the top."""
    query = _Query(github)
    return {
        "repositoryOwner": query.repository_owner,
        "organization": query.organization,
        "user": query.user,
        "node": query.node,
        "createBranchProtectionRule": query.create_rule,
        "updateBranchProtectionRule": query.update_rule,
        "deleteBranchProtectionRule": query.delete_rule,
    }


def fields(github: GitHubDouble, repository: Repository) -> Found:
    """What a repository has beside its Git data."""
    settings = github.organization.settings_of(repository)
    return {
        "__typename": "Repository",
        "name": repository.name,
        "visibility": settings.visibility.upper(),
        "isArchived": settings.values["archived"],
        "viewerPermission": "ADMIN" if github.organization.administers else "WRITE",
        "defaultBranchRef": {"name": repository.default_branch} if repository.git.refs else None,
        "repositoryTopics": {"nodes": [{"topic": {"name": name}} for name in settings.topics]},
        "rulesets": {"nodes": [{"name": one["name"], "databaseId": n} for n, one in settings.rulesets.items()]},
        "branchProtectionRules": _rules(repository, settings),
        "environments": {"nodes": [{"name": name} for name in settings.environments]},
    }


class _Query:
    def __init__(self, github: GitHubDouble) -> None:
        self._github = github

    def repository_owner(self, _: Any, login: str) -> Found | None:
        organization = self._github.organization
        if login.lower() == organization.login.lower():
            return {"__typename": "Organization", "login": organization.login}
        person = next((name for name in organization.people if name.lower() == login.lower()), None)
        return {"__typename": "User", "login": person} if person else None

    def organization(self, _: Any, login: str) -> Found:
        organization = self._github.organization
        if login.lower() != organization.login.lower():
            raise Typed(f"Could not resolve to an Organization with the login of '{login}'.", "NOT_FOUND")

        def team(_: Any, slug: str) -> Found | None:
            return next((_team(team) for team in organization.teams.values() if team.slug == slug), None)

        rights = dict.fromkeys(("viewerCanCreateRepositories", "viewerCanCreateTeams"), organization.creates)
        return {"login": organization.login, "team": team, **rights}

    def user(self, _: Any, login: str) -> Found:
        for name in self._github.organization.people:
            if name.lower() == login.lower():
                return {"login": name}
        raise Typed(f"Could not resolve to a User with the login of '{login}'.", "NOT_FOUND")

    def node(self, _: Any, id: str) -> Found:  # noqa: A002 GitHub's name
        for repository in self._github.repositories.values():
            settings = self._github.organization.settings_of(repository)
            if id == repository.node_id:
                return {"id": id, **fields(self._github, repository)}
            if id in settings.rules:
                return _rule(repository, settings, id)
        raise Typed(f"Could not resolve to a node with the global id of '{id}'", "NOT_FOUND")

    # --- classic protection ------------------------------------------------------------------------------------------
    def create_rule(self, _: Any, input: Found) -> Found:  # noqa: A002 GitHub's name
        repository = next(one for one in self._github.repositories.values() if one.node_id == input["repositoryId"])
        settings = self._github.organization.settings_of(repository)
        if any(rule["pattern"] == input["pattern"] for rule in settings.rules.values()):
            raise Typed(f"Name already protected: {input['pattern']}", "UNPROCESSABLE")
        return self._put(repository, f"BPR_{next(self._github.organization.numbers)}", input)

    def update_rule(self, _: Any, input: Found) -> Found:  # noqa: A002 GitHub's name
        return self._put(*self._named(input), input)

    def delete_rule(self, _: Any, input: Found) -> Found:  # noqa: A002 GitHub's name
        repository, number = self._named(input)
        settings = self._github.organization.settings_of(repository)
        del settings.rules[number]
        settings.protect(repository)
        return {"clientMutationId": None}

    def _named(self, given: Found) -> tuple[Repository, str]:
        number = given["branchProtectionRuleId"]
        for repository in self._github.repositories.values():
            if number in self._github.organization.settings_of(repository).rules:
                return repository, number
        raise Typed(f"Could not resolve to a node with the global id of '{number}'", "NOT_FOUND")

    def _put(self, repository: Repository, number: str, given: Found) -> Found:
        settings = self._github.organization.settings_of(repository)
        rule = {key: value for key, value in given.items() if not key.endswith(("Id", "Ids", "ActorIds"))}
        settings.rules[number] = settings.rules.get(number, {}) | rule
        settings.protect(repository)
        return {"branchProtectionRule": {"id": number}}


def _team(team: Team) -> Found:
    def members(_: Any, **__: Any) -> Found:
        edges = [{"node": {"login": login}, "role": role.upper()} for login, role in team.members.items()]
        return {"edges": edges, "pageInfo": PAGE}

    return {"databaseId": team.id, "name": team.name, "members": members}


def _rules(repository: Repository, settings: Settings) -> Found:
    nodes = [_rule(repository, settings, number) for number in settings.rules]
    return {"nodes": nodes, "pageInfo": PAGE}


def _rule(repository: Repository, settings: Settings, number: str) -> Found:
    about = {"__typename": "BranchProtectionRule", "id": number}
    nobody: Found = {name: {"nodes": []} for name in ALLOWANCES}
    return {
        **about,
        **nobody,
        "repository": {"id": repository.node_id, "name": repository.name},
        **settings.rules[number],
    }
