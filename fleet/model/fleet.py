"""The whole fleet, as fleet.yaml says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.base import DnsLabel, GitHubOwner, Model, RegistryBase, RepositoryName, SourcePrefix
from fleet.model.cluster import Cluster, Environment
from fleet.model.flux import CORE, UPDATE, Controller, Flux, Operator
from fleet.model.tenant import Component, Tenant


class Repositories(Model):
    """Names of the three repositories."""

    fleet: RepositoryName = "fleet"
    """Clusters and tenants."""
    infra: RepositoryName = "infra"
    """Platform components."""
    apps: RepositoryName = "apps"
    """Applications of the tenants."""


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
    """`platform` maintains fleet and infra, `tenant` works in apps."""
    members: tuple[GitHubOwner, ...] = ()
    """GitHub logins."""


class Fleet(Model):
    """A fleet: what is delivered, by whom, to which clusters."""

    design: Literal["oci"]
    """How clusters get their state: `oci`, from signed OCI artifacts."""
    owner: GitHubOwner
    """GitHub organisation that owns the repositories."""
    registry: RegistryBase = "ghcr.io"
    """Registry of the artifacts; they are published below `<registry>/<owner>`."""
    repositories: Repositories = Repositories()
    """Names of the repositories."""
    bot: Bot
    """The Flux bot."""
    teams: dict[DnsLabel, Team]
    """Teams by name."""
    operator: Operator = Operator()
    """The Flux Operator on every cluster."""
    flux: Flux = Flux()
    """Flux on every cluster."""
    environments: Annotated[dict[DnsLabel, Environment], Field(min_length=1)]
    """Environments by name, in the order of promotion."""
    clusters: Annotated[dict[DnsLabel, Cluster], Field(min_length=1)]
    """Clusters by name."""
    components: dict[DnsLabel, Component] = {}
    """Platform components by name, which is also their namespace."""
    tenants: dict[DnsLabel, Tenant] = {}
    """Tenants by name, which is also their namespace."""
    sources: tuple[SourcePrefix, ...] = ()
    """Address prefixes that tenants may pull from, besides the owner's own and those of the releases."""

    @property
    def artifacts(self) -> str:
        """Base of all artifacts, without scheme. OCI repositories are lower case, GitHub owners need not be."""
        return f"{self.registry}/{self.owner.lower()}"

    @property
    def overlays(self) -> tuple[str, ...]:
        """Environments that components and tenants have an overlay for."""
        return tuple(name for name, environment in self.environments.items() if environment.role == "fleet")

    def flux_of(self, cluster: str) -> Flux:
        """Flux of one cluster: the fleet's section with the cluster's own keys laid over it."""
        base = self.flux.model_dump(by_alias=True, exclude_unset=True)
        return Flux.model_validate(base | self.clusters[cluster].flux, by_name=False)

    def controllers_of(self, cluster: str) -> tuple[Controller, ...]:
        by_role = UPDATE if self.environment_of(cluster).role == "update" else CORE
        return self.flux_of(cluster).components or by_role

    def environment_of(self, cluster: str) -> Environment:
        return self.environments[self.clusters[cluster].environment]

    def clusters_in(self, environment: str) -> dict[str, Cluster]:
        return {name: c for name, c in self.clusters.items() if c.environment == environment}
