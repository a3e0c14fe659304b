"""The credentials that a stack needs, each with the least that it must be allowed to do.

Named by the secret that holds it in the stack's configuration: `<name>Token`, or `<name>AppKey` for a GitHub App.
Sources: GitHub's documentation of fine-grained permissions; GHCR knows classic tokens only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fleet import names
from fleet.model.github import Use
from fleet.model.repository import repositories_of

if TYPE_CHECKING:
    from fleet.model.fleet import Fleet
    from fleet.model.mirror import Mirror

Access = Literal["read", "write"]


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A token, or the key of a GitHub App."""

    name: Use
    purpose: str
    auth: Literal["token", "app"]
    secret: str | None
    """Secret in flux-system that holds it on the clusters of the stack; None where no cluster gets it."""
    permissions: Mapping[str, Access]
    """GitHub's fine-grained permissions as its settings page names them; for the registry, a classic token's scope."""
    repositories: tuple[str, ...]
    """Repositories it must reach; empty for those of the whole organisation."""

    @property
    def key(self) -> str:
        """Key of the stack's configuration that holds it."""
        return f"{self.name}Token" if self.auth == "token" else f"{self.name}AppKey"

    @property
    def is_of_a_registry(self) -> bool:
        """Whether it is no credential of GitHub's API; its permissions are then scopes, which say read or write."""
        return self.name in ("registry", "mirror")


def credentials_of(fleet: Fleet, environment: str, stack: str) -> tuple[Credential, ...]:
    """What the stack of an environment needs, in the order in which it is used."""
    makes_repositories = fleet.github.stack == stack
    found = [*([_admin(fleet, environment)] if makes_repositories else []), *_cluster(fleet, environment)]
    known = {credential.name for credential in found}
    writes = any(repository.bot_writes for repository in repositories_of(fleet).values())
    if makes_repositories and writes and "update" not in known:
        found.append(_update(fleet, environment, secret=None))
    return tuple(found)


def credentials_on(fleet: Fleet, cluster: str) -> tuple[Credential, ...]:
    """Those of its environment that lie on a cluster."""
    writes = fleet.automates(cluster) or fleet.environment_of(cluster).role == "update"
    needless = set() if writes else {names.GIT_SECRET}  # another cluster of the environment runs image automation
    if not fleet.pulls_by_token(cluster):
        needless.add(names.REGISTRY_SECRET)
    found = _cluster(fleet, fleet.clusters[cluster].environment)
    return tuple(credential for credential in found if credential.secret not in needless)


def _cluster(fleet: Fleet, environment: str) -> list[Credential]:
    """What the clusters of an environment need, taken together."""
    found = []
    if any(fleet.pulls_by_token(cluster) for cluster in fleet.clusters_in(environment)):
        found.append(_registry(fleet))
    if fleet.mirror and fleet.mirror.user:
        found.append(_mirror(fleet.mirror))
    if fleet.design == "git":
        found += [_platform(fleet, environment), _tenants(fleet, environment)]
    if environment in fleet.updating or environment == fleet.automating:
        found.append(_update(fleet, environment, secret=names.GIT_SECRET))
    if fleet.design == "oci" and fleet.reports_commits and environment not in fleet.updating:
        found.append(_status(fleet, environment))
    return found


def _admin(fleet: Fleet, environment: str) -> Credential:
    permissions: dict[str, Access] = {
        "Administration": "write",
        "Actions": "write",
        "Contents": "write",
        "Environments": "write",
        "Members": "write",
        "Metadata": "read",
        "Pull requests": "write",
        "Secrets": "write",
        "Variables": "write",
        "Workflows": "write",
    }
    return Credential(
        name="github",
        purpose="the program makes the repositories and everything around them",
        auth=fleet.environments[environment].auth,
        secret=None,
        permissions=permissions,
        repositories=(),
    )


def _registry(fleet: Fleet) -> Credential:
    """A personal access token in every case: container registries know no App."""
    return Credential(
        name="registry",
        purpose="Flux pulls the artifacts",
        auth="token",
        secret=names.REGISTRY_SECRET,
        permissions={"read:packages": "read"},
        repositories=_named(fleet, "fleet", "infra", "apps"),
    )


def _mirror(mirror: Mirror) -> Credential:
    """Pods pull with it, so that each namespace has a copy: it must be able to read and no more."""
    return Credential(
        name="mirror",
        purpose=f"clusters pull from the mirror as `{mirror.user}`; a copy lies in each namespace",
        auth="token",
        secret=names.MIRROR_SECRET,
        permissions={"pull": "read"},
        repositories=mirror.servers,
    )


def _platform(fleet: Fleet, environment: str) -> Credential:
    return Credential(
        name="platform",
        purpose="Flux reads what the platform team delivers",
        auth=fleet.environments[environment].auth,
        secret=names.SYNC,
        permissions=_reading(fleet),
        repositories=_named(fleet, "fleet", "infra"),
    )


def _tenants(fleet: Fleet, environment: str) -> Credential:
    return Credential(
        name="tenants",
        purpose="Flux reads what the tenants deliver; a copy lies in each tenant's namespace",
        auth=fleet.environments[environment].auth,
        secret=names.TENANTS_SECRET,
        permissions=_reading(fleet),
        repositories=_named(fleet, "apps"),
    )


def _update(fleet: Fleet, environment: str, *, secret: str | None) -> Credential:
    return Credential(
        name="update",
        purpose="image automation pushes chart versions, workflows open pull requests that trigger checks",
        auth=fleet.environments[environment].auth,
        secret=secret,
        permissions={"Contents": "write", "Metadata": "read", "Pull requests": "write"},
        repositories=_named(fleet, "infra", "apps"),
    )


def _status(fleet: Fleet, environment: str) -> Credential:
    return Credential(
        name="status",
        purpose="Flux reports each revision as a commit status",
        auth=fleet.environments[environment].auth,
        secret=names.STATUS_SECRET,
        permissions={"Commit statuses": "write", "Metadata": "read"},
        repositories=_named(fleet, "fleet", "infra", "apps"),
    )


def _reading(fleet: Fleet) -> dict[str, Access]:
    """Flux reports with the token that it reads with, or each tenant's namespace would hold two."""
    reading: dict[str, Access] = {"Contents": "read", "Metadata": "read"}
    return reading | {"Commit statuses": "write"} if fleet.reports_commits else reading


def _named(fleet: Fleet, *roles: str) -> tuple[str, ...]:
    return tuple(name for name, repository in repositories_of(fleet).items() if repository.role in roles)
