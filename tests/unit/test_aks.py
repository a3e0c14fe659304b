"""A cluster of Azure Kubernetes Service: what is made, who may do what, how the program gets in; and a production
stack on it and on GKE."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.resources.clusters.cloud import unique
from fleet.resources.live import read
from sandbox.program.registration import UNKNOWN, Answer, Registration, reveal
from tests import clouds
from tests.checkout import Checkout, Run
from tests.clouds import AUTHORITY, EXISTING, TOKEN, Cloud, put_on_path
from tests.kubernetes_api import KubernetesApi
from tests.reader import Reader

pytestmark = pytest.mark.clouds

SUBSCRIPTION: Final = "6a1d3b0e-0000-4000-8000-000000000001"
ADMINS: Final = "6a1d3b0e-0000-4000-8000-000000000002"
TENANT: Final = "6a1d3b0e-0000-4000-8000-000000000003"
SPEC: Final = {"kind": "aks", "subscription": SUBSCRIPTION, "location": "westeurope", "adminGroups": [ADMINS]}
GROUP: Final = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers"
REGISTRY: Final = f"{GROUP}/Microsoft.ContainerRegistry/registries/acme"
KEY: Final = f"{GROUP}/Microsoft.KeyVault/vaults/sops/keys/fleet"
SUBNET: Final = f"{GROUP}/Microsoft.Network/virtualNetworks/fleet/subnets/nodes"
ACCESS: Final[dict[str, Any]] = {"registries": [REGISTRY], "sopsKeys": [KEY]}
CREDENTIALS: Final = "azure-native:containerservice:listManagedClusterUserCredentials"
CLUSTER: Final = "azure-native:containerservice:ManagedCluster"
ABSENT: Final = {CLUSTER: {"id": "", "identity": {}, "oidcIssuerProfile": UNKNOWN}}
"""What a preview knows of a cluster that is not there."""
ROLES: Final = {
    "12338af0-0e69-4776-bea7-57ae8d297424": "Key Vault Crypto User",
    "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
}
"""As Microsoft lists them."""
PLUGIN: Final = ("--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630", "--tenant-id", TENANT)


def credentials(server: str) -> dict[str, Any]:
    """What Azure answers; the token must go no further."""
    document = {
        "clusters": [{"name": "x", "cluster": {"server": server, "certificate-authority-data": AUTHORITY}}],
        "users": [{"name": "x", "user": {"token": "a-token-that-never-ends"}}],
    }
    return {
        "kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(yaml.safe_dump(document).encode()).decode()}]
    }


class Azure(Cloud):
    """Gives resources the ids and names that Azure gives them."""

    def __init__(self, *names: str, server: str = "https://prod-eu.internal:443", incarnation: str = "1") -> None:
        known: dict[str, Any] = {
            "azure-native:resources:ResourceGroup": {"name": "group-1a2b3c4d"},
            "azure-native:keyvault:Vault": {"name": "vault-1a2b3c4d"},
            CLUSTER: {"identity": {"type": "UserAssigned"}},  # what is given as a list is answered as a map
            "azure-native:keyvault:Key": {"keyUriWithVersion": "https://vault/keys/etcd/1"},
        }
        for name in names:
            for identity in (name, f"{name}-source", f"{name}-decryption"):
                ids = {"clientId": f"client-{identity}", "principalId": f"principal-{identity}", "tenantId": TENANT}
                known[identity] = {**ids, **({"name": identity} if identity != name else {})}
            path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/group-1a2b3c4d/providers/x/managedClusters/{name}"
            issuer = {"enabled": True, "issuerURL": f"https://issuer/{name}/{incarnation}/"}
            known[name] |= {"id": path, "oidcIssuerProfile": issuer}
        super().__init__(functions={CREDENTIALS: credentials(server)}, outputs=known)
        self.known = known

    def register(self, asked: Registration) -> Answer:
        """A cluster is called as it was asked for; what else has its name in the state gets one from Pulumi."""
        answer = super().register(asked)
        if asked.type != CLUSTER:
            return answer
        return replace(answer, outputs={**answer.outputs, "name": asked.inputs["resourceName"]})


@pytest.fixture(autouse=True)
def _plugin(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(monkeypatch, tmp_path_factory.mktemp("bin"), "kubelogin", "get-token", *PLUGIN)


@pytest.fixture(autouse=True)
def _trusted(checkout: Checkout) -> None:
    """Tenants are trusted, or Flux itself must not decrypt."""
    checkout.change_fleet(flux={"multitenant": False})


def run(checkout: Checkout, *, preview: bool = False, monitor: Cloud | None = None, **spec: Any) -> Run:
    """The production stack: prod-eu on AKS, prod-us as the repository has it."""
    clusters = {"prod-eu": SPEC | spec, "prod-us": EXISTING}
    return checkout.run("production", preview=preview, monitor=monitor or Azure("prod-eu"), clusters=clusters)


def parts(made: Run, name: str = "prod-eu") -> dict[str, Registration]:
    return clouds.parts(made, f"AksCluster::{name}")


# --- the graph -------------------------------------------------------------------------------------------------------
def test_a_cluster_is_made_with_its_group_key_logs_and_identities_and_nothing_else(
    checkout: Checkout, reader: Reader
) -> None:
    assert parts(run(checkout, nodePools={"web": {"machine": "Standard_D8s_v5"}})).keys() == {
        "azure-native prod-eu",
        "ResourceGroup prod-eu",
        "UserAssignedIdentity prod-eu",
        "Vault kv-prod-eu",
        "Key prod-eu-etcd",
        "RoleAssignment prod-eu-etcd",
        "ManagedCluster prod-eu",
        "Workspace prod-eu",
        "DiagnosticSetting prod-eu-control-plane",
        "AgentPool prod-eu-web",
        "UserAssignedIdentity prod-eu-source",
        "FederatedIdentityCredential prod-eu-source-controller",
        "FederatedIdentityCredential prod-eu-image-reflector-controller",
        "UserAssignedIdentity prod-eu-decryption",
        "FederatedIdentityCredential prod-eu-kustomize-controller",
    }


def test_the_cluster_is_private_encrypted_and_without_local_accounts(checkout: Checkout, reader: Reader) -> None:
    asked = dict(parts(run(checkout))["ManagedCluster prod-eu"].inputs)
    identity = asked.pop("identity")
    assert (identity["type"], len(identity["userAssignedIdentities"])) == ("UserAssigned", 1)
    assert asked == {
        "resourceName": "prod-eu",
        "resourceGroupName": "group-1a2b3c4d",
        "nodeResourceGroup": "group-1a2b3c4d-nodes",
        "location": "westeurope",
        "dnsPrefix": "prod-eu",
        "sku": {"name": "Base", "tier": "Standard"},
        "agentPoolProfiles": [
            {
                "name": "system",
                "mode": "System",
                "type": "VirtualMachineScaleSets",
                "vmSize": "Standard_D4s_v5",
                "enableAutoScaling": True,
                "minCount": 1,
                "maxCount": 3,
                "availabilityZones": ["1", "2", "3"],
            }
        ],
        "apiServerAccessProfile": {"enablePrivateCluster": True, "enablePrivateClusterPublicFQDN": False},
        "networkProfile": {
            "networkPlugin": "azure",
            "networkPluginMode": "overlay",
            "networkDataplane": "cilium",
            "networkPolicy": "cilium",
        },
        "disableLocalAccounts": True,
        "enableRBAC": True,
        "aadProfile": {"managed": True, "enableAzureRBAC": True, "adminGroupObjectIDs": [ADMINS]},
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {
            "workloadIdentity": {"enabled": True},
            "azureKeyVaultKms": {"enabled": True, "keyId": "https://vault/keys/etcd/1"},
        },
        "autoUpgradeProfile": {"upgradeChannel": "stable", "nodeOSUpgradeChannel": "NodeImage"},
    }


def test_a_subnet_is_joined_and_networks_open_the_public_address(checkout: Checkout, reader: Reader) -> None:
    asked = parts(run(checkout, subnet=SUBNET, openTo=["203.0.113.0/24"], zones=[]))["ManagedCluster prod-eu"].inputs
    (pool,) = asked["agentPoolProfiles"]
    assert (pool["vnetSubnetID"], pool["availabilityZones"]) == (SUBNET, [])
    assert asked["apiServerAccessProfile"] == {"authorizedIPRanges": ["203.0.113.0/24"]}


@pytest.mark.parametrize(
    ("given", "channel"),
    [({}, "stable"), ({"version": "1.35"}, "patch"), ({"version": "1.35", "channel": "none"}, "none")],
)
def test_a_version_is_kept_unless_told(checkout: Checkout, reader: Reader, given: dict[str, Any], channel: str) -> None:
    asked = parts(run(checkout, **given))["ManagedCluster prod-eu"].inputs
    assert asked.get("kubernetesVersion") == given.get("version")
    assert asked["autoUpgradeProfile"]["upgradeChannel"] == channel


def test_more_pools_scale_and_may_be_spot(checkout: Checkout, reader: Reader) -> None:
    """Nothing says how many nodes there are now: that is the autoscaler's."""
    pools = {"web": {"machine": "Standard_D8s_v5"}, "batch": {"machine": "Standard_F8s_v2", "min": 0, "spot": True}}
    made = parts(run(checkout, nodePools=pools, subnet=SUBNET))
    regular = {
        "agentPoolName": "web",
        "resourceName": "prod-eu",
        "resourceGroupName": "group-1a2b3c4d",
        "mode": "User",
        "vmSize": "Standard_D8s_v5",
        "enableAutoScaling": True,
        "minCount": 1,
        "maxCount": 3,
        "availabilityZones": ["1", "2", "3"],
        "vnetSubnetID": SUBNET,
    }
    assert made["AgentPool prod-eu-web"].inputs == regular
    assert made["AgentPool prod-eu-batch"].inputs == regular | {
        "agentPoolName": "batch",
        "vmSize": "Standard_F8s_v2",
        "minCount": 0,
        "scaleSetPriority": "Spot",
        "scaleSetEvictionPolicy": "Delete",
        "spotMaxPrice": -1,
        "nodeLabels": {"kubernetes.azure.com/scalesetpriority": "spot"},
        "nodeTaints": ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"],
    }


