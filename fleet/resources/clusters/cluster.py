"""What every kind of cluster gives, and the Kubernetes provider that works on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What every kind of cluster gives."""

    identity: pulumi.Input[str]
    """Tells it from every other cluster: where this changes, everything on the cluster is made anew."""
    kubeconfig: pulumi.Output[str]
    """Its current context is the cluster's. Always secret; unknown in a preview of one that does not exist yet."""
    made_by: pulumi.Resource | None = None
    """The resource whose deletion takes the cluster's objects with it; None where others made the cluster."""
    variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """What only its maker knows, for `flux-runtime-info`: the identities that Flux signs in to the cloud with."""


def provider(name: str, cluster: Cluster, opts: pulumi.ResourceOptions) -> pulumi.ProviderResource:
    """The explicit provider of a cluster.

    `cluster_identifier` keeps a changed server address from replacing every object; the mutable flags turn a changed
    secret or variable into an update; upsert lets a re-run after lost state take over what is there. A cluster that
    does not answer keeps what the state says of it: a refresh of the others must not fail over it.
    """
    import pulumi_kubernetes as kubernetes

    return kubernetes.Provider(
        name,
        kubeconfig=cluster.kubeconfig,
        cluster_identifier=cluster.identity,
        enable_server_side_apply=True,
        upsert_existing_objects=True,
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        skip_update_unreachable=True,
        opts=opts,
    )
