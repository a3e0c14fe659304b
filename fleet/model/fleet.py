"""The whole fleet, as fleet.yaml says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.base import DnsLabel, GitHubOwner, Model, RegistryBase, RepositoryName, SourcePrefix
from fleet.model.environment import Cluster, Environment
from fleet.model.flux import AUTOMATION, CORE, UPDATE, Controller, Flux, Operator
from fleet.model.github import Alerts, Bot, GitHub, Team
from fleet.model.mirror import Mirror
from fleet.model.repository import MAIN, PRODUCTION
from fleet.model.tenant import Component, Tenant, Workload


class Repositories(Model):
    """Names of the three repositories."""

    fleet: RepositoryName = "fleet"
    """Clusters and tenants."""
    infra: RepositoryName = "infra"
    """Platform components."""
    apps: RepositoryName = "apps"
    """Applications of the tenants."""


class Fleet(Model):
    """A fleet: what is delivered, by whom, to which clusters."""

    design: Literal["oci", "git"]
    """How clusters get their state: `oci`, from signed OCI artifacts; `git`, from Git branches."""
    owner: GitHubOwner
    """GitHub organisation that owns the repositories."""
    registry: RegistryBase = "ghcr.io"
    """Registry of the artifacts; they are published below `<registry>/<owner>`."""
    repositories: Repositories = Repositories()
    """Names of the repositories."""
    github: GitHub = GitHub()
    """How the repositories are made and protected."""
    bot: Bot
    """The Flux bot."""
    teams: dict[DnsLabel, Team]
    """Teams by name."""
    mirror: Mirror | None = None
    """Registry inside from which everything is pulled that others publish; by default the internet."""
    operator: Operator = Operator()
    """The Flux Operator on every cluster."""
    flux: Flux = Flux()
    """Flux on every cluster."""
    alerts: Alerts = Alerts()
    """What Flux reports of its work."""
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

    def in_use(self) -> Fleet:
        """Without clusters that only update, in the git design: the first that tracks main does that there. So one word
        in fleet.yaml changes the design."""
        if self.design == "oci":
            return self
        left = {name: environment for name, environment in self.environments.items() if name not in self.updating}
        clusters = {name: cluster for name, cluster in self.clusters.items() if cluster.environment in left}
        return self.model_copy(update={"environments": left, "clusters": clusters})

    @property
    def artifacts(self) -> str:
        """Base of all artifacts, without scheme. OCI repositories are lower case, GitHub owners need not be."""
        return f"{self.registry}/{self.owner.lower()}"

    def pulled_from(self, reference: str) -> str:
        """Where clusters get an image or artifact from; what the owner publishes, and what is on the mirror, stay."""
        own = f"{reference.removeprefix('oci://')}/".startswith(f"{self.artifacts}/")
        if self.mirror is None or own or self.mirror.serves(reference):
            return reference
        return self.mirror.address(reference)

    @property
    def home(self) -> str:
        """Address of the organisation on GitHub, below which its repositories are."""
        return f"{self.github.url}/{self.owner}"

    @property
    def own_sources(self) -> tuple[str, str]:
        """Address prefixes of what the owner publishes."""
        return f"{self.home}/", f"oci://{self.artifacts}/"

    @property
    def overlays(self) -> tuple[str, ...]:
        """Environments that components and tenants have an overlay for."""
        return tuple(name for name, environment in self.environments.items() if environment.role == "fleet")

    def overlays_of(self, workload: Workload) -> tuple[str, ...]:
        """Environments that get it, in the order of promotion."""
        limits = workload.environments
        return tuple(name for name in self.overlays if limits is None or name in limits)

    @property
    def updating(self) -> tuple[str, ...]:
        """Environments whose clusters only move chart versions."""
        return tuple(name for name, environment in self.environments.items() if environment.role == "update")

    @property
    def automating(self) -> str | None:
        """In the git design, the environment that moves chart versions on main: the first that tracks it."""
        tracking = (name for name in self.overlays if self.environments[name].tracks == "main")
        return next(tracking, None) if self.design == "git" else None

    @property
    def reports_commits(self) -> bool:
        """Whether Flux tells GitHub how each revision fares; by default where it has a token for Git anyway."""
        chosen = self.alerts.commit_status
        return self.design == "git" if chosen is None else chosen

    @property
    def has_bot_account(self) -> bool:
        """Whether the bot is a GitHub user: registries know tokens of users only, and an App is no user."""
        tokens = any(environment.auth == "token" for environment in self.environments.values())
        return tokens or any(self.pulls_by_token(cluster) for cluster in self.clusters)

    def pulls_by_token(self, cluster: str) -> bool:
        """Whether a cluster signs in to the fleet's registry with a token, not as an identity that a cloud knows."""
        return self.design == "oci" and self.flux_of(cluster).registry_provider == "generic"

    def repository_url(self, repository: str) -> str:
        """Address that Git clones from."""
        return f"{self.home}/{repository}.git"

    def repository_of(self, tenant: Tenant) -> str:
        return tenant.repository or self.repositories.apps

    def branch_of(self, cluster: str) -> str:
        """Branch of infra and apps that a cluster follows in the git design."""
        return MAIN if self.environment_of(cluster).tracks == "main" else PRODUCTION

    def flux_of(self, cluster: str) -> Flux:
        """Flux of one cluster: the fleet's section with the cluster's own keys laid over it."""
        base = self.flux.model_dump(by_alias=True, exclude_unset=True)
        return Flux.model_validate(base | self.clusters[cluster].flux, by_name=False)

    def controllers_of(self, cluster: str) -> tuple[Controller, ...]:
        by_role = UPDATE if self.environment_of(cluster).role == "update" else CORE
        chosen = self.flux_of(cluster).components or by_role
        return (*chosen, *(c for c in AUTOMATION if c not in chosen)) if self.automates(cluster) else chosen

    def automates(self, cluster: str) -> bool:
        """Whether the cluster moves chart versions on main: one only, or they would push against each other."""
        environment = self.automating
        return environment is not None and cluster == next(iter(self.clusters_in(environment)), None)

    def environment_of(self, cluster: str) -> Environment:
        return self.environments[self.clusters[cluster].environment]

    def clusters_in(self, environment: str) -> dict[str, Cluster]:
        return {name: c for name, c in self.clusters.items() if c.environment == environment}
