"""A cluster of Google Kubernetes Engine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fleet.model.base import DnsLabel
from fleet.model.clusters.source import CloudCluster, NodePool

NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""What GKE accepts as a cluster's name (`name` of its API's Cluster)."""

Repository = Annotated[str, StringConstraints(pattern=r"^projects/[^/]+/locations/[^/]+/repositories/[^/]+$")]
"""Full name of a repository of Artifact Registry."""
CryptoKey = Annotated[
    str, StringConstraints(pattern=r"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$")
]
"""Full name of a key of Cloud KMS."""


class GkeCluster(CloudCluster):
    """A cluster of Google Kubernetes Engine.

    Google tells service accounts of one name apart by project, not by cluster: what `registries` and `sopsKeys` admit
    is admitted on every cluster of the project.
    """

    kind: Literal["gke"]
    project: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]{4,28}[a-z0-9]$")]
    """Google Cloud project."""
    location: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+[0-9]+(-[a-z])?$")]
    """Region, or zone for a cluster in one zone."""
    network: str = "default"
    """Network of the nodes. They have no public address: it must lead out by Cloud NAT, or to a mirror."""
    subnetwork: str = "default"
    """Subnetwork of the nodes, in the cluster's region."""
    channel: Literal["RAPID", "REGULAR", "STABLE"] = "REGULAR"
    """Release channel, which upgrades the cluster; `version` is the oldest that it may have."""
    node_pools: Annotated[dict[DnsLabel, NodePool], Field(min_length=1)] = {
        "default": NodePool(machine="e2-standard-4")
    }
    """Node pools by name."""
    registries: tuple[Repository, ...] = ()
    """Full names of Artifact Registry repositories that source-controller and image-reflector-controller may read."""
    sops_keys: tuple[CryptoKey, ...] = ()
    """Full names of keys of Cloud KMS that kustomize-controller may decrypt with."""

    @property
    def region(self) -> str:
        """The region of the location; a zone is a region and a letter."""
        return re.sub(r"-[a-z]$", "", self.location)

    def misnamed(self, name: str) -> str | None:
        if NAME.fullmatch(name):
            return None
        return f"GKE refuses the name `{name}`: at most 40 characters, the first a letter"
