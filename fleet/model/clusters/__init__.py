"""How a stack makes each of its clusters, or which one it takes: one module a kind, like `fleet.resources.clusters`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fleet.model.clusters.aks import AksCluster
from fleet.model.clusters.eks import EksCluster
from fleet.model.clusters.existing import ExistingCluster
from fleet.model.clusters.gke import GkeCluster
from fleet.model.clusters.kind import KindCluster

__all__ = ["AksCluster", "ClusterSource", "EksCluster", "ExistingCluster", "GkeCluster", "KindCluster"]

ClusterSource = Annotated[
    KindCluster | ExistingCluster | EksCluster | GkeCluster | AksCluster, Field(discriminator="kind")
]
