"""Clusters: one module a kind; each returns the same few things.

`make` picks the module by the word in the stack's configuration; `provider` is the only maker of Kubernetes providers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from fleet.config import Settings
from fleet.model import ClusterSource, KindCluster


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What every kind of cluster gives."""

    kubeconfig: pulumi.Output[str]
    """Always secret; unknown in a preview of a cluster that does not exist yet."""
    context: str | None = None
    """Context within the kubeconfig; None for its current one."""
    made_by: pulumi.Resource | None = None
    """The resource whose deletion takes the cluster's objects with it; None where others made the cluster."""


def make(name: str, source: ClusterSource, settings: Settings) -> Cluster:
    """The cluster of that name, made or taken as the stack says."""
    if isinstance(source, KindCluster):
        from fleet.resources.clusters.kind import make_kind

        return make_kind(name, source)
    return Cluster(kubeconfig=settings.kubeconfigs[name], context=source.context)


def provider(name: str, cluster: Cluster, opts: pulumi.ResourceOptions) -> pulumi.ProviderResource:
    """The explicit provider of a cluster.

    `cluster_identifier` keeps a changed server address from replacing every object; the mutable flags turn a changed
    secret or variable into an update; upsert lets a re-run after lost state take over what is there.
    """
    import pulumi_kubernetes as kubernetes

    return kubernetes.Provider(
        name,
        kubeconfig=cluster.kubeconfig,
        context=cluster.context,
        cluster_identifier=name,
        enable_server_side_apply=True,
        upsert_existing_objects=True,
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        opts=opts,
    )
