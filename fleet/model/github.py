"""GitHub as fleet.yaml describes it: which stack makes the repositories, and how they are protected."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.base import GitHubOwner, Model, RepositoryName

Approvals = Annotated[int, Field(ge=0, le=6)]
"""Approving reviews of a pull request; GitHub allows at most six."""


class Reviews(Model):
    """Approvals that a merge needs, by how far it reaches."""

    main: Approvals = 1
    """For a merge that reaches only environments which track main."""
    production: Approvals = 2
    """For a merge that reaches every environment, or those which track releases."""


Permission = Literal["pull", "triage", "push", "maintain", "admin"]
"""What somebody may do in a repository, in GitHub's words."""


class GitHub(Model):
    """How the repositories are made and protected."""

    stack: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = None
    """The one stack that makes the repositories and everything around them; the others only use their names. Without
    it the repositories are made by others."""
    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]+)?$")] = "https://github.com"
    """Address of GitHub; that of a GitHub Enterprise Server has another host."""
    visibility: Literal["private", "internal", "public"] = "private"
    """Who can see the repositories."""
    protection: Literal["rulesets", "classic"] = "rulesets"
    """`rulesets`, or `classic` branch protection."""
    reviews: Reviews = Reviews()
    """Approvals that a pull request needs."""
    collaborators: dict[RepositoryName, dict[GitHubOwner, Permission]] = {}
    """People who are in no team, by repository and login; others' access is left alone."""
    archive_on_destroy: bool = True
    """Archive the repositories when the stack is destroyed, instead of leaving them as they are."""


class Bot(Model):
    """The account that Flux and the workflows act as."""

    name: GitHubOwner
    """GitHub login, also the author of automated commits."""
    email: str | None = None
    """Mail of automated commits; by default GitHub's no-reply address of the login."""

    @property
    def address(self) -> str:
        return self.email or f"{self.name}@users.noreply.github.com"


class Team(Model):
    """A GitHub team of the owner."""

    role: Literal["platform", "tenant"]
    """`platform` maintains fleet and infra, `tenant` works in the repository of its tenants."""
    members: tuple[GitHubOwner, ...] = ()
    """GitHub logins; without any, membership is left to others."""


class Chat(Model):
    """Where alerts are told to people."""

    type: Literal["slack", "msteams", "discord", "googlechat", "rocket", "generic"]
    """Kind of the service, in Flux's words."""
    channel: str | None = None
    """Channel within the service."""


class Alerts(Model):
    """What Flux reports of its work, besides the state on the cluster."""

    commit_status: bool | None = None
    """Report each revision as a commit status on GitHub; by default in the git design."""
    chat: Chat | None = None
    """Tell a chat; its address is the stack's secret `alertAddress`."""
    severity: Literal["info", "error"] = "error"
    """What the chat is told: `error` for failures only."""


Use = Literal["github", "platform", "tenants", "update", "status", "registry", "mirror"]
"""What a credential is for; `fleet.model.credential` says what each must be allowed to do."""


class AppInstallation(Model):
    """A GitHub App installed in the organisation; its private key is a secret of the stack."""

    id: Annotated[int, Field(gt=0)]
    """The App's id."""
    installation: Annotated[int, Field(gt=0)]
    """Id of its installation in the organisation."""
