"""A cluster of Google Kubernetes Engine: what is made, who may do what, how the program gets in; and a production
stack on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from fleet.resources.clusters.cloud import digest, short, unique
from fleet.resources.live import read
from sandbox.program.registration import Registration, reveal
from tests import clouds
from tests.checkout import Checkout, Run
from tests.clouds import AUTHORITY, EXISTING, TOKEN, Cloud, put_on_path
from tests.kubernetes_api import KubernetesApi
from tests.reader import Reader

pytestmark = pytest.mark.clouds

SPEC: Final = {"kind": "gke", "project": "acme-prod", "location": "europe-west1"}
REGISTRY: Final = "projects/acme-images/locations/europe/repositories/fleet"
KEY: Final = "projects/acme-keys/locations/global/keyRings/sops/cryptoKeys/fleet"
ACCESS: Final[dict[str, Any]] = {"registries": [REGISTRY], "sopsKeys": [KEY]}
POOL: Final = (
    "principal://iam.googleapis.com/projects/4711/locations/global/workloadIdentityPools/acme-prod.svc.id.goog"
)
"""What Google puts before the names of the project's accounts."""
PROJECT: Final = "gcp:organizations/getProject:getProject"
CLUSTER: Final = "gcp:container/cluster:Cluster"
KEYS: Final = {"KeyRing prod-eu", "CryptoKey prod-eu"}


class Google(Cloud):
    """Each cluster has addresses of its own; accounts are called as Google calls them."""

    def __init__(self, *names: str, server: str = "", uid: str = "1") -> None:
        known: dict[str, Any] = {
            "gcp:serviceaccount/account:Account": {"email": "nodes@x", "member": "account:nodes@x"}
        }
        for name in names:
            dns = {"dnsEndpointConfig": {"endpoint": f"gke-{name}-{uid}.europe-west1.gke.goog"}}
            known[name] = {
                "endpoint": server or f"{name}.internal",
                "masterAuth": {"clusterCaCertificate": AUTHORITY},
                "controlPlaneEndpointsConfig": dns,
            }
        super().__init__(functions={PROJECT: {"number": "4711"}}, outputs=known)


