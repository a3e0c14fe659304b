"""Clusters of Google Kubernetes Engine, and what Flux may do with their identities.

Called by `fleet.resources.clusters`. The project must have the APIs of GKE, IAM, KMS and Resource Manager; the network,
its way out and its private access are given: several clusters share them.

Keys and key rings cannot be deleted in Google Cloud. They are named by Pulumi, with a random end, so that a stack that
was destroyed can be made again; destroying a key destroys its versions, and with them every copy of the secrets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

import pulumi

from fleet import names
from fleet.model import GkeCluster as Source
from fleet.resources.clusters.cloud import DECRYPTERS, READERS, Parts, kubeconfig, short, unique
from fleet.resources.clusters.cluster import Cluster
from fleet.resources.options import children

if TYPE_CHECKING:
    from pulumi_gcp import container, kms, serviceaccount

ROTATION: Final = f"{90 * 24 * 3600}s"
"""Time between two versions of a key; older ones stay, for what they have encrypted."""
LOGS: Final = ("SYSTEM_COMPONENTS", "APISERVER", "CONTROLLER_MANAGER", "SCHEDULER")
"""Logs that go to Cloud Logging; those of workloads are the platform's own matter."""
PLUGIN: Final = {
    "command": "gke-gcloud-auth-plugin",
    "args": ["--use_application_default_credentials"],  # what the provider signs in with
    "provideClusterInfo": True,
    "installHint": "run `gcloud components install gke-gcloud-auth-plugin`",
    "interactiveMode": "Never",
}


def make_gke(name: str, source: Source, *, protect: bool) -> Cluster:
    """Its DNS name, under which nobody is let in, tells a cluster from a later one of the same name."""
    made = GkeCluster(name, source, protect=protect)
    return Cluster(identity=made.identity, kubeconfig=made.kubeconfig, made_by=made.cluster)


class GkeCluster(pulumi.ComponentResource):
    """A regional or zonal cluster with private nodes, which nobody outside its network reaches unless told."""

    identity: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, source: Source, *, protect: bool) -> None:
        import pulumi_gcp as gcp

        super().__init__("fleet:index:GkeCluster", name)
        provider = gcp.Provider(name, project=source.project, region=source.region, opts=children(self))
        parts = Parts(name=name, protect=protect, provider=provider, parent=self)
        nodes, admitted = _account(parts, source)
        key, granted = _key(parts, source)
        self.cluster = _cluster(parts, source, key, nodes, [granted, admitted])
        pools = [_pool(parts, source, pool, self.cluster, nodes) for pool in source.node_pools]
        dns = self.cluster.control_plane_endpoints_config.dns_endpoint_config.endpoint
        self.identity = pulumi.Output.all(dns, self.cluster.id).apply(lambda found: str(found[0] or found[1]))
        self.kubeconfig = _kubeconfig(name, self.cluster, pools)
        self.register_outputs({"cluster": self.cluster.id})


def _kubeconfig(name: str, cluster: container.Cluster, pools: Sequence[container.NodePool]) -> pulumi.Output[str]:
    """Not known before the pools are there: nothing runs on a cluster without nodes."""
    authority = cluster.master_auth.cluster_ca_certificate
    text = pulumi.Output.all(cluster.endpoint, authority, *(pool.id for pool in pools)).apply(
        lambda found: kubeconfig(name, server=f"https://{found[0]}", authority=str(found[1]), plugin=PLUGIN)
    )
    return pulumi.Output.secret(text)


def _account(parts: Parts, source: Source) -> tuple[serviceaccount.Account, pulumi.Resource]:
    """The account of the nodes, with the least role that GKE documents for one
    (cloud.google.com/kubernetes-engine/security/configure-node-service-accounts)."""
    from pulumi_gcp import projects, serviceaccount

    name, options = f"{parts.name}-nodes", parts.options()
    account = serviceaccount.Account(
        name, account_id=short(name, 30), display_name=f"nodes of GKE cluster {parts.name}", opts=options
    )
    role = projects.IAMMember(
        name,
        project=source.project,
        role="roles/container.defaultNodeServiceAccount",
        member=account.member,
        opts=options,
    )
    return account, role


def _key(parts: Parts, source: Source) -> tuple[kms.CryptoKey, pulumi.Resource]:
    """The key that secrets are encrypted with before they reach etcd, which GKE's own account must be let use
    (cloud.google.com/kubernetes-engine/docs/how-to/encrypting-secrets)."""
    from pulumi_gcp import kms

    ring = kms.KeyRing(parts.name, location=source.region, opts=parts.options(anchor=True))
    key = kms.CryptoKey(parts.name, key_ring=ring.id, rotation_period=ROTATION, opts=parts.options(anchor=True))
    agent = _number(parts, source.project).apply(
        lambda number: f"serviceAccount:service-{number}@container-engine-robot.iam.gserviceaccount.com"
    )
    role = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    granted = kms.CryptoKeyIAMMember(parts.name, crypto_key_id=key.id, role=role, member=agent, opts=parts.options())
    return key, granted


