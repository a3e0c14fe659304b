"""The only reader of a live cluster: once per run and cluster, who owns the objects that Flux may have taken over, and
which cluster it is.

An API error leaves the cluster out of `up`: acting on a guess could undo what Flux did. In a preview the verdict is
then `unknown`, which plans without touching. Reading happens in a thread, so that clusters are read side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import pulumi

from fleet import names
from fleet.errors import ClusterError, Problem
from fleet.ownership import ABSENT, UNKNOWN, Verdict, judge
from fleet.resources.clusters.cluster import Cluster
from fleet.resources.connection import Object, connect, path_of


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Verdicts on the objects of one cluster that are handed over, and what tells it from others."""

    operator: Verdict
    instance: Verdict
    sets: Mapping[str, Verdict] = field(default_factory=dict)
    readable: bool = True
    path: str = ""
    """Folder that the FluxInstance follows."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those of `flux-runtime-info`: Git's, and the stack's."""
    uid: str = ""
    """Of namespace kube-system, which lives as long as the cluster."""

    def resource_set(self, name: str) -> Verdict:
        return self.sets.get(name, ABSENT if self.readable else UNKNOWN)


UNREADABLE = Verdicts(operator=UNKNOWN, instance=UNKNOWN, readable=False)


async def observe(name: str, cluster: Cluster) -> Verdicts:
    """The verdicts of a cluster. Raises ClusterError in `up` when it was not made, does not answer, or refuses."""
    if not await cluster.kubeconfig.is_known():
        if pulumi.runtime.is_dry_run():
            return UNREADABLE
        message = "was not made, what failed is told on its own"
        raise ClusterError([Problem(f"clusters.{name}", message, "correct it, then run `up` again")])
    kubeconfig = await cluster.kubeconfig.future()
    try:
        return await asyncio.to_thread(read, str(kubeconfig))
    except Exception as error:  # whatever the client raises: we must not guess
        hint = "is it running, and does the kubeconfig still admit us?"
        problem = Problem(f"clusters.{name}", f"cannot be read: {error}", hint)
        if not pulumi.runtime.is_dry_run():
            raise ClusterError([problem]) from error
        pulumi.log.warn(f"{problem}\nthe plan of this cluster is made without knowing what Flux has taken over")
        return UNREADABLE


async def confirm(name: str, cluster: Cluster) -> None:
    """Asks a cluster once more when all is done. Raises ClusterError: to the provider, what does not answer when it is
    opened is as it should be, so what was to change there may not have changed."""
    try:
        await asyncio.to_thread(ask, str(await cluster.kubeconfig.future()))
    except Exception as error:
        hint = "run `up` again when it is back"
        raise ClusterError([Problem(f"clusters.{name}", f"was lost during the run: {error}", hint)]) from error


def ask(kubeconfig: str) -> None:
    """One request. Raises whatever the client raises."""
    with connect(kubeconfig) as api:
        api.find(path_of("v1", "namespaces", names.FLUX_NAMESPACE))


def read(kubeconfig: str) -> Verdicts:
    """Five requests: kube-system, the variables, the FluxInstance, the operator's Deployment, the ResourceSets."""
    own = partial(path_of, namespace=names.FLUX_NAMESPACE)
    with connect(kubeconfig) as api:
        system = api.find(path_of("v1", "namespaces", "kube-system")) or {}
        info = api.find(own("v1", "configmaps", names.RUNTIME_INFO)) or {}
        instance = api.find(own(names.OPERATOR_API, "fluxinstances", names.INSTANCE))
        operator = api.find(own("apps/v1", "deployments", names.OPERATOR))
        sets = api.find(own(names.OPERATOR_API, "resourcesets")) or {}
    return Verdicts(
        operator=judge(_labels(operator)),
        instance=judge(_labels(instance)),
        sets={item["metadata"]["name"]: judge(_labels(item)) for item in sets.get("items", ())},
        path=str(((instance or {}).get("spec") or {}).get("sync", {}).get("path", "")),
        variables=info.get("data") or {},
        uid=str(system.get("metadata", {}).get("uid", "")),
    )


def _labels(found: Object | None) -> Mapping[str, str] | None:
    return None if found is None else found["metadata"].get("labels") or {}