@pytest.fixture(autouse=True)
def _plugin(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = tmp_path_factory.mktemp("bin")
    put_on_path(monkeypatch, folder, "gke-gcloud-auth-plugin", "--use_application_default_credentials")


@pytest.fixture(autouse=True)
def _trusted(checkout: Checkout) -> None:
    """Tenants are trusted, or Flux itself must not decrypt."""
    checkout.change_fleet(flux={"multitenant": False})


def run(checkout: Checkout, *, preview: bool = False, monitor: Cloud | None = None, **spec: Any) -> Run:
    """The production stack: prod-eu on GKE, prod-us as the repository has it."""
    clusters = {"prod-eu": SPEC | spec, "prod-us": EXISTING}
    return checkout.run("production", preview=preview, monitor=monitor or Google("prod-eu"), clusters=clusters)


def parts(made: Run, name: str = "prod-eu") -> dict[str, Registration]:
    return clouds.parts(made, f"GkeCluster::{name}")


def asked_functions(made: Run) -> list[tuple[str, dict[str, Any], str]]:
    assert isinstance(made.monitor, Cloud)
    return made.monitor.asked


# --- the graph -------------------------------------------------------------------------------------------------------
def test_a_cluster_is_made_with_its_key_account_and_pools_and_nothing_else(checkout: Checkout, reader: Reader) -> None:
    pools = {"web": {"machine": "e2-standard-4"}, "batch": {"machine": "c4-standard-8"}}
    assert parts(run(checkout, nodePools=pools)).keys() == {
        "gcp prod-eu",
        *KEYS,
        "CryptoKeyIAMMember prod-eu",
        "Account prod-eu-nodes",
        "IAMMember prod-eu-nodes",
        "Cluster prod-eu",
        "NodePool prod-eu-web",
        "NodePool prod-eu-batch",
    }


def test_the_cluster_is_private_encrypted_logged_and_without_credentials(checkout: Checkout, reader: Reader) -> None:
    assert parts(run(checkout))["Cluster prod-eu"].inputs == {
        "name": "prod-eu",
        "location": "europe-west1",
        "network": "default",
        "subnetwork": "default",
        "networkingMode": "VPC_NATIVE",
        "datapathProvider": "ADVANCED_DATAPATH",
        "privateClusterConfig": {"enablePrivateNodes": True, "enablePrivateEndpoint": True},
        "masterAuthorizedNetworksConfig": {"cidrBlocks": [], "gcpPublicCidrsAccessEnabled": False},
        "releaseChannel": {"channel": "REGULAR"},
        "workloadIdentityConfig": {"workloadPool": "acme-prod.svc.id.goog"},
        "databaseEncryption": {"state": "ENCRYPTED", "keyName": "prod-eu-id"},
        "loggingConfig": {"enableComponents": ["SYSTEM_COMPONENTS", "APISERVER", "CONTROLLER_MANAGER", "SCHEDULER"]},
        "masterAuth": {"clientCertificateConfig": {"issueClientCertificate": False}},
        "enableLegacyAbac": False,
        "enableShieldedNodes": True,
        "initialNodeCount": 1,
        "removeDefaultNodePool": True,
        "nodeConfig": {"serviceAccount": "nodes@x"},
        "deletionProtection": True,
    }


def test_nodes_scale_repair_and_upgrade_and_show_pods_no_credentials(checkout: Checkout, reader: Reader) -> None:
    pools = {"default": {"machine": "e2-standard-8", "min": 0, "max": 5, "spot": True}}
    assert parts(run(checkout, nodePools=pools))["NodePool prod-eu-default"].inputs == {
        "cluster": "prod-eu-id",
        "initialNodeCount": 0,
        "autoscaling": {"minNodeCount": 0, "maxNodeCount": 5},
        "management": {"autoRepair": True, "autoUpgrade": True},
        "nodeConfig": {
            "machineType": "e2-standard-8",
            "spot": True,
            "serviceAccount": "nodes@x",
            "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
            "metadata": {"disable-legacy-endpoints": "true"},
            "workloadMetadataConfig": {"mode": "GKE_METADATA"},
            "shieldedInstanceConfig": {"enableSecureBoot": True, "enableIntegrityMonitoring": True},
        },
    }


def test_version_channel_and_network_are_those_of_the_stack(checkout: Checkout, reader: Reader) -> None:
    given: dict[str, Any] = {"version": "1.35", "channel": "STABLE", "network": "fleet", "subnetwork": "nodes"}
    asked = parts(run(checkout, **given))["Cluster prod-eu"].inputs
    assert (asked["minMasterVersion"], asked["releaseChannel"]) == ("1.35", {"channel": "STABLE"})
    assert (asked["network"], asked["subnetwork"]) == ("fleet", "nodes")


@pytest.mark.parametrize(
    ("networks", "private"),
    [
        ([], True),
        (["10.1.0.0/16", "100.64.0.0/24"], True),
        (["203.0.113.0/24"], False),
        (["10.1.0.0/16", "203.0.113.0/24"], False),
    ],
)
def test_only_a_public_network_opens_the_public_address(
    checkout: Checkout, reader: Reader, networks: list[str], private: bool
) -> None:
    asked = parts(run(checkout, openTo=networks))["Cluster prod-eu"].inputs
    assert asked["privateClusterConfig"] == {"enablePrivateNodes": True, "enablePrivateEndpoint": private}
    assert asked["masterAuthorizedNetworksConfig"] == {
        "cidrBlocks": [{"cidrBlock": network} for network in networks],
        "gcpPublicCidrsAccessEnabled": False,
    }


@pytest.mark.parametrize("location", ["europe-west1", "europe-west1-b"])
def test_the_key_is_in_the_region_and_turns(checkout: Checkout, reader: Reader, location: str) -> None:
    made = parts(run(checkout, location=location))
    assert made["Cluster prod-eu"].inputs["location"] == location
    assert made["KeyRing prod-eu"].inputs == {"location": "europe-west1"}
    assert made["CryptoKey prod-eu"].inputs == {"keyRing": "prod-eu-id", "rotationPeriod": "7776000s"}
    assert made["gcp prod-eu"].inputs["region"] == "europe-west1"


# --- options ---------------------------------------------------------------------------------------------------------
def test_everything_is_made_and_asked_by_the_providers_of_the_clusters_project(
    checkout: Checkout, reader: Reader
) -> None:
    made = run(checkout, **ACCESS)
    for component in ("GkeCluster::prod-eu", "GkeAccess::acme-prod"):
        inside = clouds.parts(made, component)
        (provider,) = (inside.pop(key) for key in [*inside] if key.startswith("gcp "))
        assert provider.inputs["project"] == "acme-prod"
        assert {asked.provider.rpartition("::")[0] for asked in inside.values()} == {provider.urn}
    functions = asked_functions(made)
    urns = {asked.urn for asked in made.monitor.of_type("pulumi:providers:gcp")}
    assert {(token, arguments["projectId"]) for token, arguments, _ in functions} == {(PROJECT, "acme-prod")}
    assert {provider for _, _, provider in functions} == urns


@pytest.mark.parametrize(("said", "protected"), [({}, True), ({"protect": False}, False), ({"protect": True}, True)])
def test_the_cluster_and_its_keys_are_protected_in_production(
    checkout: Checkout, reader: Reader, said: dict[str, Any], protected: bool
) -> None:
    made = parts(run(checkout, **said))
    anchors = {"Cluster prod-eu", *KEYS}
    assert {key for key, asked in made.items() if asked.protect} == (anchors if protected else set())
    assert made["Cluster prod-eu"].inputs["deletionProtection"] is protected


def test_pools_and_what_flux_made_go_with_the_cluster(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, **ACCESS)
    cluster = made.monitor.of_type(CLUSTER)[0].urn
    with_it = {asked.label for asked in made.monitor.registrations if asked.deleted_with == cluster}
    assert with_it == {"gcp:container/nodePool:NodePool::prod-eu-default", "fleet:index:FluxCluster::prod-eu"}


def test_a_destroyed_cluster_can_be_made_again(checkout: Checkout, reader: Reader) -> None:
    """Google keeps the names of keys and key rings for ever: Pulumi must choose them, and does so where none is given.
    Pools are named so too: a successor is made first. The cluster has one name, and goes first."""
    made = parts(run(checkout))
    for key in (*KEYS, "NodePool prod-eu-default"):
        assert not made[key].inputs.keys() & {"name", "namePrefix"}
        assert made[key].delete_before_replace is None
    assert made["Cluster prod-eu"].delete_before_replace is True


def test_what_google_and_the_autoscaler_change_is_left_alone(checkout: Checkout, reader: Reader) -> None:
    """The first pool's settings are read back as another pool's; another `min` would make all nodes anew."""
    made = parts(run(checkout))
    assert made["Cluster prod-eu"].ignore_changes == ("nodeConfig",)
    assert made["NodePool prod-eu-default"].ignore_changes == ("initialNodeCount",)


def test_cluster_and_pools_have_time(checkout: Checkout, reader: Reader) -> None:
    slow = {key for key, asked in parts(run(checkout)).items() if asked.custom_timeouts.keys() >= {"create", "update"}}
    assert slow == {"Cluster prod-eu", "NodePool prod-eu-default"}


def test_the_cluster_waits_for_its_rights(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout))
    for key in (*KEYS - {"KeyRing prod-eu"}, "CryptoKeyIAMMember prod-eu", "IAMMember prod-eu-nodes"):
        assert made[key].urn in made["Cluster prod-eu"].dependencies, key


