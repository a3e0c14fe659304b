"""What the double knows beside Git: the organisation, its teams, and the settings around its repositories.

Its methods are what the API's handlers use; tests read and change the fields, as people do in GitHub's pages.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.github_double.repository import Refusal, Repository

ENABLED: Final = {
    "has_issues": True,
    "has_projects": True,
    "has_wiki": True,
    "has_discussions": False,
    "has_downloads": True,
    "is_template": False,
    "allow_squash_merge": True,
    "allow_merge_commit": True,
    "allow_rebase_merge": True,
    "allow_auto_merge": False,
    "allow_update_branch": False,
    "allow_forking": False,
    "delete_branch_on_merge": False,
    "web_commit_signoff_required": False,
    "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
    "squash_merge_commit_message": "COMMIT_MESSAGES",
    "merge_commit_title": "MERGE_MESSAGE",
    "merge_commit_message": "PR_TITLE",
    "archived": False,
    "description": None,
    "homepage": None,
}
"""Settings of a repository, as GitHub makes one."""


@dataclass(kw_only=True)
class Team:
    """A team; its members are `member` or `maintainer`, by login as GitHub writes it."""

    id: int
    name: str
    description: str = ""
    privacy: str = "secret"
    notification_setting: str = "notifications_enabled"
    parent: int | None = None
    members: dict[str, str] = field(default_factory=dict)
    access: dict[int, str] = field(default_factory=dict)
    """Permission by the id of a repository."""

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9_]+", "-", self.name.lower())


@dataclass(kw_only=True)
class Environment:
    """A GitHub environment of a repository."""

    id: int
    name: str
    rules: dict[str, Any] = field(default_factory=dict)
    """As last given: reviewers, timer, which branches may deploy."""
    policies: dict[int, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Encrypted, with the time of the last change."""
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Settings:
    """Everything around one repository."""

    values: dict[str, Any] = field(default_factory=lambda: dict(ENABLED))
    visibility: str = "private"
    topics: list[str] = field(default_factory=list)
    workflow: dict[str, Any] = field(
        default_factory=lambda: {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
    )
    rulesets: dict[int, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Classic rules, by node id."""
    environments: dict[str, Environment] = field(default_factory=dict)

    def ruleset(self, name: str) -> dict[str, Any]:
        """The only one of that name."""
        (found,) = [each for each in self.rulesets.values() if each["name"] == name]
        return found

    def protect(self, repository: Repository) -> None:
        """Brings the repository's own idea of what takes pull requests only up to date."""
        included = (
            ref.removeprefix("refs/heads/")
            for each in self.rulesets.values()
            if each["enforcement"] == "active" and any(rule["type"] == "pull_request" for rule in each["rules"])
            for ref in each["conditions"]["ref_name"]["include"]
        )
        repository.protected = {*included, *(rule["pattern"] for rule in self.rules.values())}


@dataclass(kw_only=True)
class Organization:
    """The one organisation of the double."""

    login: str = "Acme-Corp"
    id: int = 77
    plan: str | None = "team"
    people: set[str] = field(default_factory=lambda: {"Ada", "Grace-H", "Acme-Bot"})
    """Everybody that GitHub knows, as they write themselves."""
    owners: set[str] = field(default_factory=set)
    tokens: dict[str, str] = field(default_factory=dict)
    """Whom a token belongs to, where that is not the first of the owners."""
    headers: dict[str, str] = field(default_factory=dict)
    """What GitHub says of the token in each answer."""
    default_branch: str = "main"
    """What GitHub names the first branch of a new repository."""
    creates: bool = True
    """Whether the token may make repositories and teams."""
    administers: bool = True
    """Whether the token administers the repositories that are there."""
    permissions: dict[str, str] = field(default_factory=dict)
    """Of the App's installation."""
    suspended: bool = False
    teams: dict[int, Team] = field(default_factory=dict)
    settings: dict[int, Settings] = field(default_factory=dict)
    """By the id of a repository; those that others made have GitHub's usual ones."""
    moved: dict[str, str] = field(default_factory=dict)
    """New by old full name of what was renamed: GitHub redirects (D: the double answers at once)."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(500))

    def settings_of(self, repository: Repository) -> Settings:
        return self.settings.setdefault(repository.id, Settings())

    def team(self, slug: str) -> Team:
        """Raises Refusal."""
        found = next((team for team in self.teams.values() if team.slug == slug.lower()), None)
        if found is None:
            raise Refusal(404, "Not Found")
        return found

    def add_team(self, name: str, **given: Any) -> Team:
        """Raises Refusal for a name that is taken."""
        team = Team(id=next(self.numbers), name=name, **given)
        if any(other.slug == team.slug for other in self.teams.values()):
            told = "Name must be unique for this org"
            raise Refusal(422, "Validation Failed", [{"resource": "Team", "code": "custom", "message": told}])
        self.teams[team.id] = team
        return team

    def person(self, login: str) -> str:
        """The login as its owner writes it. Raises Refusal."""
        found = next((name for name in self.people if name.lower() == login.lower()), None)
        if found is None:
            raise Refusal(404, "Not Found")
        return found

    def documented(self, path: str, repositories: dict[str, Repository]) -> str:
        """The documented form of a path by numbers, which the provider uses and GitHub describes only in prose."""
        if found := re.fullmatch(r"/organizations/(\d+)/team/(\d+)(/.*)?", path):
            team = self.teams.get(int(found[2]))
            return f"/orgs/{self.login}/teams/{team.slug if team else '-'}{found[3] or ''}"
        if found := re.fullmatch(r"/repositories/(\d+)(/.*)?", path):
            names = (one.full_name for one in repositories.values() if one.id == int(found[1]))
            return f"/repos/{next(names, '-/-')}{found[2] or ''}"
        return path
