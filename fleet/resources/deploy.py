"""A stack, all of it side by side: its clusters, each made or taken, read, and bootstrapped with Flux, and the
repositories, where it makes them. Nothing is declared before GitHub has been looked at: a fault there stops the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from fleet.config import Settings
from fleet.errors import ClusterError, Problem
from fleet.resources import clusters, github, handover, live, managed, operator, updates
from fleet.resources.options import Scope, children


class FluxCluster(pulumi.ComponentResource):
    """A cluster with Flux on it, until Flux runs itself."""

    cluster: clusters.Cluster
    kubeconfig: pulumi.Output[str]
    instance: pulumi.Output[str]

    def __init__(self, name: str, *, settings: Settings, cluster: clusters.Cluster, verdicts: live.Verdicts) -> None:
        super().__init__("fleet:index:FluxCluster", name, opts=pulumi.ResourceOptions(deleted_with=cluster.made_by))
        scope = Scope(cluster=name, provider=clusters.provider(name, cluster, children(self)), parent=self)
        fleet, stack = settings.fleet, settings.stack
        bootstrap = operator.install(scope, settings, verdicts.operator)
        secrets = managed.secrets(scope, settings, bootstrap)
        info = managed.runtime_info(scope, {"FLEET_STACK": pulumi.get_stack()} | stack.runtime_info, bootstrap)
        sets = handover.resource_sets(scope, fleet, verdicts, [*bootstrap, *secrets, info])
        instance = handover.flux_instance(scope, fleet, verdicts.instance, stack.ready_timeout, [*secrets, info, *sets])
        self.cluster = cluster
        self.kubeconfig = cluster.kubeconfig
        self.instance = instance.id
        self.register_outputs({"instance": self.instance})


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What a stack consists of, by name."""

    clusters: Mapping[str, FluxCluster]
    repositories: Mapping[str, github.FleetRepository] = field(default_factory=dict)
    """None in a stack that only uses their names."""
    proposals: Mapping[str, str] = field(default_factory=dict)
    """In an update environment, the pull requests with new versions, by repository."""


async def deploy(settings: Settings) -> Deployment:
    """Raises PreflightError when the repositories cannot be made, and ClusterError when a cluster cannot be read in
    `up`."""
    found = await github.observe(settings) if settings.fleet.github.stack == pulumi.get_stack() else None
    made = await _clusters(settings)
    repositories = github.GitHub("github", settings=settings, found=found).repositories if found else {}
    proposals = await updates.update(settings, {name: (each.cluster, each.instance) for name, each in made.items()})
    return Deployment(clusters=made, repositories=repositories, proposals=proposals)


async def _clusters(settings: Settings) -> Mapping[str, FluxCluster]:
    sources = settings.stack.clusters
    made = {name: clusters.make(name, source, settings) for name, source in sources.items()}
    found = await asyncio.gather(
        *(live.observe(name, cluster) for name, cluster in made.items()), return_exceptions=True
    )
    verdicts = _without_failures(dict(zip(made, found, strict=True)))
    return {
        name: FluxCluster(name, settings=settings, cluster=cluster, verdicts=verdicts[name])
        for name, cluster in made.items()
    }


def _without_failures(found: Mapping[str, live.Verdicts | BaseException]) -> dict[str, live.Verdicts]:
    """Every cluster was awaited before the first failure is told, so one slow cluster hides no other's fault."""
    problems: list[Problem] = []
    for result in found.values():
        if isinstance(result, ClusterError):
            problems += result.problems
        elif isinstance(result, BaseException):
            raise result
    if problems:
        raise ClusterError(problems)
    return {name: result for name, result in found.items() if isinstance(result, live.Verdicts)}
