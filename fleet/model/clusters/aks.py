"""A cluster of Azure Kubernetes Service."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from fleet.model.clusters.source import CloudCluster, NodePool


class AksCluster(CloudCluster):
    """A cluster of Azure Kubernetes Service."""

    kind: Literal["aks"]
    subscription: UUID
    """Azure subscription."""
    location: str
    """Azure region."""
    node_pools: Annotated[dict[str, NodePool], Field(min_length=1)] = {"default": NodePool(machine="Standard_D4s_v5")}
    """Node pools by name."""