# --- rights ----------------------------------------------------------------------------------------------------------
def rights(made: Run) -> set[tuple[str, str, str]]:
    """Who may do what on what, of every grant in the stack."""
    kinds = {
        "gcp:projects/iAMMember:IAMMember": "project",
        "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": "cryptoKeyId",
        "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": "repository",
    }
    granting = [asked for asked in made.monitor.registrations if "iam" in asked.type.lower()]
    assert {asked.type for asked in granting} <= kinds.keys()
    return {(asked.inputs["member"], asked.inputs["role"], asked.inputs[kinds[asked.type]]) for asked in granting}


def test_without_registries_and_keys_only_nodes_and_gke_may_do_anything(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout)
    agent = "serviceAccount:service-4711@container-engine-robot.iam.gserviceaccount.com"
    assert rights(made) == {
        ("account:nodes@x", "roles/container.defaultNodeServiceAccount", "acme-prod"),
        (agent, "roles/cloudkms.cryptoKeyEncrypterDecrypter", "prod-eu-id"),
    }
    assert made.monitor.of_type("fleet:index:GkeAccess") == []


def test_each_controller_may_do_what_it_is_for_on_single_objects(checkout: Checkout, reader: Reader) -> None:
    added = rights(run(checkout, **ACCESS)) - rights(run(checkout))
    account = f"{POOL}/subject/ns/flux-system/sa"
    assert added == {
        (f"{account}/source-controller", "roles/artifactregistry.reader", "fleet"),
        (f"{account}/image-reflector-controller", "roles/artifactregistry.reader", "fleet"),
        (f"{account}/kustomize-controller", "roles/cloudkms.cryptoKeyDecrypter", KEY),
    }


