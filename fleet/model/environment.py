"""Where the fleet runs: environments and the clusters in them."""

from __future__ import annotations

from typing import Any, Literal

from fleet.model.base import DnsLabel, DnsName, Model, VariableName, VariableValue


class Environment(Model):
    """A stage of delivery, with its own overlay in every component and tenant."""

    tracks: Literal["main", "releases"]
    """`main`: every change merged to main. `releases`: only what carries a release tag."""
    role: Literal["fleet", "update"] = "fleet"
    """`update`: its clusters live for one run, of image automation; the git design leaves them out."""
    auth: Literal["token", "app"] = "token"
    """How Flux and the program sign in to GitHub: with tokens of the bot, or as GitHub Apps."""

    @property
    def artifact_tag(self) -> str:
        """The moving OCI tag that the clusters of this environment follow."""
        return "latest" if self.tracks == "main" else "latest-stable"


class Cluster(Model):
    """A cluster of the fleet."""

    environment: DnsLabel
    """The environment whose state it runs."""
    domain: DnsName | None = None
    """DNS domain of what the cluster serves."""
    flux: dict[str, Any] = {}
    """Keys of the fleet's `flux` section that differ here."""
    runtime_info: dict[VariableName, VariableValue] = {}
    """More variables for the manifests of this cluster."""
