"""What the kinds of clusters have in common."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fleet.model.base import DnsLabel, Model

Minor = Annotated[str, StringConstraints(pattern=r"^1\.[0-9]+$"), Field(strict=True)]
"""Kubernetes minor version, e.g. `1.35`."""


def _check_network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"not a network in CIDR notation: {error}") from None
    return text


Network = Annotated[str, AfterValidator(_check_network)]
"""Addresses in CIDR notation, e.g. `203.0.113.0/24`."""


class Source(Model):
    """How a cluster is made or taken."""

    renamed_from: DnsLabel | None = None
    """Name that the cluster was made by: it keeps that name, in the state too, instead of being made anew."""
    protect: bool | None = None
    """Whether its removal is refused; by default where the environment tracks releases."""

    def made_as(self, name: str) -> str:
        """Name that the cluster has in the state and where it was made; `name` is the one of fleet.yaml."""
        return self.renamed_from or name


class NodePool(Model):
    """Nodes of one kind, as many as the workloads need."""

    machine: str
    """Machine type as the cloud names it."""
    min: Annotated[int, Field(ge=0)] = 1
    """Fewest nodes; of a zone where the cluster has several."""
    max: Annotated[int, Field(ge=1, le=1000)] = 3
    """Most nodes; of a zone where the cluster has several."""
    spot: bool = False
    """Cheaper nodes that the cloud may take back at any time."""

    @model_validator(mode="after")
    def _order(self) -> NodePool:
        if self.min > self.max:
            raise ValueError(f"`min` {self.min} is more than `max` {self.max}")
        return self


class CloudCluster(Source):
    """A managed cluster of a cloud: its API server is private, secrets are encrypted, workload identity is on."""

    version: Minor | None = None
    """Kubernetes minor version; by default the one that the cloud chooses."""
    open_to: tuple[Network, ...] = ()
    """Networks outside that may reach the API server; by default none, so that `up` runs inside the network."""
