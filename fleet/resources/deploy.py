"""A stack's clusters, each made or taken, read, and bootstrapped with Flux; all of them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pulumi

from fleet.config import REGISTRY_TOKEN, Settings
from fleet.errors import ClusterError, Problem
from fleet.resources import clusters, handover, live, managed, operator
from fleet.resources.options import Scope, children


class FluxCluster(pulumi.ComponentResource):
    """A cluster with Flux on it, until Flux runs itself."""

    kubeconfig: pulumi.Output[str]
    instance: pulumi.Output[str]

    def __init__(self, name: str, *, settings: Settings, cluster: clusters.Cluster, verdicts: live.Verdicts) -> None:
        super().__init__("fleet:index:FluxCluster", name, opts=pulumi.ResourceOptions(deleted_with=cluster.made_by))
        scope = Scope(cluster=name, provider=clusters.provider(name, cluster, children(self)), parent=self)
        fleet, stack = settings.fleet, settings.stack
        bootstrap = operator.install(scope, settings, verdicts.operator)
        secret = managed.registry_secret(scope, fleet, settings.secrets[REGISTRY_TOKEN], bootstrap)
        info = managed.runtime_info(scope, {"FLEET_STACK": pulumi.get_stack()} | stack.runtime_info, bootstrap)
        sets = handover.resource_sets(scope, fleet, verdicts, [*bootstrap, secret, info])
        instance = handover.flux_instance(scope, fleet, verdicts.instance, stack.ready_timeout, [secret, info, *sets])
        self.kubeconfig = cluster.kubeconfig
        self.instance = instance.id
        self.register_outputs({"instance": self.instance})


async def deploy(settings: Settings) -> Mapping[str, FluxCluster]:
    """The stack's clusters by name. Raises ClusterError when a cluster that is there cannot be read in `up`."""
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