def test_the_key_is_in_a_vault_for_roles_that_nobody_can_purge(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout))
    vault = dict(made["Vault kv-prod-eu"].inputs["properties"])
    assert vault.pop("sku") == {"family": "A", "name": "standard"}
    assert vault == {"tenantId": TENANT, "enableRbacAuthorization": True, "enablePurgeProtection": True}
    key = made["Key prod-eu-etcd"]
    assert key.inputs["vaultName"] == "vault-1a2b3c4d"
    assert key.inputs["properties"] == {"kty": "RSA", "keySize": 3072}
    assert key.deleted_with == made["Vault kv-prod-eu"].urn


def test_the_control_planes_logs_are_kept(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout))
    asked = made["DiagnosticSetting prod-eu-control-plane"].inputs
    assert asked["resourceUri"].endswith("/managedClusters/prod-eu")
    assert made["Workspace prod-eu"].urn in made["DiagnosticSetting prod-eu-control-plane"].dependencies
    assert {log["category"] for log in asked["logs"] if log["enabled"]} == {
        "kube-apiserver",
        "kube-audit-admin",
        "kube-controller-manager",
        "kube-scheduler",
        "cluster-autoscaler",
        "cloud-controller-manager",
        "guard",
    }


# --- options ---------------------------------------------------------------------------------------------------------
def test_everything_is_made_and_asked_by_the_provider_of_the_subscription(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, **ACCESS, nodePools={"web": {"machine": "x"}}, subnet=SUBNET)
    inside = parts(made)
    provider = inside.pop("azure-native prod-eu")
    assert provider.inputs["subscriptionId"] == SUBSCRIPTION
    assert {asked.provider.rpartition("::")[0] for asked in inside.values()} == {provider.urn}
    assert isinstance(made.monitor, Cloud)
    wanted = {"format": "exec", "resourceGroupName": "group-1a2b3c4d", "resourceName": "prod-eu"}
    assert made.monitor.asked == [(CREDENTIALS, wanted, provider.urn)]


