"""Faults of sense in a stack: what it says must fit the fleet of fleet.yaml. Called by `fleet.model.parsing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from fleet.errors import Problem, did_you_mean
from fleet.model.checks import keys_of
from fleet.model.clusters import KindCluster
from fleet.model.credential import credentials_of
from fleet.model.fleet import Fleet
from fleet.model.stack import Stack, stack_file
from fleet.model.variables import reserved_variables


def check_stack(stack: Stack, raw: Mapping[str, Any], fleet: Fleet, name: str) -> list[Problem]:
    """Every fault of sense in a stack: its clusters must be exactly those of its environment."""
    source = stack_file(name)
    if stack.environment not in fleet.environments:
        hint = did_you_mean(stack.environment, fleet.environments)
        if fleet.design == "git":
            hint += "; the git design leaves those with `role: update` out"
        return [Problem(f"{source}.environment", f"fleet.yaml has no environment `{stack.environment}`", hint)]
    wanted = fleet.clusters_in(stack.environment)
    configured = keys_of(raw, "clusters")
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
    problems += [
        Problem(f"{source}.clusters.{name}", fault, "choose another name in fleet.yaml")
        for name, made in stack.clusters.items()
        if (fault := made.misnamed(made.made_as(name)))
    ]
    problems += _made_names(stack, f"{source}.clusters")
    problems += _host_ports(stack, f"{source}.clusters")
    problems += _github_apps(stack, raw, fleet, name)
    return [*problems, *_stack_variables(stack, fleet, f"{source}.runtimeInfo")]


def _made_names(stack: Stack, path: str) -> Iterator[Problem]:
    """The state and the clouds know a cluster by the name that it was made by."""
    owners: dict[str, str] = {}
    for name, source in stack.clusters.items():
        made_as = source.made_as(name)
        if (other := owners.setdefault(made_as, name)) != name:
            message = f"`{name}` and `{other}` would both be made by the name `{made_as}`"
            hint = "what was renamed has `renamedFrom`; a new cluster needs a new name"
            yield Problem(f"{path}.{name}", message, hint)


def _host_ports(stack: Stack, path: str) -> Iterator[Problem]:
    """Clusters of kind share the ports of one machine."""
    kinds = {name: source for name, source in stack.clusters.items() if isinstance(source, KindCluster)}
    opened = [(name, mapping) for name, source in kinds.items() for mapping in source.mappings]
    for (one, first), (two, second) in combinations(opened, 2):
        if first.meets(second):
            message = f"port {second.host} of this machine leads into `{one}` already"
            yield Problem(f"{path}.{two}", message, "give `ports` and `ingress` other host ports")


def _github_apps(stack: Stack, raw: Mapping[str, Any], fleet: Fleet, name: str) -> Iterator[Problem]:
    credentials = credentials_of(fleet, stack.environment, name)
    wanted = [credential.name for credential in credentials if credential.auth == "app"]
    path = f"{stack_file(name)}.githubApps"
    for use in wanted:
        if use not in keys_of(raw, "githubApps"):
            hint = f"name the App: `{use}: {{id: …, installation: …}}`"
            yield Problem(path, f"environment `{stack.environment}` has `auth: app`, `{use}` is missing", hint)
    for use in stack.github_apps:
        if use not in wanted:
            hint = f"used here: {', '.join(f'`{name}`' for name in wanted)}" if wanted else "remove it"
            yield Problem(f"{path}.{use}", "this stack uses no such App", hint)


def _stack_variables(stack: Stack, fleet: Fleet, path: str) -> Iterator[Problem]:
    """Both write the same ConfigMap: a key that Git has as well would go back and forth."""
    yield from reserved_variables(stack.runtime_info, path)
    for name, cluster in fleet.clusters_in(stack.environment).items():
        for key in stack.runtime_info.keys() & cluster.runtime_info.keys():
            message = f"`{key}` is also set by `clusters.{name}.runtimeInfo` of fleet.yaml"
            yield Problem(f"{path}.{key}", message, "a variable has one owner; remove one of the two")


def _foreign_cluster(name: str, environment: str, fleet: Fleet) -> tuple[str, str]:
    if name in fleet.clusters:
        owner = fleet.clusters[name].environment
        return f"cluster `{name}` belongs to environment `{owner}`, this stack owns `{environment}`", ""
    return f"fleet.yaml has no cluster `{name}`", did_you_mean(name, fleet.clusters_in(environment))
