"""Clusters: one module a kind; each returns the same few things.

`make` picks the module by the word in the stack's configuration, so that no cloud's packages are imported for another;
`provider` is the only maker of Kubernetes providers.
"""

from __future__ import annotations

from collections.abc import Mapping

from fleet.config import Settings
from fleet.errors import ConfigError
from fleet.model import AksCluster, ClusterSource, EksCluster, ExistingCluster, GkeCluster, KindCluster
from fleet.model.mirror import Mirror
from fleet.resources.clusters.cluster import Cluster, provider
from fleet.resources.clusters.extras import missing_extras

__all__ = ["Cluster", "check", "make", "observe", "provider", "share"]


def check(sources: Mapping[str, ClusterSource]) -> None:
    """Raises ConfigError with everything that this machine lacks for them, before the first is declared."""
    if problems := list(missing_extras(sources)):
        raise ConfigError(problems)


async def observe(sources: Mapping[str, ClusterSource]) -> frozenset[str]:
    """Looks at what is there before anything is declared: the names of the clusters that the state has, but that are
    gone. Raises ConfigError with everything that this machine lacks, and ClusterError with what is in the way."""
    check(sources)
    kinds = {name: source for name, source in sources.items() if isinstance(source, KindCluster)}
    if not kinds:
        return frozenset()
    from fleet.resources.clusters.kind import observe_kind

    return await observe_kind(kinds)


def make(name: str, source: ClusterSource, settings: Settings, *, gone: bool = False) -> Cluster:
    """The cluster of that name in fleet.yaml, made or taken as the stack says; anew if it is `gone`."""
    match source:
        case ExistingCluster():
            return Cluster(identity=source.made_as(name), kubeconfig=settings.kubeconfigs[name])
        case KindCluster():
            from fleet.resources.clusters.kind import make_kind

            image, trusting = settings.fleet.pulled_from(source.image), _trusting(source, settings.fleet.mirror)
            return make_kind(source.made_as(name), trusting, image=image, gone=gone, protect=settings.protects(name))
        case EksCluster():
            from fleet.resources.clusters.eks import make_eks

            return make_eks(source.made_as(name), source, protect=settings.protects(name))
        case GkeCluster():
            from fleet.resources.clusters.gke import make_gke

            return make_gke(source.made_as(name), source, protect=settings.protects(name))
        case AksCluster():
            from fleet.resources.clusters.aks import make_aks

            return make_aks(source.made_as(name), source, protect=settings.protects(name))


def _trusting(source: KindCluster, mirror: Mirror | None) -> KindCluster:
    """Whose nodes trust the fleet's mirror: no other kind of cluster has nodes that could be told to."""
    if mirror is None or mirror.ca is None or source.mirrors:
        return source
    servers = {server: (f"https://{server}",) for server in mirror.servers}
    return source.model_copy(update={"mirrors": servers, "mirror_ca": mirror.ca})


def share(sources: Mapping[str, ClusterSource], made: Mapping[str, Cluster]) -> None:
    """Declares what clusters have in common: Google grants rights to the accounts of a project, not of a cluster."""
    google = {name: source for name, source in sources.items() if isinstance(source, GkeCluster)}
    for project in sorted({source.project for source in google.values()}):
        from fleet.resources.clusters.gke import admit_flux

        own = {name: source for name, source in google.items() if source.project == project}
        admit_flux(project, list(own.values()), [by for name in own if (by := made[name].made_by)])
