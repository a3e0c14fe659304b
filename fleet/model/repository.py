"""The GitHub repositories that follow from a fleet: what each holds, who may do what, what protects it.

Everything made around a repository (content, protection, access, credentials) is derived from these descriptions, so
that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fleet.model.github import Permission

if TYPE_CHECKING:
    from fleet.model.fleet import Fleet
    from fleet.model.tenant import Tenant

MAIN = "main"
PRODUCTION = "production"
"""Branch that environments which track releases follow in the git design."""
CHECK = "validate"
"""Name of the job that every pull request must pass."""
BOTS = "flux-bots"
"""GitHub team of the bot's account."""
BOT_ENVIRONMENT = "bot"
"""GitHub environment that holds the bot's write token; only workflows on main may use it."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A protected branch."""

    name: str
    reviews: int
    """Approvals of a pull request."""
    bot_pushes: bool = False
    """Whether image automation commits to it without a pull request."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One repository of the fleet."""

    name: str
    role: Literal["fleet", "infra", "apps", "source"]
    """A tenant's own repository has the role `apps`; `source` holds an application's code, not its delivery."""
    description: str
    workloads: tuple[str, ...]
    """Components or tenants in it, each with the folder `components/<name>`; of a source, those that it belongs to."""
    access: Mapping[str, Permission]
    """Teams by name, the bot's among them."""
    branches: tuple[Branch, ...]
    release_tags: str | None
    """Pattern of the tags that release to production and that nobody may move; None where branches do it."""
    bot_writes: bool
    """Whether a workflow here acts as the bot and needs its write token."""

    @property
    def automated(self) -> bool:
        """Whether image automation moves chart versions in it."""
        return self.role in ("infra", "apps")

    @property
    def topics(self) -> tuple[str, ...]:
        return ("fluxcd", "gitops", self.role)

    @property
    def update_namespace(self) -> str:
        """Namespace of its image automation; repository names have characters that Kubernetes' lack."""
        return f"{self.name.lower().replace('_', '-').replace('.', '-')}-update"


def policy_name(workload: str, release: str) -> str:
    """Of the ImagePolicy of a release; all that lie in one repository share a namespace."""
    return f"{workload}-{release}"


def repositories_of(fleet: Fleet) -> dict[str, Repository]:
    """All repositories by name: fleet, infra, apps, then the tenants' own and their sources as the file has them."""
    own: dict[str, list[str]] = {fleet.repositories.apps: []}
    for name, tenant in fleet.tenants.items():
        own.setdefault(fleet.repository_of(tenant), []).append(name)
    code: dict[str, list[str]] = {}
    for name, tenant in fleet.tenants.items():
        if tenant.source:
            code.setdefault(tenant.source, []).append(name)
    delivery = (_apps(fleet, name, tenants) for name, tenants in own.items())
    sources = (_source(fleet, name, tenants) for name, tenants in code.items())
    found = [_fleet(fleet), _infra(fleet), *delivery, *sources]
    return {repository.name: repository for repository in found}


def _fleet(fleet: Fleet) -> Repository:
    return Repository(
        name=fleet.repositories.fleet,
        role="fleet",
        description="Clusters and tenants of the fleet, reconciled by Flux",
        workloads=(),
        access=_platform(fleet, "admin") | _bot(fleet, "pull"),
        branches=(Branch(name=MAIN, reviews=fleet.github.reviews.production if _git(fleet) else _main(fleet)),),
        release_tags=None if _git(fleet) else "v*",
        bot_writes=not _git(fleet) and bool(fleet.updating),
    )


def _infra(fleet: Fleet) -> Repository:
    return Repository(
        name=fleet.repositories.infra,
        role="infra",
        description="Platform components of the fleet, reconciled by Flux as cluster admin",
        workloads=tuple(fleet.components),
        access=_platform(fleet, "maintain") | _bot(fleet, "push"),
        branches=_delivered(fleet),
        release_tags=None if _git(fleet) else "*/v*",
        bot_writes=_git(fleet),
    )


def _apps(fleet: Fleet, name: str, tenants: list[str]) -> Repository:
    shared = name == fleet.repositories.apps
    platform = {} if shared else _platform(fleet, "maintain")
    return Repository(
        name=name,
        role="apps",
        description="Applications of the tenants, reconciled by Flux as namespace admin"
        if shared
        else f"Deployment of {', '.join(tenants)}, reconciled by Flux as namespace admin",
        workloads=tuple(tenants),
        access=platform | _teams(fleet, shared, (fleet.tenants[tenant] for tenant in tenants)) | _bot(fleet, "push"),
        branches=_delivered(fleet),
        release_tags=None if _git(fleet) else "*/v*",
        bot_writes=_git(fleet),
    )


def _source(fleet: Fleet, name: str, tenants: list[str]) -> Repository:
    return Repository(
        name=name,
        role="source",
        description=f"Source code of {', '.join(tenants)}",
        workloads=tuple(tenants),
        access=_teams(fleet, shared=False, tenants=(fleet.tenants[tenant] for tenant in tenants)),
        branches=(Branch(name=MAIN, reviews=_main(fleet)),),
        release_tags="v*",
        bot_writes=False,
    )


def _delivered(fleet: Fleet) -> tuple[Branch, ...]:
    """Of a repository whose content is promoted: by merging main to production, or by tags."""
    if not _git(fleet):
        return (Branch(name=MAIN, reviews=_main(fleet)),)
    production = Branch(name=PRODUCTION, reviews=fleet.github.reviews.production)
    return (Branch(name=MAIN, reviews=_main(fleet), bot_pushes=True), production)


def _teams(fleet: Fleet, shared: bool, tenants: Iterable[Tenant]) -> dict[str, Permission]:
    """Those of its tenants; every tenant team may propose to the shared repository, so that one can start there."""
    if shared:
        return {name: "push" for name, team in fleet.teams.items() if team.role == "tenant"}
    own = dict.fromkeys(tenant.team for tenant in tenants)
    return {name: "push" for name in own if name in fleet.teams and fleet.teams[name].role == "tenant"}


def _platform(fleet: Fleet, permission: Permission) -> dict[str, Permission]:
    return {name: permission for name, team in fleet.teams.items() if team.role == "platform"}


def _bot(fleet: Fleet, permission: Permission) -> dict[str, Permission]:
    return {BOTS: permission} if fleet.has_bot_account else {}


def _main(fleet: Fleet) -> int:
    return fleet.github.reviews.main


def _git(fleet: Fleet) -> bool:
    return fleet.design == "git"
