"""Faults of sense: references, clashes and cycles that no single field can see.

Called by `fleet.model.parsing`, which may hand over a model without its malformed entries; names are therefore
looked up in the raw data, so that a malformed team is not also reported as an unknown one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from fleet import names
from fleet.errors import Problem, did_you_mean
from fleet.model.faults import problems_of
from fleet.model.fleet import Fleet
from fleet.model.flux import CORE, Flux
from fleet.model.identity import check_identity
from fleet.model.mirror_checks import check_mirror
from fleet.model.repository import BOT_ENVIRONMENT, BOTS, Repository, policy_name, repositories_of
from fleet.model.tenant import Component, Tenant, Workload
from fleet.model.variables import reserved_variables

RESERVED_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease", names.FLUX_NAMESPACE})

BASE = "base"
"""The folder beside the overlays, which are named after the environments."""


def check_fleet(fleet: Fleet, raw: Mapping[str, Any], source: str) -> list[Problem]:
    """Every fault of sense in a fleet."""
    checks = (
        _design,
        _repositories,
        _teams,
        _environments,
        _clusters,
        check_identity,
        _namespaces,
        _dependencies,
        _delivered,
        _releases,
        check_mirror,
        _own_repositories,
        _automation,
    )
    return [problem for check in checks for problem in check(fleet, raw, source)]


def _design(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """What only one of the two designs can do."""
    if fleet.design == "oci" and fleet.github.url != "https://github.com":
        hint = "there is no public certificate authority for other hosts; use `design: git`"
        yield Problem(f"{source}.github.url", "the oci design trusts signatures of workflows on github.com", hint)
    for section, name, workload in _workloads(fleet):
        versions: dict[str, str] = {}
        for release, spec in workload.releases.items():
            path = f"{source}.{section}.{name}.releases.{release}"
            if spec.is_local and fleet.design == "oci":
                hint = "push the chart to a registry"
                yield Problem(f"{path}.chart", "Flux takes charts from a folder of Git only", hint)
            if spec.is_local and versions.setdefault(spec.chart, spec.version) != spec.version:
                yield Problem(f"{path}.version", f"`{spec.chart}` has another version in another release", "give one")


def _repositories(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    named = fleet.repositories.model_dump().items()
    for (one, first), (two, second) in combinations(named, 2):
        if first.lower() == second.lower():
            yield Problem(
                f"{source}.repositories.{two}",
                f"`{second}` is also the name of `repositories.{one}`",
                "give each repository a name of its own; case does not count",
            )


def _own_repositories(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """A tenant's own repository is nobody else's; GitHub does not tell names apart by case."""
    platform = {name.lower() for name in (fleet.repositories.fleet, fleet.repositories.infra)}
    delivery = platform | {fleet.repository_of(tenant).lower() for tenant in fleet.tenants.values()}
    for name, tenant in fleet.tenants.items():
        path = f"{source}.tenants.{name}"
        if tenant.repository and tenant.repository.lower() in platform:
            message = f"`{tenant.repository}` belongs to the platform team"
            yield Problem(f"{path}.repository", message, "choose another name")
        if tenant.source and tenant.source.lower() in delivery | {fleet.repositories.apps.lower()}:
            message = f"`{tenant.source}` is a repository that Flux delivers from"
            yield Problem(f"{path}.source", message, "keep code and delivery apart; choose another name")
    for name in fleet.github.collaborators:
        if name not in (known := repositories_of(fleet)):
            hint = did_you_mean(name, known)
            yield Problem(f"{source}.github.collaborators.{name}", f"the fleet has no repository `{name}`", hint)
    delivering = {fleet.repository_of(tenant) for tenant in fleet.tenants.values()} | {fleet.repositories.apps}
    code = {tenant.source for tenant in fleet.tenants.values() if tenant.source}
    for one, two in (*combinations(sorted(delivering), 2), *combinations(sorted(code), 2)):
        if one.lower() == two.lower():
            yield Problem(f"{source}.tenants", f"`{one}` and `{two}` are one repository to GitHub", "write it one way")


def _automation(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """Image automation has a namespace for each repository, and a policy for each release in it."""
    taken: dict[str, str] = {}
    for repository in repositories_of(fleet).values():
        namespace = repository.update_namespace
        if not repository.automated:
            continue
        if namespace in taken and taken[namespace].lower() != repository.name.lower():
            message = f"`{repository.name}` and `{taken[namespace]}` differ in characters that namespaces do not have"
            yield Problem(f"{source}.repositories", message, "rename one of the two")
        taken[namespace] = repository.name
        if len(namespace) > 63:
            message = f"namespace `{namespace}` would be longer than 63 characters"
            yield Problem(f"{source}.repositories", message, f"rename `{repository.name}`")
        for section in ("components", "tenants"):
            if namespace in keys_of(raw, section):
                message = f"namespace `{namespace}` is that of image automation for `{repository.name}`"
                yield Problem(f"{source}.{section}.{namespace}", message, "rename it")
        yield from _policies(fleet, repository, source)


def _policies(fleet: Fleet, repository: Repository, source: str) -> Iterator[Problem]:
    """Release `c` of `a-b`, and release `b-c` of `a`."""
    section: Mapping[str, Workload] = fleet.components if repository.role == "infra" else fleet.tenants
    taken: dict[str, str] = {}
    for name in repository.workloads:
        releases = section[name].releases if name in section else {}
        for release in (release for release, spec in releases.items() if not spec.is_local):
            policy, place = policy_name(name, release), f"{name}.releases.{release}"
            if policy in taken:
                message = f"image automation cannot tell it from `{taken[policy]}`: both are `{policy}`"
                kind = "components" if repository.role == "infra" else "tenants"
                yield Problem(f"{source}.{kind}.{place}", message, "rename one of the two")
            taken[policy] = place


def _environments(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    named = {str(cluster.get("environment")) for cluster in _entries(raw, "clusters") if isinstance(cluster, Mapping)}
    misspelt = not named.issubset(keys_of(raw, "environments"))
    for name in fleet.environments:
        if name not in named and not misspelt:
            hint = f"add one: `clusters: {{…: {{environment: {name}}}}}`"
            yield Problem(f"{source}.environments.{name}", "no cluster is in it", hint)
    if BOT_ENVIRONMENT in fleet.environments:
        message = "is the GitHub environment of the bot's credential"
        yield Problem(f"{source}.environments.{BOT_ENVIRONMENT}", message, "rename it")
    if BASE in fleet.environments:
        yield Problem(f"{source}.environments.{BASE}", f"`{BASE}` is the folder that all overlays share", "rename it")


def _clusters(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    for name, cluster in fleet.clusters.items():
        path = f"{source}.clusters.{name}"
        if cluster.environment not in keys_of(raw, "environments"):
            hint = did_you_mean(cluster.environment, keys_of(raw, "environments"))
            yield Problem(f"{path}.environment", f"there is no environment `{cluster.environment}`", hint)
        yield from reserved_variables(cluster.runtime_info, f"{path}.runtimeInfo")
        yield from _flux(fleet, name, path)


def _flux(fleet: Fleet, cluster: str, path: str) -> Iterator[Problem]:
    """The cluster's Flux section, checked together with the fleet's below it."""
    try:
        chosen = fleet.flux_of(cluster).components
    except ValidationError as error:
        yield from problems_of(error, Flux, f"{path}.flux")
        return
    installed = set(CORE if chosen is None else chosen)
    for controller in sorted({"source-controller", "kustomize-controller"} - installed):
        yield Problem(f"{path}.flux.components", f"`{controller}` is missing", "every cluster syncs with it; add it")
    alerting = (fleet.reports_commits or fleet.alerts.chat) and fleet.clusters[cluster].environment in fleet.overlays
    if alerting and "notification-controller" not in installed:
        hint = "add it, or switch alerts off: `alerts: {commitStatus: false}`"
        yield Problem(f"{path}.flux.components", "`notification-controller` is missing, which sends alerts", hint)


def _namespaces(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    for section, name, _ in _workloads(fleet):
        if name in RESERVED_NAMESPACES:
            path = f"{source}.{section}.{name}"
            yield Problem(path, f"namespace `{name}` belongs to Kubernetes or Flux", "rename it")
    for name in keys_of(raw, "components"):
        if name in keys_of(raw, "tenants"):
            yield Problem(
                f"{source}.tenants.{name}",
                f"namespace `{name}` is also claimed by `components.{name}`",
                "a namespace has one owner; rename one of the two",
            )


def _dependencies(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    known = keys_of(raw, "components")
    for section, name, entry in _workloads(fleet):
        for index, wanted in enumerate(entry.depends_on):
            if wanted not in known:
                path = f"{source}.{section}.{name}.dependsOn.{index}"
                yield Problem(path, f"there is no component `{wanted}`", did_you_mean(wanted, known))
    for cycle in _cycles(fleet.components):
        path = f"{source}.components.{cycle[0]}.dependsOn"
        yield Problem(path, f"cycle: {' → '.join(f'`{step}`' for step in cycle)}", "remove one of these dependencies")


def _delivered(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """Environments that a component or tenant is for: they exist, and what it depends on is there too."""
    for section, name, workload in _workloads(fleet):
        path = f"{source}.{section}.{name}"
        for index, environment in enumerate(workload.environments or ()):
            if environment not in keys_of(raw, "environments") or environment in fleet.updating:
                hint = did_you_mean(environment, fleet.overlays)
                yield Problem(f"{path}.environments.{index}", f"nothing is delivered to `{environment}`", hint)
        if workload.environments is not None and not workload.environments:
            yield Problem(f"{path}.environments", "it would be delivered nowhere", "name environments, or remove it")
        for wanted in workload.depends_on:
            component = fleet.components.get(wanted)
            there = fleet.overlays_of(component) if component else fleet.overlays
            for environment in fleet.overlays_of(workload):
                if environment not in there:
                    message = f"`{wanted}` is not delivered to environment `{environment}`, where `{name}` needs it"
                    yield Problem(f"{path}.dependsOn", message, f"add `{environment}` to its `environments`")


def _cycles(components: Mapping[str, Component]) -> Iterator[list[str]]:
    """Cycles that together hold every component that is on one; each begins and ends with the same name."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> Iterator[list[str]]:
        if name in trail:
            yield [*trail[trail.index(name) :], name]
        elif name in components and name not in done:
            for wanted in components[name].depends_on:
                yield from walk(wanted, [*trail, name])
            done.add(name)

    for name in sorted(components):
        yield from walk(name, [])