def test_a_registry_may_be_another_projects(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, **ACCESS)
    asked = clouds.parts(made, "GkeAccess::acme-prod")[
        f"RepositoryIamMember acme-prod-source-controller-{unique(REGISTRY)}"
    ]
    where = {key: asked.inputs[key] for key in ("project", "location", "repository")}
    assert where == {"project": "acme-images", "location": "europe", "repository": "fleet"}


def test_grants_wait_for_the_clusters_of_their_project(checkout: Checkout, reader: Reader) -> None:
    """The first of them makes the pool of identities that the grants name."""
    made = run(checkout, **ACCESS)
    cluster = made.monitor.of_type(CLUSTER)[0].urn
    inside = clouds.parts(made, "GkeAccess::acme-prod")
    assert {key for key, asked in inside.items() if cluster not in asked.dependencies} == {"gcp acme-prod-access"}


def two(checkout: Checkout, **us: Any) -> Run:
    clusters = {"prod-eu": SPEC | ACCESS, "prod-us": SPEC | {"location": "us-east1"} | us}
    return checkout.run("production", monitor=Google("prod-eu", "prod-us"), clusters=clusters)


def test_clusters_of_a_project_share_their_grants(checkout: Checkout, reader: Reader) -> None:
    """Each once, by a name without any cluster's: one that goes takes nothing from the one that stays."""
    both, alone = two(checkout, **ACCESS), {"prod-eu": EXISTING, "prod-us": SPEC | ACCESS}
    left = checkout.run("production", monitor=Google("prod-us"), clusters=alone)

    def urns(made: Run) -> list[str]:
        return sorted(asked.urn for asked in clouds.parts(made, "GkeAccess::acme-prod").values())

    assert urns(left) == urns(both)
    assert [len(made.monitor.of_type(CLUSTER)) for made in (both, left)] == [2, 1]


def test_each_project_has_grants_of_its_own(checkout: Checkout, reader: Reader) -> None:
    made = two(checkout, project="acme-other", sopsKeys=[KEY])
    found = {
        asked.name: clouds.parts(made, f"GkeAccess::{asked.name}")
        for asked in made.monitor.of_type("fleet:index:GkeAccess")
    }
    assert {name: len(inside) - 1 for name, inside in found.items()} == {"acme-prod": 3, "acme-other": 1}


