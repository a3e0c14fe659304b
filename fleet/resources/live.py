"""The only reader of a live cluster: once per run and cluster, who owns the objects that Flux may have taken over.

An API error stops `up`: acting on a guess could undo what Flux did. In a preview the verdict is then `unknown`, which
plans without touching. Reading happens in a thread, so that clusters are read side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pulumi

from fleet import names
from fleet.errors import ClusterError, Problem
from fleet.ownership import ABSENT, UNKNOWN, Verdict, judge
from fleet.resources.clusters import Cluster

Labels = Mapping[str, str]

TIMEOUT = 10.0
"""Seconds for one request."""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Verdicts on the objects of one cluster that are handed over."""

    operator: Verdict
    instance: Verdict
    sets: Mapping[str, Verdict] = field(default_factory=dict)
    readable: bool = True

    def resource_set(self, name: str) -> Verdict:
        return self.sets.get(name, ABSENT if self.readable else UNKNOWN)


UNREADABLE = Verdicts(operator=UNKNOWN, instance=UNKNOWN, readable=False)


async def observe(name: str, cluster: Cluster) -> Verdicts:
    """The verdicts of a cluster. Raises ClusterError in `up` when it does not answer or refuses."""
    if not await cluster.kubeconfig.is_known():
        return UNREADABLE
    kubeconfig = await cluster.kubeconfig.future()
    try:
        return await asyncio.to_thread(read, str(kubeconfig), cluster.context)
    except Exception as error:  # noqa: BLE001 whatever the client raises: we must not guess
        problem = Problem(f"clusters.{name}", f"cannot be read: {error}", "is it running, and does the kubeconfig still admit us?")
        if not pulumi.runtime.is_dry_run():
            raise ClusterError([problem]) from error
        pulumi.log.warn(f"{problem}\nthe plan of this cluster is made without knowing what Flux has taken over")
        return UNREADABLE


def read(kubeconfig: str, context: str | None) -> Verdicts:
    """Three requests: the operator's Deployment, the FluxInstance, the ResourceSets of flux-system."""
    import httpx2
    import yaml
    from lightkube import Client, KubeConfig
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.resources.apps_v1 import Deployment

    group, version = names.OPERATOR_API.split("/")
    instances = create_namespaced_resource(group, version, "FluxInstance", "fluxinstances")
    sets = create_namespaced_resource(group, version, "ResourceSet", "resourcesets")
    document = yaml.safe_load(kubeconfig)
    if not isinstance(document, dict) or "clusters" not in document:
        raise ValueError("the kubeconfig holds no clusters")
    config = KubeConfig.from_dict(document).get(context)
    client = Client(config, namespace=names.FLUX_NAMESPACE, timeout=httpx2.Timeout(TIMEOUT), trust_env=False)
    return Verdicts(
        operator=judge(_labels(lambda: [client.get(Deployment, names.OPERATOR)]).get(names.OPERATOR)),
        instance=judge(_labels(lambda: [client.get(instances, names.INSTANCE)]).get(names.INSTANCE)),
        sets={name: judge(labels) for name, labels in _labels(lambda: client.list(sets)).items()},
    )


def _labels(fetch: Callable[[], Iterable[Any]]) -> dict[str, Labels]:
    """Labels by name of what `fetch` finds; a missing object, kind or namespace is no error."""
    from lightkube import ApiError

    try:
        found = list(fetch())
    except ApiError as error:
        if error.status.code == HTTPStatus.NOT_FOUND:
            return {}
        raise
    return {item.metadata.name: item.metadata.labels or {} for item in found}