def _releases(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    known = [name for name in keys_of(raw, "environments") if name not in fleet.updating]
    for section, name, entry in _workloads(fleet):
        parts: list[tuple[str, Mapping[str, Any]]] = [
            (f"releases.{release}.environments", spec.environments) for release, spec in entry.releases.items()
        ]
        if isinstance(entry, Component):
            parts += [(f"configs.{config}.environments", spec.environments) for config, spec in entry.configs.items()]
        if isinstance(entry, Tenant):
            parts += [(f"objects.{item}.environments", spec.environments) for item, spec in entry.objects.items()]
            files = {file for release in entry.releases for file in (release, f"{release}-values")}
            for shared in sorted(entry.objects.keys() & files):
                path = f"{source}.{section}.{name}.objects.{shared}"
                yield Problem(path, "a release has a file of that name", "rename one of the two")
        for where, environments in parts:
            for environment in environments:
                if environment not in known:
                    path = f"{source}.{section}.{name}.{where}.{environment}"
                    message = f"there is no overlay for an environment `{environment}`"
                    yield Problem(path, message, did_you_mean(environment, known))


def _teams(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    for name, tenant in fleet.tenants.items():
        if tenant.team not in keys_of(raw, "teams"):
            hint = did_you_mean(tenant.team, keys_of(raw, "teams"))
            yield Problem(f"{source}.tenants.{name}.team", f"there is no team `{tenant.team}`", hint)
    if BOTS in fleet.teams:
        yield Problem(f"{source}.teams.{BOTS}", "is the team that the program makes for the bot", "rename it")
    if not any(team.role == "platform" for team in fleet.teams.values()) and fleet.teams:
        yield Problem(
            f"{source}.teams",
            "no team has `role: platform`",
            "somebody must maintain the fleet and infra repositories",
        )


def _workloads(fleet: Fleet) -> Iterator[tuple[str, str, Workload]]:
    """Section, name and entry of everything that is delivered."""
    yield from (("components", name, component) for name, component in fleet.components.items())
    yield from (("tenants", name, tenant) for name, tenant in fleet.tenants.items())


def _entries(raw: Mapping[str, Any], section: str) -> list[Any]:
    entries = raw.get(section)
    return list(entries.values()) if isinstance(entries, Mapping) else []


def keys_of(raw: Mapping[str, Any], section: str) -> list[str]:
    entries = raw.get(section)
    return [str(key) for key in entries] if isinstance(entries, Mapping) else []
