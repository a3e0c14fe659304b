"""Clusters of Amazon EKS in Auto Mode, and what Flux may do in AWS.

Called by `fleet.resources.clusters`. The network is given. In Auto Mode AWS runs as many nodes as the pods need, and
storage and load balancers; managed node groups need an autoscaler that somebody installs. Left out on purpose:
pulumi-eks, whose component runs in a process of its own, where no type check or test of ours sees its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pulumi

from fleet import names
from fleet.model import EksCluster as Source
from fleet.resources.clusters import iam
from fleet.resources.clusters.cloud import DECRYPTERS, READERS, Parts, kubeconfig, unique
from fleet.resources.clusters.cluster import Cluster
from fleet.resources.options import children

if TYPE_CHECKING:
    from pulumi_aws import eks, kms

LOGS: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")
LOG_DAYS: Final = 90


def make_eks(name: str, source: Source, *, protect: bool) -> Cluster:
    made = EksCluster(name, source, protect=protect)
    return Cluster(identity=made.identity, kubeconfig=made.kubeconfig, made_by=made.cluster)


class EksCluster(pulumi.ComponentResource):
    """A cluster whose API server answers its own network, and others only when told."""

    cluster: pulumi.Resource
    identity: pulumi.Output[str]
    """Its address: a cluster that is made again under the same name has another one."""
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, source: Source, *, protect: bool) -> None:
        import pulumi_aws as aws

        super().__init__("fleet:index:EksCluster", name)
        provider = aws.Provider(
            name,
            region=source.region,
            allowed_account_ids=[source.account] if source.account else None,
            default_tags={"tags": {"fleet:stack": pulumi.get_stack(), "fleet:cluster": name}},
            opts=children(self),
        )
        parts = Parts(name=name, protect=protect, provider=provider, parent=self)
        cluster = _cluster(parts, source)
        doors = [
            *_admins(parts, source, cluster),
            *_networks(parts, source, cluster),
            *_identities(parts, source, cluster),
        ]
        self.cluster, self.identity = cluster, cluster.endpoint
        self.kubeconfig = _kubeconfig(name, source, cluster, doors)
        self.register_outputs({"cluster": cluster.arn})


@dataclass(frozen=True, kw_only=True)
class _Role:
    arn: pulumi.Output[str]
    rights: Sequence[pulumi.Resource]
    """What whoever takes the role on has to wait for."""


def _role(
    parts: Parts,
    source: Source,
    purpose: str,
    trust: pulumi.Input[str],
    managed: Sequence[str] = (),
    own: pulumi.Input[str] | None = None,
) -> _Role:
    """A role with policies of AWS', by name, and with one of its own, as a document."""
    from pulumi_aws import iam as aws_iam

    name, options = f"{parts.name}-{purpose}", parts.options()
    role = aws_iam.Role(
        name, name=iam.role_name(parts.name, source.region, purpose), assume_role_policy=trust, opts=options
    )
    rights: list[pulumi.Resource] = [
        aws_iam.RolePolicyAttachment(
            f"{name}-{policy}", role=role.name, policy_arn=iam.policy_arn(source.region, policy), opts=options
        )
        for policy in managed
    ]
    if own is not None:
        rights.append(aws_iam.RolePolicy(name, role=role.name, policy=own, opts=options))
    return _Role(arn=role.arn, rights=rights)


def _cluster(parts: Parts, source: Source) -> eks.Cluster:
    from pulumi_aws import cloudwatch, eks, kms

    key = kms.Key(
        f"{parts.name}-secrets",
        description=f"secrets of EKS cluster {parts.name}",
        enable_key_rotation=True,
        opts=parts.options(anchor=True),
    )
    logs = cloudwatch.LogGroup(
        f"{parts.name}-logs",
        name=f"/aws/eks/{parts.name}/cluster",  # where EKS writes: it would make one that keeps everything for ever
        retention_in_days=LOG_DAYS,
        opts=parts.options(),
    )
    own, nodes = _own_roles(parts, source, key)
    return eks.Cluster(
        parts.name,
        name=parts.name,
        version=source.version,
        role_arn=own.arn,
        vpc_config=_network(source),
        access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": True},
        encryption_config={"provider": {"key_arn": key.arn}, "resources": ["secrets"]},
        enabled_cluster_log_types=LOGS,
        upgrade_policy={"support_type": "STANDARD"},
        deletion_protection=parts.protect,
        # Auto Mode is these four together.
        compute_config={"enabled": True, "node_pools": source.node_pools, "node_role_arn": nodes.arn},
        storage_config={"block_storage": {"enabled": True}},
        kubernetes_network_config={"elastic_load_balancing": {"enabled": True}},
        bootstrap_self_managed_addons=False,
        opts=parts.options(anchor=True, fixed_name=True, slow=True, depends_on=[logs, *own.rights, *nodes.rights]),
    )


