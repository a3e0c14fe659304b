"""A cluster of Amazon EKS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.clusters.source import CloudCluster


class EksCluster(CloudCluster):
    """A cluster of Amazon EKS in Auto Mode."""

    kind: Literal["eks"]
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    """AWS region."""
    subnets: Annotated[tuple[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")], ...], Field(min_length=2)]
    """Private subnets of the nodes and of the API server's addresses, in two availability zones or more."""
