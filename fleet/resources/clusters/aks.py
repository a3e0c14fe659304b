"""Clusters of Azure Kubernetes Service, and what Flux may do with their identities.

Everything is in a resource group of its own; a subnet is given, where somebody is to reach a private cluster.

A vault that is deleted keeps its name and its keys for 90 days, which nobody can shorten. Pulumi names it, with a
random end, so that a stack that was destroyed can be made again. AKS stays with the version of the key that it was
given, so that the key is not rotated (learn.microsoft.com/azure/aks/use-kms-etcd-encryption).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pulumi

from fleet import names
from fleet.model import AksCluster as Source
from fleet.model.clusters.aks import SYSTEM
from fleet.resources.clusters.cloud import DECRYPTERS, READERS, Parts, kubeconfig, short, unique
from fleet.resources.clusters.cluster import Cluster
from fleet.resources.options import children

if TYPE_CHECKING:
    from pulumi_azure_native import containerservice, keyvault
    from pulumi_azure_native.authorization import RoleAssignment
    from pulumi_azure_native.managedidentity import UserAssignedIdentity as Identity

Text = pulumi.Output[str]

ACR_PULL: Final = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
CRYPTO_USER: Final = "12338af0-0e69-4776-bea7-57ae8d297424"
NETWORK_CONTRIBUTOR: Final = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""Roles that Azure has everywhere by these ids (learn.microsoft.com/azure/role-based-access-control/built-in-roles)."""
AKS_SERVER: Final = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""The application that every AKS cluster is to Entra ID (azure.github.io/kubelogin/concepts/aks.html)."""
LOGS: Final = (
    "kube-apiserver",
    "kube-audit-admin",  # who changed what; who read what is many times more
    "kube-controller-manager",
    "kube-scheduler",
    "cluster-autoscaler",
    "cloud-controller-manager",
    "guard",  # signing in
)
SPOT: Final = "kubernetes.azure.com/scalesetpriority"
"""Label and taint that AKS gives spot nodes; said here, so that a refresh finds no difference."""


def make_aks(name: str, source: Source, *, protect: bool) -> Cluster:
    """The issuer of its accounts' tokens tells a cluster from a later one of the same name."""
    made = AksCluster(name, source, protect=protect)
    return Cluster(identity=made.issuer, kubeconfig=made.kubeconfig, made_by=made.cluster, variables=made.variables)


class AksCluster(pulumi.ComponentResource):
    """A cluster that groups of Entra ID administer, and which nobody outside its network reaches unless told."""

    issuer: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    variables: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, source: Source, *, protect: bool) -> None:
        import pulumi_azure_native as azure

        super().__init__("fleet:index:AksCluster", name)
        provider = azure.Provider(name, subscription_id=str(source.subscription), opts=children(self))
        parts = Parts(name=name, protect=protect, provider=provider, parent=self)
        group = azure.resources.ResourceGroup(name, location=source.location, opts=parts.options()).name
        owner = azure.managedidentity.UserAssignedIdentity(name, resource_group_name=group, opts=parts.options())
        key, granted = _key(parts, source, group, owner)
        self.cluster = _cluster(parts, source, group, owner, key, granted)
        self.issuer = self.cluster.oidc_issuer_profile.apply(lambda profile: profile.issuer_url if profile else "")
        _logs(parts, group, self.cluster)
        pools = [_pool(parts, source, group, pool, self.cluster) for pool in source.node_pools]
        reader = _signing_in(parts, group, self.issuer, "source", READERS)
        decrypter = _signing_in(parts, group, self.issuer, "decryption", DECRYPTERS)
        for scope in sorted({*source.registries}):
            _role(parts, f"source-{unique(scope)}", reader, ACR_PULL, scope)
        for scope in sorted({*source.sops_keys}):
            _role(parts, f"decryption-{unique(scope)}", decrypter, CRYPTO_USER, scope)
        self.variables = {"SOURCE_CLIENT_ID": reader.client_id, "DECRYPTION_CLIENT_ID": decrypter.client_id}
        self.kubeconfig = _kubeconfig(parts, self.cluster, owner.tenant_id, pools)
        self.register_outputs({"cluster": self.cluster.id})