def _network(source: Source) -> eks.ClusterVpcConfigArgsDict:
    """Without networks a public address would be open to all."""
    public = source.public_networks
    network: eks.ClusterVpcConfigArgsDict = {
        "subnet_ids": source.subnets,
        "endpoint_private_access": True,
        "endpoint_public_access": bool(public),
    }
    if public:
        network["public_access_cidrs"] = public
    return network


def _own_roles(parts: Parts, source: Source, key: kms.Key) -> tuple[_Role, _Role]:
    """Those of the control plane and of the nodes."""
    encrypting = key.arn.apply(lambda arn: iam.allow(iam.ENCRYPTING, [arn]))
    plane = iam.trust("eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession")
    nodes = iam.trust("ec2.amazonaws.com", "sts:AssumeRole")
    return (
        _role(parts, source, "cluster", plane, iam.CLUSTER_POLICIES, encrypting),
        _role(parts, source, "nodes", nodes, iam.NODE_POLICIES),
    )


def _admins(parts: Parts, source: Source, cluster: eks.Cluster) -> list[pulumi.CustomResource]:
    from pulumi_aws import eks

    made: list[pulumi.CustomResource] = []
    for principal in source.admins:
        name, options = f"{parts.name}-{unique(principal)}", parts.options(deleted_with=cluster)
        entry = eks.AccessEntry(name, cluster_name=cluster.name, principal_arn=principal, opts=options)
        rights = eks.AccessPolicyAssociation(
            name,
            cluster_name=cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn=iam.access_policy_arn(source.region, iam.ADMIN_POLICY),
            access_scope={"type": "cluster"},
            opts=options,
        )
        made.append(rights)
    return made


def _networks(parts: Parts, source: Source, cluster: eks.Cluster) -> list[pulumi.CustomResource]:
    """The private addresses answer the cluster's own security group, and these."""
    from pulumi_aws import vpc

    group = cluster.vpc_config.apply(lambda config: str(config.cluster_security_group_id))
    return [
        vpc.SecurityGroupIngressRule(
            f"{parts.name}-{network}",
            security_group_id=group,
            cidr_ipv4=network,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=parts.options(deleted_with=cluster),
        )
        for network in source.private_networks
    ]


def _identities(parts: Parts, source: Source, cluster: eks.Cluster) -> list[pulumi.CustomResource]:
    """A controller signs in by Pod Identity, which takes nothing in Git. An account that is not the pod's own cannot,
    so Flux's object-level identities need the issuer of the cluster's tokens (fluxcd.io/flux/integrations/aws)."""
    from pulumi_aws import iam as aws_iam

    issuer = aws_iam.OpenIdConnectProvider(
        f"{parts.name}-issuer",
        url=cluster.identities.apply(_issuer),
        client_id_lists=["sts.amazonaws.com"],
        opts=parts.options(),
    )
    listing = iam.allow(iam.LISTING, [f"arn:{iam.partition(source.region)}:ecr:*:*:repository/*"])
    made = [issuer, *_pods(parts, source, cluster, "registry", READERS, listing, [iam.PULLING])]
    if source.sops_keys:
        decrypting = iam.allow(iam.DECRYPTING, source.sops_keys)
        made += _pods(parts, source, cluster, "decryption", DECRYPTERS, decrypting)
    return made


def _issuer(identities: Sequence[eks.outputs.ClusterIdentity]) -> str:
    return next(str(oidc.issuer) for identity in identities for oidc in identity.oidcs or ())


def _pods(
    parts: Parts,
    source: Source,
    cluster: eks.Cluster,
    purpose: str,
    accounts: Sequence[str],
    own: str,
    managed: Sequence[str] = (),
) -> list[pulumi.CustomResource]:
    """A role, and the ServiceAccounts of flux-system whose pods have it."""
    from pulumi_aws import eks

    trust = cluster.arn.apply(lambda arn: iam.trust_pods(arn, names.FLUX_NAMESPACE, accounts))
    role = _role(parts, source, purpose, trust, managed, own)
    return [
        eks.PodIdentityAssociation(
            f"{parts.name}-{account}",
            cluster_name=cluster.name,
            namespace=names.FLUX_NAMESPACE,
            service_account=account,
            role_arn=role.arn,
            opts=parts.options(deleted_with=cluster, depends_on=role.rights),
        )
        for account in accounts
    ]


def _kubeconfig(
    name: str, source: Source, cluster: eks.Cluster, doors: Sequence[pulumi.CustomResource]
) -> pulumi.Output[str]:
    """Only there once the doors are: a pod that starts before its identity is made does not get it.

    No environment: `up` and the command find AWS' credentials in the same way.
    """
    plugin = {
        "command": "aws",
        "args": ["--region", source.region, "eks", "get-token", "--cluster-name", name, "--output", "json"],
        "interactiveMode": "Never",
    }
    authority = cluster.certificate_authority.apply(lambda found: found.data)
    text = pulumi.Output.all(cluster.endpoint, authority, *(door.id for door in doors)).apply(
        lambda found: kubeconfig(name, server=found[0], authority=found[1], plugin=plugin)
    )
    return pulumi.Output.secret(text)