@pytest.mark.parametrize(("said", "protected"), [({}, True), ({"protect": False}, False), ({"protect": True}, True)])
def test_the_cluster_and_its_keys_are_protected_in_production(
    checkout: Checkout, reader: Reader, said: dict[str, Any], protected: bool
) -> None:
    made = parts(run(checkout, **said))
    anchors = {"ManagedCluster prod-eu", "Vault kv-prod-eu", "Key prod-eu-etcd"}
    assert {key for key, asked in made.items() if asked.protect} == (anchors if protected else set())


def test_pools_and_what_flux_made_go_with_the_cluster(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, nodePools={"web": {"machine": "x"}})
    cluster = made.monitor.of_type(CLUSTER)[0].urn
    with_it = {asked.label for asked in made.monitor.registrations if asked.deleted_with == cluster}
    assert with_it == {"azure-native:containerservice:AgentPool::prod-eu-web", "fleet:index:FluxCluster::prod-eu"}


def test_a_destroyed_cluster_can_be_made_again(checkout: Checkout, reader: Reader) -> None:
    """A vault keeps its name for months: Pulumi must choose it, and does so where none is given; so is the group's.
    What has one name goes before its successor comes."""
    made = parts(run(checkout, nodePools={"web": {"machine": "x"}}))
    assert "vaultName" not in made["Vault kv-prod-eu"].inputs
    assert "resourceGroupName" not in made["ResourceGroup prod-eu"].inputs
    fixed = {key for key, asked in made.items() if asked.delete_before_replace}
    assert fixed == {"ManagedCluster prod-eu", "AgentPool prod-eu-web"}


