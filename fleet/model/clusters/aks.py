"""A cluster of Azure Kubernetes Service."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fleet.model.clusters.source import CloudCluster, Network, NodePool, is_private

SYSTEM: Final = "system"
"""Name of the system pool."""

_GROUP: Final = r"^/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[^/]+/providers"
PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,11}$")]
"""What AKS accepts as the name of a pool of Linux nodes: at most 12 letters and digits, the first a letter."""
Registry = Annotated[str, StringConstraints(pattern=_GROUP + r"/Microsoft\.ContainerRegistry/registries/[^/]+$")]
"""Resource id of an Azure Container Registry."""
VaultKey = Annotated[str, StringConstraints(pattern=_GROUP + r"/Microsoft\.KeyVault/vaults/[^/]+/keys/[^/]+$")]
"""Resource id of a key of Azure Key Vault, not its address."""
Subnet = Annotated[str, StringConstraints(pattern=_GROUP + r"/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$")]
"""Resource id of a subnet."""


def _refuse_private(network: str) -> str:
    if is_private(network):
        raise ValueError("a private cluster answers its own network as it is; this opens it to public addresses")
    return network


PublicNetwork = Annotated[Network, AfterValidator(_refuse_private)]


class SystemPool(NodePool):
    """Nodes that AKS's own pods run on, and others too."""

    @model_validator(mode="after")
    def _keep(self) -> SystemPool:
        """AKS's rules for system node pools (learn.microsoft.com/azure/aks/use-system-pools)."""
        if self.spot:
            raise ValueError("AKS runs its own pods here and refuses spot nodes; use `nodePools` for these")
        if self.min < 1:
            raise ValueError("AKS runs its own pods here: `min` is 1 or more")
        return self


class AksCluster(CloudCluster):
    """A cluster of Azure Kubernetes Service."""

    kind: Literal["aks"]
    subscription: UUID
    """Azure subscription."""
    location: Annotated[str, Field(pattern=r"^[a-z]+[a-z0-9]*$")]
    """Azure region, in one word."""
    admin_groups: Annotated[tuple[UUID, ...], Field(min_length=1)]
    """Object ids of the Entra groups that administer the cluster; whoever runs `up` must be in one."""
    open_to: Annotated[tuple[PublicNetwork, ...], Field(max_length=200)] = ()
    """Public networks that may reach the API server, which is then no longer private; AKS changes neither later."""
    zones: tuple[Literal["1", "2", "3"], ...] = ("1", "2", "3")
    """Availability zones of the nodes; none in a region without them."""
    subnet: Subnet | None = None
    """Subnet of the nodes; by default one that AKS makes, which nobody outside is connected to."""
    channel: Literal["rapid", "stable", "patch", "node-image", "none"] | None = None
    """Channel of automatic upgrades; by default `stable`, or `patch` beside a `version`."""
    system_pool: SystemPool = SystemPool(machine="Standard_D4s_v5")
    """The pool that every cluster must have."""
    node_pools: dict[PoolName, NodePool] = {}
    """More node pools, by names of at most 12 small letters and digits, the first a letter."""
    registries: tuple[Registry, ...] = ()
    """Resource ids of container registries that source-controller and image-reflector-controller may read."""
    sops_keys: tuple[VaultKey, ...] = ()
    """Resource ids of keys, in vaults with role-based access, that kustomize-controller may decrypt with."""

    @property
    def upgrades(self) -> str:
        """The channel of automatic upgrades."""
        return self.channel or ("patch" if self.version else "stable")

    @model_validator(mode="after")
    def _agree(self) -> AksCluster:
        faults = []
        if self.version and self.channel in ("rapid", "stable"):
            faults.append(f"channel `{self.channel}` leaves version `{self.version}`; use `patch`, or drop one")
        if SYSTEM in self.node_pools:
            faults.append(f"a node pool cannot be named `{SYSTEM}`: that is the system pool's name")
        if faults:
            raise ValueError("; ".join(faults))
        return self
