"""A stack, all of it side by side: its clusters, each made or taken, read, and bootstrapped with Flux, and the
repositories, where it makes them. Nothing is declared before GitHub has been looked at: a fault there stops the run.

A cluster that cannot be gone on with stops no other: nothing is declared for it, and the run ends with `LeftError`.
Since the program then fails, the engine deletes nothing. So ends a run in which a cluster breaks off, too, where the
engine goes on after an error (`pulumi up --continue-on-error`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap

import pulumi

from fleet.config import Settings
from fleet.errors import ClusterError, Problem
from fleet.resources import clusters, github, handover, live, managed, operator, updates
from fleet.resources.identity import CLUSTER_KEY, STACK_KEY, Identities
from fleet.resources.options import Scope, children


class LeftError(ClusterError):
    """Clusters that the run went on without, or that broke off."""

    title = "not every cluster was brought up"


class FluxCluster(pulumi.ComponentResource):
    """A cluster with Flux on it, until Flux runs itself."""

    cluster: clusters.Cluster
    kubeconfig: pulumi.Output[str]
    instance: pulumi.Output[str]

    def __init__(self, name: str, *, settings: Settings, cluster: clusters.Cluster, verdicts: live.Verdicts) -> None:
        fleet, stack = settings.fleet, settings.stack
        source, protect = stack.clusters[name], settings.protects(name)
        made_as, renamed = source.made_as(name), source.renamed_from is not None
        super().__init__("fleet:index:FluxCluster", made_as, opts=pulumi.ResourceOptions(deleted_with=cluster.made_by))
        provider = clusters.provider(made_as, cluster, children(self))
        scope = Scope(
            cluster=name,
            made_as=made_as,
            renamed=renamed,
            protect=protect,
            lasting=cluster.made_by is None,
            provider=provider,
            parent=self,
        )
        namespace = operator.namespace(scope)
        secrets = managed.secrets(scope, settings, [namespace])
        own: dict[str, pulumi.Input[str]] = {STACK_KEY: pulumi.get_stack(), CLUSTER_KEY: made_as}
        variables = own | dict(cluster.variables) | stack.runtime_info
        info = managed.runtime_info(scope, variables, [namespace])
        accounts = managed.controller_accounts(scope, fleet, variables, [namespace])
        bootstrap: list[pulumi.Resource] = [namespace, *secrets, info, *accounts]
        bootstrap.append(operator.install(scope, settings, verdicts.operator, bootstrap))
        sets = handover.resource_sets(scope, fleet, variables, verdicts, bootstrap)
        instance = handover.flux_instance(scope, fleet, verdicts, stack.ready_timeout, [*bootstrap, *sets])
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
    left: Sequence[Problem] = ()
    """Why clusters were left as they are."""

    async def check(self) -> None:
        """Waits for the clusters; to be called when everything is exported. Raises LeftError."""
        ended = [] if pulumi.runtime.is_dry_run() else await asyncio.gather(*starmap(_end, self.clusters.items()))
        if left := [*self.left, *(problem for problems in ended for problem in problems)]:
            raise LeftError(left)


async def _end(name: str, made: FluxCluster) -> Sequence[Problem]:
    """What is wrong with a cluster once all is done. Its last object is known, unless it or what it needs failed."""
    if not await made.instance.is_known():
        hint = "correct what failed, then run `up` again: it goes on from there"
        return [Problem(f"clusters.{name}", "broke off, what failed is told on its own", hint)]
    try:
        await live.confirm(name, made.cluster)
    except ClusterError as error:
        return error.problems
    return []


async def deploy(settings: Settings) -> Deployment:
    """Raises ConfigError when this machine lacks something that a cluster needs, and PreflightError when the
    repositories cannot be made."""
    gone = await clusters.observe(settings.stack.clusters)
    found = await github.observe(settings) if settings.fleet.github.stack == pulumi.get_stack() else None
    repositories = github.GitHub("github", settings=settings, found=found).repositories if found else {}
    made, left = await _clusters(settings, gone)
    proposals = await updates.update(settings, {name: (each.cluster, each.instance) for name, each in made.items()})
    return Deployment(clusters=made, repositories=repositories, proposals=proposals, left=left)


async def _clusters(settings: Settings, gone: Collection[str]) -> tuple[Mapping[str, FluxCluster], Sequence[Problem]]:
    """The clusters that were gone on with, each as soon as it is read, and why the others were not."""
    sources, identities = settings.stack.clusters, Identities(stack=pulumi.get_stack())
    made = {name: clusters.make(name, source, settings, gone=name in gone) for name, source in sources.items()}
    clusters.share(sources, made)

    async def bring_up(name: str) -> FluxCluster | Sequence[Problem]:
        try:
            found = await live.observe(name, made[name])
        except ClusterError as error:
            return [Problem(p.path, f"left as it is: {p.message}", p.hint) for p in error.problems]
        if fault := identities.fault(name, sources[name], found):
            return [Problem(fault.path, f"left as it is: {fault.message}", fault.hint)]
        return FluxCluster(name, settings=settings, cluster=made[name], verdicts=found)

    results = dict(zip(made, await asyncio.gather(*map(bring_up, made)), strict=True))
    up = {name: result for name, result in results.items() if isinstance(result, FluxCluster)}
    return up, [problem for result in results.values() if not isinstance(result, FluxCluster) for problem in result]