def _cluster(
    parts: Parts,
    source: Source,
    key: kms.CryptoKey,
    nodes: serviceaccount.Account,
    depends_on: Sequence[pulumi.Resource],
) -> container.Cluster:
    """`node_config` is that of the first pool, which GKE insists on and which is removed at once: its default account
    may have no role. Addresses of Google's other customers are not let in with `open_to`."""
    from pulumi_gcp import container

    return container.Cluster(
        parts.name,
        name=parts.name,
        location=source.location,
        network=source.network,
        subnetwork=source.subnetwork,
        networking_mode="VPC_NATIVE",
        datapath_provider="ADVANCED_DATAPATH",
        private_cluster_config={"enable_private_nodes": True, "enable_private_endpoint": not source.public_networks},
        master_authorized_networks_config={
            "cidr_blocks": [{"cidr_block": network} for network in source.open_to],
            "gcp_public_cidrs_access_enabled": False,
        },
        release_channel={"channel": source.channel},
        min_master_version=source.version,
        workload_identity_config={"workload_pool": _pool_of(source.project)},
        database_encryption={"state": "ENCRYPTED", "key_name": key.id},
        logging_config={"enable_components": LOGS},
        master_auth={"client_certificate_config": {"issue_client_certificate": False}},
        enable_legacy_abac=False,
        enable_shielded_nodes=True,
        initial_node_count=1,
        remove_default_node_pool=True,
        node_config={"service_account": nodes.email},
        deletion_protection=parts.protect,
        opts=parts.options(
            anchor=True, depends_on=depends_on, ignore_changes=["nodeConfig"], fixed_name=True, slow=True
        ),
    )


def _pool(
    parts: Parts, source: Source, pool: str, cluster: container.Cluster, nodes: serviceaccount.Account
) -> container.NodePool:
    """Named by Pulumi, so that its successor is there before it goes; GKE accepts 40 characters."""
    from pulumi_gcp import container

    wanted = source.node_pools[pool]
    return container.NodePool(
        short(f"{parts.name}-{pool}", 32),
        cluster=cluster.id,
        initial_node_count=wanted.min,
        autoscaling={"min_node_count": wanted.min, "max_node_count": wanted.max},
        management={"auto_repair": True, "auto_upgrade": True},
        node_config={
            "machine_type": wanted.machine,
            "spot": wanted.spot,
            "service_account": nodes.email,
            "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            "metadata": {"disable-legacy-endpoints": "true"},
            "workload_metadata_config": {"mode": "GKE_METADATA"},
            "shielded_instance_config": {"enable_secure_boot": True, "enable_integrity_monitoring": True},
        },
        # Another `min` must not make every node anew.
        opts=parts.options(deleted_with=cluster, ignore_changes=["initialNodeCount"], slow=True),
    )


def admit_flux(project: str, sources: Sequence[Source], made: Sequence[pulumi.Resource]) -> None:
    """Lets Flux on the clusters `made` of one project read registries and decrypt, where one of them names any.

    Google knows service accounts by project, so that its clusters share each grant: with one of its own, a cluster that
    goes would take it from the others.
    """
    registries = sorted({name for source in sources for name in source.registries})
    keys = sorted({name for source in sources for name in source.sops_keys})
    if registries or keys:
        GkeAccess(project, registries=registries, keys=keys, made=made)


class GkeAccess(pulumi.ComponentResource):
    """What Flux's controllers on a project's clusters may do, each for itself and on single objects alone."""

    def __init__(
        self, project: str, *, registries: Sequence[str], keys: Sequence[str], made: Sequence[pulumi.Resource]
    ) -> None:
        import pulumi_gcp as gcp
        from pulumi_gcp import artifactregistry, kms

        super().__init__("fleet:index:GkeAccess", project)
        provider = gcp.Provider(f"{project}-access", project=project, opts=children(self))
        parts = Parts(name=project, protect=False, provider=provider, parent=self)
        # The first cluster of a project makes its pool of identities, and no grant can name what is not there.
        options, number = parts.options(depends_on=made), _number(parts, project)
        for controller, registry in product(READERS, registries):
            _, owner, _, location, _, repository = registry.split("/")
            artifactregistry.RepositoryIamMember(
                f"{project}-{controller}-{unique(registry)}",
                project=owner,
                location=location,
                repository=repository,
                role="roles/artifactregistry.reader",
                member=_principal(number, project, controller),
                opts=options,
            )
        for controller, key in product(DECRYPTERS, keys):
            kms.CryptoKeyIAMMember(
                f"{project}-{controller}-{unique(key)}",
                crypto_key_id=key,
                role="roles/cloudkms.cryptoKeyDecrypter",
                member=_principal(number, project, controller),
                opts=options,
            )
        self.register_outputs({})


def _number(parts: Parts, project: str) -> pulumi.Output[str]:
    from pulumi_gcp import organizations

    number: pulumi.Output[str] = organizations.get_project_output(project_id=project, opts=parts.reading()).number
    return number


def _pool_of(project: str) -> str:
    return f"{project}.svc.id.goog"


def _principal(number: pulumi.Output[str], project: str, controller: str) -> pulumi.Output[str]:
    """A Kubernetes service account as IAM knows it, without a Google one
    (cloud.google.com/kubernetes-engine/docs/how-to/workload-identity)."""
    subject = f"ns/{names.FLUX_NAMESPACE}/sa/{controller}"
    return number.apply(
        lambda found: (
            f"principal://iam.googleapis.com/projects/{found}/locations/global/workloadIdentityPools/"
            f"{_pool_of(project)}/subject/{subject}"
        )
    )