def test_cluster_and_pools_have_time(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, nodePools={"web": {"machine": "x"}}))
    slow = {key for key, asked in made.items() if asked.custom_timeouts.keys() >= {"create", "update", "delete"}}
    assert slow == {"ManagedCluster prod-eu", "AgentPool prod-eu-web"}


def test_the_cluster_waits_for_its_rights(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, subnet=SUBNET))
    for key in ("Key prod-eu-etcd", "RoleAssignment prod-eu-etcd", "RoleAssignment prod-eu-subnet"):
        assert made[key].urn in made["ManagedCluster prod-eu"].dependencies, key


# --- rights ----------------------------------------------------------------------------------------------------------
def rights(made: Run) -> set[tuple[str, str, str]]:
    """Who has which role on what, of every assignment in the stack."""
    found = made.monitor.of_type("azure-native:authorization:RoleAssignment")
    assert {asked.inputs["principalType"] for asked in found} == {"ServicePrincipal"}
    prefix = "/providers/Microsoft.Authorization/roleDefinitions/"
    return {
        (
            asked.inputs["principalId"].removeprefix("principal-"),
            ROLES[asked.inputs["roleDefinitionId"].removeprefix(prefix)],
            asked.inputs["scope"],
        )
        for asked in found
    }


def test_without_registries_and_keys_only_the_cluster_may_do_anything(checkout: Checkout, reader: Reader) -> None:
    assert rights(run(checkout)) == {("prod-eu", "Key Vault Crypto User", "prod-eu-etcd-id")}


def test_each_identity_has_the_role_that_it_is_for_on_single_objects(checkout: Checkout, reader: Reader) -> None:
    assert rights(run(checkout, **ACCESS, subnet=SUBNET)) - rights(run(checkout)) == {
        ("prod-eu", "Network Contributor", SUBNET),
        ("prod-eu-source", "AcrPull", REGISTRY),
        ("prod-eu-decryption", "Key Vault Crypto User", KEY),
    }


def test_what_is_named_twice_is_granted_once(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, registries=[REGISTRY, REGISTRY]))
    assert f"RoleAssignment prod-eu-source-{unique(REGISTRY)}" in made


def test_each_controller_signs_in_as_the_identity_that_is_for_it(checkout: Checkout, reader: Reader) -> None:
    found = run(checkout).monitor.of_type("azure-native:managedidentity:FederatedIdentityCredential")
    account = "system:serviceaccount:flux-system:"
    assert {(asked.inputs["resourceName"], asked.inputs["subject"]) for asked in found} == {
        ("prod-eu-source", f"{account}source-controller"),
        ("prod-eu-source", f"{account}image-reflector-controller"),
        ("prod-eu-decryption", f"{account}kustomize-controller"),
    }
    for asked in found:
        assert asked.inputs["issuer"] == "https://issuer/prod-eu/1/"
        assert asked.inputs["audiences"] == ["api://AzureADTokenExchange"]


def test_credentials_of_one_identity_are_made_one_after_the_other(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout))
    first, second = (f"FederatedIdentityCredential prod-eu-{of}-controller" for of in ("source", "image-reflector"))
    assert made[first].urn in made[second].dependencies


def test_flux_is_told_whom_its_controllers_sign_in_as(checkout: Checkout, reader: Reader) -> None:
    """Their manifests name the variables; without a role, too."""
    data = run(checkout).of("prod-eu", "runtime").inputs["data"]
    assert (data["SOURCE_CLIENT_ID"], data["DECRYPTION_CLIENT_ID"]) == (
        "client-prod-eu-source",
        "client-prod-eu-decryption",
    )


# --- names -----------------------------------------------------------------------------------------------------------
def test_names_are_within_azures_limits(checkout: Checkout, reader: Reader) -> None:
    """24 characters for a vault, of which Pulumi takes eight; 54 for the first part of an address."""
    long = "a" * 63
    made = parts(run(checkout, renamedFrom=long, monitor=Azure(long)), long)
    (vault,) = (asked.name for key, asked in made.items() if key.startswith("Vault "))
    assert len(vault) == 16
    cluster = made[f"ManagedCluster {long}"].inputs
    assert (cluster["resourceName"], len(cluster["dnsPrefix"])) == (long, 54)


def test_a_renamed_cluster_keeps_the_name_that_it_was_made_by(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, renamedFrom="old", monitor=Azure("old")), "old")
    assert made["ManagedCluster old"].inputs["resourceName"] == "old"
    assert [key for key in made if "prod-eu" in key] == []


