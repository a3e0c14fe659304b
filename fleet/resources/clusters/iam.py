"""What AWS lets a cluster and its controllers do: IAM policies as documents, and the names of AWS' own.

Called by `eks.py`. Pure, so that the least that each is allowed can be read here.
Sources: the EKS user guide on the roles of Auto Mode and of Pod Identity; fluxcd.io on what its controllers need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fleet.resources.clusters.cloud import digest

CLUSTER_POLICIES: Final = (
    "AmazonEKSClusterPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
PULLING: Final = "AmazonEC2ContainerRegistryPullOnly"
NODE_POLICIES: Final = ("AmazonEKSWorkerNodeMinimalPolicy", PULLING)
ADMIN_POLICY: Final = "AmazonEKSClusterAdminPolicy"

ENCRYPTING: Final = ("kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:ListGrants")
"""EKS lists the key's grants to see whether the cluster is in order."""
DECRYPTING: Final = ("kms:Decrypt",)
LISTING: Final = ("ecr:ListImages",)
"""A range of versions needs the tags, which nobody must list to pull."""

LONGEST: Final = 64
"""Characters of a role's name."""


def role_name(cluster: str, region: str, purpose: str) -> str:
    """Roles belong to no region, and clusters of one name may be in several."""
    end = f"-{purpose}-{digest(f'{region}/{cluster}')}"
    return cluster[: LONGEST - len(end)] + end


def policy_arn(region: str, name: str) -> str:
    """Of one of AWS' own policies."""
    return f"arn:{partition(region)}:iam::aws:policy/{name}"


def access_policy_arn(region: str, name: str) -> str:
    """Of one of EKS' own policies on what somebody may do in a cluster."""
    return f"arn:{partition(region)}:eks::aws:cluster-access-policy/{name}"


def partition(region: str) -> str:
    """China and the American government have an AWS of their own."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def allow(actions: Sequence[str], resources: Sequence[str]) -> str:
    return _document({"Action": list(actions), "Resource": list(resources)})


def trust(service: str, *actions: str) -> str:
    """Who may take a role on."""
    return _document({"Action": list(actions), "Principal": {"Service": service}})


def trust_pods(cluster_arn: str, namespace: str, accounts: Sequence[str]) -> str:
    """Pods of these ServiceAccounts of this very cluster may take a role on: Pod Identity tells who asks by tags."""
    tags = {"eks-cluster-arn": [cluster_arn], "kubernetes-namespace": [namespace]}
    wanted = tags | {"kubernetes-service-account": list(accounts)}
    return _document(
        {
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Condition": {"StringEquals": {f"aws:RequestTag/{tag}": values for tag, values in wanted.items()}},
        }
    )


def _document(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})
