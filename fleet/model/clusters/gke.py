"""A cluster of Google Kubernetes Engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.clusters.source import CloudCluster, NodePool


class GkeCluster(CloudCluster):
    """A cluster of Google Kubernetes Engine."""

    kind: Literal["gke"]
    project: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]{4,28}[a-z0-9]$")]
    """Google Cloud project."""
    location: str
    """Region, or zone for a cluster in one zone."""
    node_pools: Annotated[dict[str, NodePool], Field(min_length=1)] = {"default": NodePool(machine="e2-standard-4")}
    """Node pools by name."""
