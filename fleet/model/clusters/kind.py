"""A cluster in local containers, made with the kind CLI."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from fleet.model.base import Certificates, Model
from fleet.model.clusters.node_images import NEWEST, NODE_IMAGES
from fleet.model.clusters.source import Minor, Source

HTTP_NODE_PORT = 30080
HTTPS_NODE_PORT = 30443
"""Node ports of the catalog's ingress controller on clusters that open host ports to it."""

Port = Annotated[int, Field(ge=1, le=65535)]


def _check_address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError as error:
        raise ValueError(f"not an IP address: {error}") from None
    return text


def _check_minor(minor: str) -> str:
    if minor not in NODE_IMAGES:
        known = ", ".join(f"`{each}`" for each in NODE_IMAGES)
        raise ValueError(f"no node image of `{minor}` is known, but of {known}; or give `nodeImage`")
    return minor


class PortMapping(Model):
    """A port of this machine that leads to a port of the first node."""

    host: Port
    """Port of this machine."""
    node: Port
    """Port of the node, e.g. the node port of a Service."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    """Protocol of the port."""
    address: Annotated[str, AfterValidator(_check_address)] = "127.0.0.1"
    """Address of this machine; by default nobody else reaches the port."""

    def meets(self, other: PortMapping) -> bool:
        """Whether both want the same port of this machine; an unspecified address stands for all."""
        anywhere = any(ip_address(each.address).is_unspecified for each in (self, other))
        same = (self.host, self.protocol) == (other.host, other.protocol)
        return same and (anywhere or self.address == other.address)


class Ingress(Model):
    """Ports of this machine that lead to the fleet's ingress controller."""

    http: Port = 80
    """Port of this machine for HTTP."""
    https: Port = 443
    """Port of this machine for HTTPS."""


class KindCluster(Source):
    """A cluster in local containers, made with the kind CLI. It cannot be changed: it is made anew instead."""

    kind: Literal["kind"]
    kubernetes: Annotated[Minor, AfterValidator(_check_minor)] | None = None
    """Kubernetes minor version; by default the newest that is known when the cluster is made."""
    node_image: Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")] | None = None
    """Node image, pinned by digest, instead of `kubernetes`."""
    control_planes: Annotated[int, Field(ge=1, le=9)] = 1
    """Nodes of the control plane."""
    workers: Annotated[int, Field(ge=0, le=50)] = 0
    """Other nodes; without them the control plane takes workloads."""
    ports: tuple[PortMapping, ...] = ()
    """Ports of this machine that lead into the cluster."""
    ingress: Ingress | None = None
    """Whether this machine's ports 80 and 443, or others, lead to the ingress controller."""
    mirrors: dict[
        Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+(:[0-9]+)?|_default)$")],
        Annotated[
            tuple[Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:/_-]+$")], ...], Field(min_length=1)
        ],
    ] = {}
    """Where nodes pull a registry's images from first, by the registry's host."""
    mirror_ca: Certificates | None = None
    """Certificates in PEM that the mirrors' are checked against, besides the node's own."""
    take_over: bool = False
    """Whether a kind cluster of that name that somebody else made becomes this stack's."""

    @property
    def image(self) -> str:
        """Reference of the node image."""
        return self.node_image or NODE_IMAGES[self.kubernetes or NEWEST]

    @property
    def is_version_open(self) -> bool:
        """Whether any version will do, so that a newer default is no reason to make the cluster anew."""
        return not self.node_image and not self.kubernetes

    @property
    def mappings(self) -> tuple[PortMapping, ...]:
        """All ports of this machine that lead into the cluster."""
        if self.ingress is None:
            return self.ports
        web = PortMapping(host=self.ingress.http, node=HTTP_NODE_PORT)
        return (*self.ports, web, PortMapping(host=self.ingress.https, node=HTTPS_NODE_PORT))

    def misnamed(self, name: str) -> str | None:
        """Nodes are hosts: their names are the cluster's with a suffix, of which the longest comes with several control
        planes."""
        longest = 63 - len("-external-load-balancer" if self.control_planes > 1 else "-control-plane")
        return f"the name is longer than {longest} characters, too long for its nodes" if len(name) > longest else None

    @field_validator("ingress", mode="before")
    @classmethod
    def _read_switch(cls, value: object) -> object:
        """`true` and `false` stand for the default ports and for none."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _name_one_image(self) -> KindCluster:
        if self.kubernetes and self.node_image:
            raise ValueError("give `kubernetes` or `nodeImage`, not both")
        if self.mirror_ca and not self.mirrors:
            raise ValueError("`mirrorCa` is for `mirrors`, and there are none")
        return self