def _role(parts: Parts, name: str, identity: Identity, role: str, scope: pulumi.Input[str]) -> RoleAssignment:
    """The kind of the principal is said, or Azure may not find one that it has made a moment ago."""
    from pulumi_azure_native import authorization

    return authorization.RoleAssignment(
        f"{parts.name}-{name}",
        principal_id=identity.principal_id,
        principal_type="ServicePrincipal",
        role_definition_id=f"/providers/Microsoft.Authorization/roleDefinitions/{role}",
        scope=scope,
        opts=parts.options(),
    )


def _key(parts: Parts, source: Source, group: Text, owner: Identity) -> tuple[keyvault.Key, Sequence[pulumi.Resource]]:
    """The key that secrets are encrypted with before they reach etcd, and what the cluster must be let do first.

    The vault's address is open, as AKS reaches no other without a network of ours for its API server; its keys are for
    those with a role. Azure accepts 24 characters as its name, and Pulumi adds eight.
    """
    from pulumi_azure_native import keyvault

    vault = keyvault.Vault(
        short(f"kv-{parts.name}", 16),
        resource_group_name=group,
        location=source.location,
        properties={
            "tenant_id": owner.tenant_id,
            "sku": {"family": keyvault.SkuFamily.A, "name": keyvault.SkuName.STANDARD},
            "enable_rbac_authorization": True,
            "enable_purge_protection": True,
        },
        opts=parts.options(anchor=True),
    )
    key = keyvault.Key(
        f"{parts.name}-etcd",
        key_name="etcd",
        vault_name=vault.name,
        resource_group_name=group,
        properties={"kty": "RSA", "key_size": 3072},
        opts=parts.options(anchor=True, deleted_with=vault),  # Resource Manager deletes no key
    )
    granted = [_role(parts, "etcd", owner, CRYPTO_USER, key.id)]
    if source.subnet:
        granted.append(_role(parts, "subnet", owner, NETWORK_CONTRIBUTOR, source.subnet))
    return key, granted


def _cluster(
    parts: Parts, source: Source, group: Text, owner: Identity, key: keyvault.Key, depends_on: Sequence[pulumi.Resource]
) -> containerservice.ManagedCluster:
    """The other pools are resources of their own, which an update of this one leaves alone."""
    from pulumi_azure_native import containerservice

    return containerservice.ManagedCluster(
        parts.name,
        resource_name_=parts.name,
        resource_group_name=group,
        node_resource_group=group.apply(lambda name: f"{short(name, 74)}-nodes"),  # Azure accepts 80 characters
        location=source.location,
        dns_prefix=short(parts.name, 54),
        kubernetes_version=source.version,
        sku={"name": "Base", "tier": "Standard"},
        identity={"type": containerservice.ResourceIdentityType.USER_ASSIGNED, "user_assigned_identities": [owner.id]},
        agent_pool_profiles=[_system_pool(source)],
        # AKS takes one of the two (learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges, limitations).
        api_server_access_profile={"authorized_ip_ranges": source.open_to}
        if source.open_to
        else {"enable_private_cluster": True, "enable_private_cluster_public_fqdn": False},
        network_profile={
            "network_plugin": "azure",
            "network_plugin_mode": "overlay",
            "network_dataplane": "cilium",
            "network_policy": "cilium",
        },
        disable_local_accounts=True,
        enable_rbac=True,
        aad_profile={
            "managed": True,
            "enable_azure_rbac": True,
            "admin_group_object_ids": [str(admins) for admins in source.admin_groups],
        },
        oidc_issuer_profile={"enabled": True},
        security_profile={
            "workload_identity": {"enabled": True},
            "azure_key_vault_kms": {"enabled": True, "key_id": key.key_uri_with_version},
        },
        auto_upgrade_profile={"upgrade_channel": source.upgrades, "node_os_upgrade_channel": "NodeImage"},
        opts=parts.options(anchor=True, depends_on=depends_on, fixed_name=True, slow=True),
    )


def _system_pool(source: Source) -> containerservice.ManagedClusterAgentPoolProfileArgsDict:
    """No pool has a `count`: AKS refuses one that is not the autoscaler's (github.com/Azure/AKS/issues/1627)."""
    pool: containerservice.ManagedClusterAgentPoolProfileArgsDict = {
        "name": SYSTEM,
        "mode": "System",
        "type": "VirtualMachineScaleSets",
        "vm_size": source.system_pool.machine,
        "enable_auto_scaling": True,
        "min_count": source.system_pool.min,
        "max_count": source.system_pool.max,
        "availability_zones": source.zones,
    }
    if source.subnet:
        pool["vnet_subnet_id"] = source.subnet
    return pool