# --- getting in ------------------------------------------------------------------------------------------------------
def test_the_kubeconfig_is_secret_and_holds_no_credential(checkout: Checkout, reader: Reader) -> None:
    """Not even the one that Azure answered with."""
    found = clouds.signs_in_by_command(run(checkout), "https://prod-eu.internal:443")
    assert "never-ends" not in found
    assert found in reader.asked


def test_the_program_reads_the_cluster_with_a_token_of_the_plug_in(
    checkout: Checkout, reader: Reader, api: KubernetesApi
) -> None:
    made = run(checkout, monitor=Azure("prod-eu", server=api.url))
    read(clouds.over_http(made, "prod-eu"))
    assert {sent for _, sent in api.requests} == {f"Bearer {TOKEN}"}


def test_flux_waits_for_nodes(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, nodePools={"web": {"machine": "x"}})
    provider = made.resources["pulumi:providers:kubernetes::prod-eu"]
    assert parts(made)["AgentPool prod-eu-web"].urn in provider.dependencies


def test_a_preview_of_a_cluster_that_is_not_there_knows_no_kubeconfig(checkout: Checkout, reader: Reader) -> None:
    """Neither it nor Azure is asked, and Flux on it is planned all the same."""
    monitor = Cloud(functions={}, outputs=ABSENT)
    made = run(checkout, preview=True, monitor=monitor)
    assert monitor.asked == []
    assert reader.asked == [checkout.kubeconfig("prod-us")]
    assert made.of("prod-eu", "instance").inputs["kind"] == "FluxInstance"


def test_a_cluster_that_is_made_again_is_told_from_the_old_one(checkout: Checkout, reader: Reader) -> None:
    label = "pulumi:providers:kubernetes::prod-eu"
    made = [run(checkout, monitor=Azure("prod-eu", incarnation=each)).resources[label].inputs for each in ("1", "2")]
    ids = [reveal(inputs["clusterIdentifier"]) for inputs in made]
    assert ids == ["https://issuer/prod-eu/1/", "https://issuer/prod-eu/2/"]


# --- the whole stack -------------------------------------------------------------------------------------------------
def test_production_runs_on_two_clouds_side_by_side(checkout: Checkout, reader: Reader) -> None:
    project = "gcp:organizations/getProject:getProject"
    monitor = Azure("prod-eu")
    monitor.functions = {**monitor.functions, project: {"number": "4711"}}
    dns = {"dnsEndpointConfig": {"endpoint": "gke-1.us-east1.gke.goog"}}
    authority = {"clusterCaCertificate": AUTHORITY}
    monitor.known["prod-us"] = {"controlPlaneEndpointsConfig": dns, "masterAuth": authority, "endpoint": "10.0.0.2"}
    google = {
        "kind": "gke",
        "project": "acme-prod",
        "location": "us-east1",
        "registries": ["projects/p/locations/l/repositories/r"],
    }
    clusters = {"prod-eu": SPEC | ACCESS, "prod-us": google}
    made = checkout.run("production", monitor=monitor, clusters=clusters)
    assert sorted(asked.name for asked in made.monitor.of_type("fleet:index:FluxCluster")) == ["prod-eu", "prod-us"]
    assert made.outputs["clusters"].keys() == {"prod-eu", "prod-us"}
    assert len(reader.asked) == 2
    above = {"AksCluster::prod-eu": "azure-native", "GkeCluster::prod-us": "gcp", "GkeAccess::acme-prod": "gcp"}
    for component, package in above.items():
        kinds = {asked.type for asked in clouds.parts(made, component).values()}
        assert all(kind.startswith((f"{package}:", f"pulumi:providers:{package}")) for kind in kinds)


def test_two_clusters_share_nothing(checkout: Checkout, reader: Reader) -> None:
    """A registry that both read is granted to each."""
    clusters = {"prod-eu": SPEC | ACCESS, "prod-us": SPEC | ACCESS | {"location": "eastus"}}
    made = checkout.run("production", monitor=Azure("prod-eu", "prod-us"), clusters=clusters)
    shared = [right for right in rights(made) if right[2] in (REGISTRY, KEY)]
    assert sorted(who for who, _, _ in shared) == [
        f"{name}-{purpose}" for name in ("prod-eu", "prod-us") for purpose in ("decryption", "source")
    ]


def test_no_other_cloud_is_loaded(tmp_path: Path) -> None:
    assert clouds.loaded_for(tmp_path, SPEC | ACCESS, functions={}, outputs=ABSENT) == {"pulumi_azure_native"}
