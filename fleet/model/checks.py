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
from fleet.model.stack import Stack
from fleet.model.tenant import Component

RESERVED_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease", names.FLUX_NAMESPACE})

BASE = "base"
"""The folder beside the overlays, which are named after the environments."""

RUNTIME_KEYS = (
    "ENVIRONMENT",
    "CLUSTER_NAME",
    "CLUSTER_DOMAIN",
    "ARTIFACT_TAG",
    "ARTIFACT_SUBJECT_WORKFLOW",
    "ARTIFACT_SUBJECT_GIT_REF",
    "FLEET_STACK",
)
"""Variables that the program computes; nobody else may set them."""


def check_fleet(fleet: Fleet, raw: Mapping[str, Any], source: str) -> list[Problem]:
    """Every fault of sense in a fleet, in the order of the file."""
    checks = (_repositories, _teams, _environments, _clusters, _namespaces, _dependencies, _releases)
    return [problem for check in checks for problem in check(fleet, raw, source)]


def check_stack(stack: Stack, raw: Mapping[str, Any], fleet: Fleet, source: str) -> list[Problem]:
    """Every fault of sense in a stack: its clusters must be exactly those of its environment."""
    if stack.environment not in fleet.environments:
        hint = did_you_mean(stack.environment, fleet.environments)
        return [Problem(f"{source}.environment", f"fleet.yaml has no environment `{stack.environment}`", hint)]
    wanted = fleet.clusters_in(stack.environment)
    configured = _keys(raw, "clusters")
    problems = [
        Problem(f"{source}.clusters.{name}", *_foreign_cluster(name, stack.environment, fleet))
        for name in configured
        if name not in wanted
    ]
    problems += [
        Problem(
            f"{source}.clusters",
            f"cluster `{name}` of environment `{stack.environment}` is missing",
            f"say how it is made: `clusters: {{{name}: {{kind: existing, kubeconfig: …}}}}`",
        )
        for name in wanted
        if name not in configured
    ]
    return [*problems, *_stack_variables(stack, fleet, f"{source}.runtimeInfo")]


def _stack_variables(stack: Stack, fleet: Fleet, path: str) -> Iterator[Problem]:
    """Both write the same ConfigMap: a key that Git has as well would go back and forth."""
    yield from _reserved_variables(stack.runtime_info, path)
    for name, cluster in fleet.clusters_in(stack.environment).items():
        for key in stack.runtime_info.keys() & cluster.runtime_info.keys():
            message = f"`{key}` is also set by `clusters.{name}.runtimeInfo` of fleet.yaml"
            yield Problem(f"{path}.{key}", message, "a variable has one owner; remove one of the two")


def _foreign_cluster(name: str, environment: str, fleet: Fleet) -> tuple[str, str]:
    if name in fleet.clusters:
        owner = fleet.clusters[name].environment
        return f"cluster `{name}` belongs to environment `{owner}`, this stack owns `{environment}`", ""
    return f"fleet.yaml has no cluster `{name}`", did_you_mean(name, fleet.clusters_in(environment))


def _repositories(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    named = fleet.repositories.model_dump().items()
    for (one, first), (two, second) in combinations(named, 2):
        if first.lower() == second.lower():
            yield Problem(
                f"{source}.repositories.{two}",
                f"`{second}` is also the name of `repositories.{one}`",
                "give each repository a name of its own; case does not count",
            )


def _environments(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    if BASE in fleet.environments:
        yield Problem(f"{source}.environments.{BASE}", f"`{BASE}` is the folder that all overlays share", "rename it")


def _clusters(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    for name, cluster in fleet.clusters.items():
        path = f"{source}.clusters.{name}"
        if cluster.environment not in _keys(raw, "environments"):
            hint = did_you_mean(cluster.environment, _keys(raw, "environments"))
            yield Problem(f"{path}.environment", f"there is no environment `{cluster.environment}`", hint)
        yield from _reserved_variables(cluster.runtime_info, f"{path}.runtimeInfo")
        yield from _flux(fleet, name, path)


def _flux(fleet: Fleet, cluster: str, path: str) -> Iterator[Problem]:
    """The cluster's Flux section, checked together with the fleet's below it."""
    try:
        chosen = fleet.flux_of(cluster).components
    except ValidationError as error:
        yield from problems_of(error, Flux, f"{path}.flux")
        return
    missing = {"source-controller", "kustomize-controller"} - set(CORE if chosen is None else chosen)
    for controller in sorted(missing):
        yield Problem(f"{path}.flux.components", f"`{controller}` is missing", "every cluster syncs with it; add it")


def _reserved_variables(variables: Mapping[str, str], path: str) -> Iterator[Problem]:
    for key in variables:
        if key in RUNTIME_KEYS:
            yield Problem(f"{path}.{key}", f"`{key}` is computed by the program", "choose another name")


def _namespaces(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    for section, entries in (("components", fleet.components), ("tenants", fleet.tenants)):
        for name in entries:
            if name in RESERVED_NAMESPACES:
                yield Problem(
                    f"{source}.{section}.{name}",
                    f"namespace `{name}` belongs to Kubernetes or Flux",
                    "rename it",
                )
    for name in _keys(raw, "components"):
        if name in _keys(raw, "tenants"):
            yield Problem(
                f"{source}.tenants.{name}",
                f"namespace `{name}` is also claimed by `components.{name}`",
                "a namespace has one owner; rename one of the two",
            )


def _dependencies(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    known = _keys(raw, "components")
    for section, entries in (("components", fleet.components), ("tenants", fleet.tenants)):
        for name, entry in entries.items():
            for index, wanted in enumerate(entry.depends_on):
                if wanted not in known:
                    path = f"{source}.{section}.{name}.dependsOn.{index}"
                    yield Problem(path, f"there is no component `{wanted}`", did_you_mean(wanted, known))
    for cycle in _cycles(fleet.components):
        path = f"{source}.components.{cycle[0]}.dependsOn"
        yield Problem(path, f"cycle: {' → '.join(f'`{step}`' for step in cycle)}", "remove one of these dependencies")


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
    updating = [name for name, environment in fleet.environments.items() if environment.role == "update"]
    known = [name for name in _keys(raw, "environments") if name not in updating]
    for section, entries in (("components", fleet.components), ("tenants", fleet.tenants)):
        for name, entry in entries.items():
            parts: list[tuple[str, Mapping[str, Any]]] = [
                (f"releases.{release}.environments", spec.environments) for release, spec in entry.releases.items()
            ]
            if isinstance(entry, Component):
                parts += [
                    (f"configs.{config}.environments", spec.environments) for config, spec in entry.configs.items()
                ]
            for where, environments in parts:
                for environment in environments:
                    if environment not in known:
                        path = f"{source}.{section}.{name}.{where}.{environment}"
                        message = f"there is no overlay for an environment `{environment}`"
                        yield Problem(path, message, did_you_mean(environment, known))


def _teams(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    for name, tenant in fleet.tenants.items():
        if tenant.team not in _keys(raw, "teams"):
            hint = did_you_mean(tenant.team, _keys(raw, "teams"))
            yield Problem(f"{source}.tenants.{name}.team", f"there is no team `{tenant.team}`", hint)
    if not any(team.role == "platform" for team in fleet.teams.values()) and fleet.teams:
        yield Problem(
            f"{source}.teams",
            "no team has `role: platform`",
            "somebody must maintain the fleet and infra repositories",
        )


def _keys(raw: Mapping[str, Any], section: str) -> list[str]:
    entries = raw.get(section)
    return [str(key) for key in entries] if isinstance(entries, Mapping) else []
