"""The only reader of a live cluster: once per run and cluster, who owns the objects that Flux may have taken over.

An API error stops `up`: acting on a guess could undo what Flux did. In a preview the verdict is then `unknown`, which
plans without touching. Reading happens in a thread, so that clusters are read side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pulumi

from fleet import names
from fleet.errors import ClusterError, Problem
from fleet.ownership import ABSENT, UNKNOWN, Verdict, judge
from fleet.resources.clusters.cluster import Cluster

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig

Labels = Mapping[str, str]

TIMEOUT = 10.0
"""Seconds for one request."""
RETRIES = 10
PAUSE = 1.0
"""Tries and seconds between them while the API server asks for patience (429), as it does when CRDs have just come."""


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
    except Exception as error:  # whatever the client raises: we must not guess
        hint = "is it running, and does the kubeconfig still admit us?"
        problem = Problem(f"clusters.{name}", f"cannot be read: {error}", hint)
        if not pulumi.runtime.is_dry_run():
            raise ClusterError([problem]) from error
        pulumi.log.warn(f"{problem}\nthe plan of this cluster is made without knowing what Flux has taken over")
        return UNREADABLE


def read(kubeconfig: str, context: str | None) -> Verdicts:
    """Three requests: the operator's Deployment, the FluxInstance, the ResourceSets of flux-system."""
    import httpx2
    from lightkube import Client
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.resources.apps_v1 import Deployment

    group, version = names.OPERATOR_API.split("/")
    instances = create_namespaced_resource(group, version, "FluxInstance", "fluxinstances")
    sets = create_namespaced_resource(group, version, "ResourceSet", "resourcesets")
    config, timeout = _connection(kubeconfig, context), httpx2.Timeout(TIMEOUT)
    with Client(config, namespace=names.FLUX_NAMESPACE, timeout=timeout, trust_env=False) as client:
        return Verdicts(
            operator=judge(_labels(lambda: [client.get(Deployment, names.OPERATOR)]).get(names.OPERATOR)),
            instance=judge(_labels(lambda: [client.get(instances, names.INSTANCE)]).get(names.INSTANCE)),
            sets={name: judge(labels) for name, labels in _labels(lambda: client.list(sets)).items()},
        )


def _connection(kubeconfig: str, context: str | None) -> SingleConfig | None:
    """Raises ValueError that does not quote the kubeconfig, as YAML's own errors would, credentials and all."""
    import yaml
    from lightkube import KubeConfig

    try:
        document = yaml.safe_load(kubeconfig)
    except yaml.YAMLError:
        raise ValueError("the kubeconfig is not valid YAML") from None
    if not isinstance(document, dict):
        raise ValueError("the kubeconfig is not a mapping")  # noqa: TRY004 a fault of the text, not of the call
    try:
        return KubeConfig.from_dict(document).get(context)
    except KeyError as error:
        raise ValueError(f"the kubeconfig lacks `{error.args[0]}`") from None


def _labels(fetch: Callable[[], Iterable[Any]]) -> dict[str, Labels]:
    """Labels by name of what `fetch` finds; a missing object, kind or namespace is no error.

    A missing kind is answered in plain text, which lightkube does not make an ApiError of.
    """
    import httpx2

    for patience in range(RETRIES, -1, -1):
        try:
            return {item.metadata.name: item.metadata.labels or {} for item in fetch()}
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == HTTPStatus.NOT_FOUND:
                break
            if error.response.status_code != HTTPStatus.TOO_MANY_REQUESTS or not patience:
                raise
            time.sleep(PAUSE)
    return {}
