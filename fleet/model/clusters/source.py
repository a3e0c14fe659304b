"""What the kinds of clusters have in common."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fleet.model.base import DnsLabel, Model

Minor = Annotated[str, StringConstraints(pattern=r"^1\.[0-9]+$"), Field(strict=True)]
"""Kubernetes minor version, e.g. `1.35`."""


def _check_network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"not a network in CIDR notation: {error}") from None
    if not isinstance(network, IPv4Network):
        raise ValueError("the API server has IPv4 addresses only")  # noqa: TRY004 a fault of the text
    return text


Network = Annotated[str, AfterValidator(_check_network)]
"""IPv4 addresses in CIDR notation, e.g. `203.0.113.0/24`."""

PRIVATE: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
"""Addresses that nobody has on the Internet (RFC 1918, RFC 6598)."""


def is_private(network: str) -> bool:
    return any(IPv4Network(network).subnet_of(block) for block in PRIVATE)


class Source(Model):
    """How a cluster is made or taken."""

    renamed_from: DnsLabel | None = None
    """Name that the cluster was made by: it keeps that name, in the state too, instead of being made anew."""
    protect: bool | None = None
    """Whether its removal is refused; by default where the environment tracks releases."""

    def made_as(self, name: str) -> str:
        """Name that the cluster has in the state and where it was made; `name` is the one of fleet.yaml."""
        return self.renamed_from or name

    def misnamed(self, name: str) -> str | None:
        """Why no cluster of this kind can have that name; None where one can."""
        return None


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

    @property
    def private_networks(self) -> tuple[str, ...]:
        """Those of `openTo` that reach it by its private address."""
        return tuple(network for network in self.open_to if is_private(network))

    @property
    def public_networks(self) -> tuple[str, ...]:
        """Those of `openTo` that need a public address to reach."""
        return tuple(network for network in self.open_to if not is_private(network))
