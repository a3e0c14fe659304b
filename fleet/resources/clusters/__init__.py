"""Clusters: one module a kind; each returns the same few things.

`make` picks the module by the word in the stack's configuration, so that no cloud's packages are imported for another;
`provider` is the only maker of Kubernetes providers.
"""

from __future__ import annotations

from fleet.config import Settings
from fleet.model import AksCluster, ClusterSource, EksCluster, ExistingCluster, GkeCluster, KindCluster
from fleet.resources.clusters.cluster import Cluster, provider

__all__ = ["Cluster", "make", "provider"]


def make(name: str, source: ClusterSource, settings: Settings) -> Cluster:
    """The cluster of that name in fleet.yaml, made or taken as the stack says."""
    match source:
        case ExistingCluster():
            return Cluster(identity=source.made_as(name), kubeconfig=settings.kubeconfigs[name], context=source.context)
        case KindCluster():
            from fleet.resources.clusters.kind import make_kind

            return make_kind(source.made_as(name), source)
        case EksCluster() | GkeCluster() | AksCluster():
            raise NotImplementedError
