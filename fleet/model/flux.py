"""How Flux is run on a cluster: distribution, size, lock-down. The operator's own schema rules are mirrored.

The rules come from the FluxInstance CRD of Flux Operator 0.58 (its `x-kubernetes-validations` and enums), so what
the API server would refuse is refused before anything is made.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fleet import names
from fleet.model.base import (
    DnsLabel,
    DnsName,
    Duration,
    ImageName,
    Manifest,
    Model,
    OciUrl,
    Quantity,
    RegistryBase,
    Version,
    VersionRange,
)

OLDEST = (2, 8)
"""Before, Flux lacks what the trees use: `readyExpr`, RetryOnFailure, source-watcher, ImageUpdateAutomation v1."""

Controller = Literal[
    "source-controller",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
    "image-reflector-controller",
    "image-automation-controller",
    "source-watcher",
]

CORE: tuple[Controller, ...] = (
    "source-controller",
    "source-watcher",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
)
AUTOMATION: tuple[Controller, ...] = ("image-reflector-controller", "image-automation-controller")
UPDATE: tuple[Controller, ...] = ("source-controller", "kustomize-controller", *AUTOMATION)
"""Controllers of the update cluster, which only moves chart versions in Git."""


class Operator(Model):
    """The Flux Operator."""

    version: Version = "0.58.1"
    """Exact chart version, of the first install and of what Flux keeps it at."""
    chart: OciUrl = names.OPERATOR_CHART
    """Address of its chart."""
    image: ImageName = names.OPERATOR_IMAGE
    """Name of its image; the tag is that of the version."""
    report_interval: Duration = "45s"
    """Time between two FluxReports."""


class Storage(Model):
    """The volume of source-controller."""

    class_: Annotated[str, Field(alias="class")]
    """Storage class of the claim."""
    size: Quantity
    """Size of the claim as a Kubernetes quantity, e.g. `10Gi`."""


class Sharding(Model):
    """Splits the controllers' work by label."""

    shards: Annotated[tuple[DnsLabel, ...], Field(min_length=1)]
    """Names of the shards, at least one."""
    storage: Literal["ephemeral", "persistent"] = "ephemeral"
    """`persistent` needs `storage` of the instance."""


class Flux(Model):
    """Flux on a cluster; a cluster's own `flux` section overrides the fleet's key by key."""

    version: VersionRange = "2.x"
    """Flux version as a semver range; 2.8 or later."""
    registry: RegistryBase = "ghcr.io/fluxcd"
    """Registry of the controllers' images."""
    variant: (
        Literal["upstream-alpine", "enterprise-alpine", "enterprise-distroless", "enterprise-distroless-fips"] | None
    ) = None
    """Distribution flavour; leave it out for upstream."""
    artifact: OciUrl | None = names.MANIFESTS_ARTIFACT
    """OCI artifact with the manifests of the controllers."""
    image_pull_secret: DnsName | None = None
    """Secret in flux-system for the controllers' images."""
    artifact_pull_secret: DnsName | None = None
    """Secret in flux-system for the artifact with their manifests."""
    components: tuple[Controller, ...] | None = None
    """Controllers to install; by default what the cluster's role needs."""
    type: Literal["kubernetes", "openshift", "aws", "azure", "gcp"] = "kubernetes"
    """Kind of Kubernetes distribution."""
    size: Literal["small", "medium", "large"] = "medium"
    """Concurrency and limits of the controllers."""
    multitenant: bool = True
    """Multi-tenancy lock-down."""
    network_policy: bool = True
    """Restrict network access to flux-system."""
    object_level_workload_identity: bool = False
    """Workload identity by object: what is encrypted is decrypted as account `flux` of its namespace."""
    multitenant_workload_identity: bool = False
    """Lock-down of workload identity, for sources too; needs `objectLevelWorkloadIdentity`."""
    registry_provider: Literal["generic", "aws", "azure", "gcp"] = "generic"
    """How source-controller signs in to the fleet's registry: `generic`, with a token; a cloud, as its own identity."""
    sync_interval: Duration = "1m"
    """Time between two looks at the fleet artifact."""
    sharding: Sharding | None = None
    """Sharding of the controllers."""
    storage: Storage | None = None
    """Volume of source-controller."""
    patches: tuple[Manifest, ...] = ()
    """Kustomize patches of the controllers, after the fleet's own."""

    @model_validator(mode="after")
    def _mirror_operator_rules(self) -> Flux:
        faults = []
        if self.multitenant_workload_identity and not self.object_level_workload_identity:
            faults.append("`multitenantWorkloadIdentity` needs `objectLevelWorkloadIdentity: true`")
        if self.sharding and self.sharding.storage == "persistent" and self.storage is None:
            faults.append("`sharding.storage: persistent` needs `storage`")
        if _allows_only_older(self.version, OLDEST):
            faults.append("Flux 2.8 or later is needed, `version` allows only older ones")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _allows_only_older(version: str, oldest: tuple[int, int]) -> bool:
    """Whether a range that starts with its highest `major.minor` lies below `oldest`; `2.x` and `>=2.3` do not."""
    pinned = re.match(r"[v=~]*(\d+)(?:\.(\d+))?", version)
    return bool(pinned) and (int(pinned[1]), int(pinned[2] or oldest[1])) < oldest  # type: ignore[index]