def _pool(
    parts: Parts, source: Source, group: Text, name: str, cluster: containerservice.ManagedCluster
) -> containerservice.AgentPool:
    from pulumi_azure_native import containerservice

    pool = source.node_pools[name]
    return containerservice.AgentPool(
        f"{parts.name}-{name}",
        agent_pool_name=name,
        resource_name_=cluster.name,
        resource_group_name=group,
        mode="User",
        vm_size=pool.machine,
        enable_auto_scaling=True,
        min_count=pool.min,
        max_count=pool.max,
        availability_zones=source.zones,
        vnet_subnet_id=source.subnet,
        scale_set_priority="Spot" if pool.spot else None,
        scale_set_eviction_policy="Delete" if pool.spot else None,
        spot_max_price=-1 if pool.spot else None,  # up to that of a regular node
        node_labels={SPOT: "spot"} if pool.spot else None,
        node_taints=[f"{SPOT}=spot:NoSchedule"] if pool.spot else None,
        opts=parts.options(deleted_with=cluster, fixed_name=True, slow=True),
    )


def _logs(parts: Parts, group: Text, cluster: containerservice.ManagedCluster) -> None:
    """Logs of the control plane, in a workspace of the cluster's own."""
    from pulumi_azure_native import monitor, operationalinsights

    workspace = operationalinsights.Workspace(
        parts.name, resource_group_name=group, sku={"name": "PerGB2018"}, retention_in_days=90, opts=parts.options()
    )
    monitor.DiagnosticSetting(
        f"{parts.name}-control-plane",
        resource_uri=cluster.id,
        workspace_id=workspace.id,
        log_analytics_destination_type="Dedicated",
        logs=[{"category": category, "enabled": True} for category in LOGS],
        opts=parts.options(),
    )


def _signing_in(parts: Parts, group: Text, issuer: Text, purpose: str, controllers: Sequence[str]) -> Identity:
    """An identity that these controllers sign in as. It is made without a role, too: the manifests name it, and others
    may give it one. Azure changes one credential of an identity at a time
    (learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations).
    """
    from pulumi_azure_native import managedidentity

    name = f"{parts.name}-{purpose}"
    identity = managedidentity.UserAssignedIdentity(name, resource_group_name=group, opts=parts.options())
    before: list[pulumi.Resource] = []
    for controller in controllers:
        credential = managedidentity.FederatedIdentityCredential(
            f"{parts.name}-{controller}",
            federated_identity_credential_resource_name=controller,
            resource_name_=identity.name,
            resource_group_name=group,
            issuer=issuer,
            subject=f"system:serviceaccount:{names.FLUX_NAMESPACE}:{controller}",
            audiences=["api://AzureADTokenExchange"],
            opts=parts.options(depends_on=before, deleted_with=identity),
        )
        before = [credential]
    return identity


def _kubeconfig(
    parts: Parts, cluster: containerservice.ManagedCluster, tenant: Text, pools: Sequence[containerservice.AgentPool]
) -> Text:
    """Azure tells the certificate authority only in a kubeconfig of its own, of which no more than that is taken.

    What the cluster is called is read off its id, which an update leaves known in a preview.
    """
    from pulumi_azure_native import containerservice

    path = cluster.id.apply(lambda identity: str(identity).split("/"))
    given = containerservice.list_managed_cluster_user_credentials_output(
        format="exec",
        resource_group_name=path.apply(lambda parts: parts[4]),
        resource_name=path.apply(lambda parts: parts[8]),
        opts=parts.reading(),
    )
    text = pulumi.Output.all(given.kubeconfigs[0].value, tenant, *(pool.id for pool in pools)).apply(
        lambda found: _own_kubeconfig(parts.name, base64.b64decode(found[0]).decode(), tenant=str(found[1]))
    )
    return pulumi.Output.secret(text)


def _own_kubeconfig(name: str, given: str, *, tenant: str) -> str:
    """`kubelogin` signs in as `az` does, unless its variable AAD_LOGIN_METHOD says another way."""
    import yaml

    server = yaml.safe_load(given)["clusters"][0]["cluster"]
    plugin = {
        "command": "kubelogin",
        "args": ["get-token", "--login", "azurecli", "--server-id", AKS_SERVER, "--tenant-id", tenant],
        "installHint": "run `az aks install-cli`",
        "interactiveMode": "Never",
    }
    return kubeconfig(name, server=server["server"], authority=server["certificate-authority-data"], plugin=plugin)