# --- names -----------------------------------------------------------------------------------------------------------
def test_names_are_within_googles_limits(checkout: Checkout, reader: Reader) -> None:
    """30 characters for an account, 40 for a pool, of which Pulumi takes eight."""
    long = "a-cluster-with-a-name-of-thirty-nine-cs"
    pools = {"default": {"machine": "e2-standard-4"}, "defaults": {"machine": "e2-standard-4"}}
    made = parts(run(checkout, renamedFrom=long, nodePools=pools, monitor=Google(long)), long)
    (account,) = (asked for key, asked in made.items() if key.startswith("Account "))
    assert len(account.inputs["accountId"]) == 30
    names = [asked.name for key, asked in made.items() if key.startswith("NodePool ")]
    assert (len({*names}), {len(name) for name in names}) == (2, {32})


def test_short_names_differ_where_the_long_ones_do() -> None:
    assert short("a" * 30, 30) == "a" * 30
    assert short("a" * 31, 30) == f"{'a' * 21}-{digest('a' * 31)}"
    assert short("a" * 20 + "-" * 12, 30) == f"{'a' * 20}-{digest('a' * 20 + '-' * 12)}"


def test_a_renamed_cluster_keeps_the_name_that_it_was_made_by(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, renamedFrom="old", monitor=Google("old")), "old")
    assert made["Cluster old"].inputs["name"] == "old"
    assert [key for key in made if "prod-eu" in key] == []


# --- getting in ------------------------------------------------------------------------------------------------------
def test_the_kubeconfig_is_secret_and_holds_no_credential(checkout: Checkout, reader: Reader) -> None:
    assert clouds.signs_in_by_command(run(checkout), "https://prod-eu.internal") in reader.asked


def test_the_program_reads_the_cluster_with_a_token_of_the_plug_in(
    checkout: Checkout, reader: Reader, api: KubernetesApi
) -> None:
    made = run(checkout, monitor=Google("prod-eu", server=api.url.removeprefix("http://")))
    read(clouds.over_http(made, "prod-eu"))
    assert {sent for _, sent in api.requests} == {f"Bearer {TOKEN}"}


def test_flux_waits_for_nodes(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout)
    provider = made.resources["pulumi:providers:kubernetes::prod-eu"]
    assert parts(made)["NodePool prod-eu-default"].urn in provider.dependencies


def test_a_preview_of_a_cluster_that_is_not_there_knows_no_kubeconfig(checkout: Checkout, reader: Reader) -> None:
    """It is not asked, and Flux on it is planned all the same."""
    made = run(checkout, preview=True, monitor=Google())
    assert reader.asked == [checkout.kubeconfig("prod-us")]
    assert made.of("prod-eu", "instance").inputs["kind"] == "FluxInstance"


def test_a_cluster_that_is_made_again_is_told_from_the_old_one(checkout: Checkout, reader: Reader) -> None:
    """Its address may be that of the old one, its name is."""
    label = "pulumi:providers:kubernetes::prod-eu"
    made = [run(checkout, monitor=Google("prod-eu", uid=uid)).resources[label].inputs for uid in ("1", "2")]
    assert [reveal(inputs["clusterIdentifier"]) for inputs in made] == [
        "gke-prod-eu-1.europe-west1.gke.goog",
        "gke-prod-eu-2.europe-west1.gke.goog",
    ]


# --- the whole stack -------------------------------------------------------------------------------------------------
def test_production_runs_on_two_kinds_side_by_side(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout)
    assert sorted(asked.name for asked in made.monitor.of_type("fleet:index:FluxCluster")) == ["prod-eu", "prod-us"]
    assert made.outputs["clusters"].keys() == {"prod-eu", "prod-us"}
    assert len(reader.asked) == 2


def test_no_other_cloud_is_loaded(tmp_path: Path) -> None:
    spec, functions = SPEC | ACCESS, {PROJECT: {"number": "4711"}}
    assert clouds.loaded_for(tmp_path, spec, functions=functions, outputs={}) == {"pulumi_gcp"}
