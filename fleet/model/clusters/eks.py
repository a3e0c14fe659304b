"""A cluster of Amazon EKS."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from fleet.model.clusters.source import CloudCluster, Minor, Network

AUTO_MODE: Final = 29
"""The minor version of the first Kubernetes 1.x that has Auto Mode."""


def _refuse_repeated(values: tuple[str, ...]) -> tuple[str, ...]:
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"named twice: {', '.join(f'`{value}`' for value in repeated)}")
    return values


def _refuse_no_general_purpose(pools: tuple[str, ...]) -> tuple[str, ...]:
    if "general-purpose" not in pools:
        raise ValueError("`general-purpose` is missing, without which Flux has no node to run on")
    return pools


def _refuse_older(version: str) -> str:
    if int(version.partition(".")[2]) < AUTO_MODE:
        raise ValueError(f"EKS has Auto Mode from 1.{AUTO_MODE} on")
    return version


Subnet = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]
NodePools = Annotated[
    tuple[Literal["general-purpose", "system"], ...],
    AfterValidator(_refuse_repeated),
    AfterValidator(_refuse_no_general_purpose),
]
Principal = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]+$")]
"""ARN of an IAM role or user; neither a session nor the root of an account has access entries."""
Key = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-z-]+$")]
"""ARN of a KMS key; policies do not take an alias for it."""


class EksCluster(CloudCluster):
    """A cluster of Amazon EKS in Auto Mode: AWS adds, replaces and removes its nodes."""

    kind: Literal["eks"]
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    """AWS region."""
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] | None = None
    """AWS account, in quotes: `up` refuses credentials for another. By default, whichever the credentials are for."""
    version: Annotated[Minor, AfterValidator(_refuse_older)] | None = None
    """Kubernetes minor version; by default the newest when the cluster is made."""
    subnets: Annotated[tuple[Subnet, ...], Field(min_length=2), AfterValidator(_refuse_repeated)]
    """Private subnets of the nodes and of the API server's addresses, in two availability zones or more."""
    node_pools: NodePools = ("general-purpose", "system")
    """Node pools of AWS; `system` is for what tolerates `CriticalAddonsOnly`."""
    open_to: Annotated[tuple[Network, ...], AfterValidator(_refuse_repeated)] = ()
    """Networks that reach the API server: private ones at its private addresses, all others at a public one. By default
    only the cluster itself does."""
    admins: Annotated[tuple[Principal, ...], AfterValidator(_refuse_repeated)] = ()
    """ARNs of the IAM roles and users that administer the cluster, besides the one that makes it."""
    sops_keys: Annotated[tuple[Key, ...], AfterValidator(_refuse_repeated)] = ()
    """ARNs of the KMS keys that kustomize-controller itself may decrypt with."""
