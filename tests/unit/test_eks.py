"""A cluster of Amazon EKS: what is made, who may do what, how the program gets in; and a production stack on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fleet.model import EksCluster
from fleet.resources.clusters import iam
from fleet.resources.clusters.cloud import unique
from fleet.resources.live import read
from sandbox.program.registration import Registration, reveal
from tests import clouds
from tests.checkout import Checkout, Run, secret_value
from tests.clouds import AUTHORITY, EXISTING, TOKEN, put_on_path
from tests.kubernetes_api import KubernetesApi
from tests.reader import Reader
from tests.recording import RecordingMonitor

pytestmark = pytest.mark.clouds

SUBNETS: Final = ["subnet-0a", "subnet-0b"]
SPEC: Final = {"kind": "eks", "region": "eu-west-1", "subnets": SUBNETS}
KEYS: Final = [f"arn:aws:kms:eu-west-1:111122223333:key/{letter}" for letter in "ab"]
ADMINS: Final = ["arn:aws:iam::111122223333:role/team/ops", "arn:aws:iam::444455556666:user/eve"]
CLUSTER: Final = "aws:eks/cluster:Cluster"
ASSOCIATION: Final = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
ADMITTED: Final[Mapping[str, Any]] = {
    "account": "111122223333",
    "version": "1.35",
    "nodePools": ["general-purpose"],
    "openTo": ["10.1.0.0/16", "203.0.113.0/24"],
    "admins": ADMINS,
    "sopsKeys": KEYS,
}
"""Every key that may be given."""


def outputs(name: str, server: str = "") -> dict[str, Any]:
    """What AWS says of a cluster that exists; the inputs beside it are the recording's own."""
    return {
        "arn": f"arn:aws:eks:eu-west-1:111122223333:cluster/{name}",
        "endpoint": server or f"https://{name}.gr7.eu-west-1.eks.amazonaws.com",
        "certificateAuthority": {"data": AUTHORITY},
        "identities": [{"oidcs": [{"issuer": f"https://oidc.eks.eu-west-1.amazonaws.com/id/{name}"}]}],
        "vpcConfig": {"subnetIds": SUBNETS, "clusterSecurityGroupId": f"sg-{name}"},
    }


class Aws(RecordingMonitor):
    """Gives resources the ARNs that AWS gives them."""

    def __init__(self, *clusters: str, servers: Mapping[str, str] | None = None) -> None:
        known = {name: outputs(name, (servers or {}).get(name, "")) for name in clusters}
        keys = {f"{name}-secrets": {"arn": f"arn:aws:kms:eu-west-1:111122223333:key/{name}"} for name in clusters}
        roles = {
            f"{name}-{purpose}": {"arn": f"arn:aws:iam::111122223333:role/{name}-{purpose}"}
            for name in clusters
            for purpose in ("cluster", "nodes", "registry", "decryption")
        }
        super().__init__(outputs=known | keys | roles)


@pytest.fixture(autouse=True)
def _aws(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "prod-eu", "--output", "json"]
    put_on_path(monkeypatch, tmp_path_factory.mktemp("bin"), "aws", *arguments)


@pytest.fixture(autouse=True)
def _trusted(checkout: Checkout) -> None:
    """Tenants are trusted, or Flux itself must not decrypt."""
    checkout.change_fleet(flux={"multitenant": False})


def run(checkout: Checkout, *, preview: bool = False, monitor: RecordingMonitor | None = None, **spec: Any) -> Run:
    """The production stack: prod-eu on EKS, prod-us as the repository has it."""
    clusters = {"prod-eu": SPEC | spec, "prod-us": EXISTING}
    return checkout.run("production", preview=preview, monitor=monitor or Aws("prod-eu"), clusters=clusters)


def parts(made: Run, name: str = "prod-eu") -> dict[str, Registration]:
    return clouds.parts(made, f"EksCluster::{name}")


def kubeconfig(made: Run) -> Any:
    return clouds.kubeconfig(made, "prod-eu")


def statement(asked: Registration, key: str) -> dict[str, Any]:
    """The one statement of a policy document."""
    document = json.loads(asked.inputs[key])
    assert document["Version"] == "2012-10-17"
    (found,) = document["Statement"]
    assert found.pop("Effect") == "Allow"
    return dict(found)


# --- the graph -------------------------------------------------------------------------------------------------------
def test_a_cluster_is_made_with_its_key_log_and_roles_and_nothing_else(checkout: Checkout, reader: Reader) -> None:
    policies = {"cluster": iam.CLUSTER_POLICIES, "nodes": iam.NODE_POLICIES, "registry": [iam.PULLING]}
    made = parts(run(checkout))
    assert made.keys() == {
        "aws prod-eu",
        "Key prod-eu-secrets",
        "LogGroup prod-eu-logs",
        *(f"Role prod-eu-{purpose}" for purpose in policies),
        *(f"RolePolicyAttachment prod-eu-{role}-{policy}" for role in policies for policy in policies[role]),
        "RolePolicy prod-eu-cluster",
        "RolePolicy prod-eu-registry",
        "Cluster prod-eu",
        "OpenIdConnectProvider prod-eu-issuer",
        "PodIdentityAssociation prod-eu-source-controller",
        "PodIdentityAssociation prod-eu-image-reflector-controller",
    }


def test_what_is_admitted_adds_to_that(checkout: Checkout, reader: Reader) -> None:
    plain, admitted = parts(run(checkout)), parts(run(checkout, **ADMITTED))
    ops, eve = (unique(principal) for principal in ADMINS)
    assert admitted.keys() - plain.keys() == {
        f"AccessEntry prod-eu-{ops}",
        f"AccessEntry prod-eu-{eve}",
        f"AccessPolicyAssociation prod-eu-{ops}",
        f"AccessPolicyAssociation prod-eu-{eve}",
        "SecurityGroupIngressRule prod-eu-10.1.0.0/16",
        "Role prod-eu-decryption",
        "RolePolicy prod-eu-decryption",
        "PodIdentityAssociation prod-eu-kustomize-controller",
    }
    assert plain.keys() <= admitted.keys()


def test_the_cluster_is_private_encrypted_logged_and_in_auto_mode(checkout: Checkout, reader: Reader) -> None:
    asked = parts(run(checkout))["Cluster prod-eu"].inputs
    assert asked == {
        "name": "prod-eu",
        "roleArn": "arn:aws:iam::111122223333:role/prod-eu-cluster",
        "vpcConfig": {"subnetIds": SUBNETS, "endpointPrivateAccess": True, "endpointPublicAccess": False},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
        "encryptionConfig": {
            "provider": {"keyArn": "arn:aws:kms:eu-west-1:111122223333:key/prod-eu"},
            "resources": ["secrets"],
        },
        "enabledClusterLogTypes": ["api", "audit", "authenticator", "controllerManager", "scheduler"],
        "upgradePolicy": {"supportType": "STANDARD"},
        "deletionProtection": True,
        "computeConfig": {
            "enabled": True,
            "nodePools": ["general-purpose", "system"],
            "nodeRoleArn": "arn:aws:iam::111122223333:role/prod-eu-nodes",
        },
        "storageConfig": {"blockStorage": {"enabled": True}},
        "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
        "bootstrapSelfManagedAddons": False,
    }


def test_version_pools_and_networks_are_those_of_the_stack(checkout: Checkout, reader: Reader) -> None:
    """Private networks come by the private addresses, which a rule lets them reach; others need the public one."""
    made = parts(run(checkout, **ADMITTED))
    asked = made["Cluster prod-eu"].inputs
    assert (asked["version"], asked["computeConfig"]["nodePools"]) == ("1.35", ["general-purpose"])
    assert asked["vpcConfig"]["endpointPublicAccess"] is True
    assert asked["vpcConfig"]["publicAccessCidrs"] == ["203.0.113.0/24"]
    rule = made["SecurityGroupIngressRule prod-eu-10.1.0.0/16"].inputs
    assert rule == {
        "securityGroupId": "sg-prod-eu",
        "cidrIpv4": "10.1.0.0/16",
        "ipProtocol": "tcp",
        "fromPort": 443,
        "toPort": 443,
    }


def test_networks_are_private_that_a_vpc_may_have() -> None:
    private = ("10.0.0.0/8", "10.9.8.0/24", "172.31.0.0/16", "192.168.7.7/32", "100.127.0.0/16")
    public = ("0.0.0.0/0", "11.0.0.0/8", "172.32.0.0/16", "172.0.0.0/8", "203.0.113.0/24", "100.128.0.0/16")
    source = EksCluster(kind="eks", region="eu-west-1", subnets=tuple(SUBNETS), open_to=(*private, *public))
    assert (source.private_networks, source.public_networks) == (private, public)


def test_the_key_turns_and_the_log_ends(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout))
    assert made["Key prod-eu-secrets"].inputs["enableKeyRotation"] is True
    log = made["LogGroup prod-eu-logs"].inputs
    assert log == {"name": "/aws/eks/prod-eu/cluster", "retentionInDays": 90}


def test_one_explicit_provider_works_in_the_region_and_marks_everything(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, account="111122223333"))
    provider = made.pop("aws prod-eu")
    inputs = {key: json.loads(value) for key, value in provider.inputs.items() if value[:1] in "[{"}
    assert provider.inputs["region"] == "eu-west-1"
    assert inputs["allowedAccountIds"] == ["111122223333"]
    assert inputs["defaultTags"] == {"tags": {"fleet:stack": "production", "fleet:cluster": "prod-eu"}}
    assert {asked.provider.rpartition("::")[0] for asked in made.values()} == {provider.urn}


# --- options ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("said", "protected"), [({}, True), ({"protect": False}, False), ({"protect": True}, True)])
def test_the_cluster_and_its_key_are_protected_in_production(
    checkout: Checkout, reader: Reader, said: dict[str, Any], protected: bool
) -> None:
    made = parts(run(checkout, **ADMITTED, **said))
    assert {key for key, asked in made.items() if asked.protect} == (
        {"Cluster prod-eu", "Key prod-eu-secrets"} if protected else set()
    )
    assert made["Cluster prod-eu"].inputs["deletionProtection"] is protected


def test_what_aws_deletes_with_the_cluster_is_not_deleted_one_by_one(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, **ADMITTED)
    cluster, inside = made.monitor.of_type(CLUSTER)[0].urn, parts(made)
    kinds = ("AccessEntry", "AccessPolicyAssociation", "PodIdentityAssociation", "SecurityGroupIngressRule")
    assert {key for key, asked in inside.items() if asked.deleted_with == cluster} == {
        key for key in inside if key.startswith(kinds)
    }
    (flux,) = (asked for asked in made.monitor.of_type("fleet:index:FluxCluster") if asked.name == "prod-eu")
    assert flux.deleted_with == cluster


def test_the_cluster_waits_for_its_rights_and_has_time(checkout: Checkout, reader: Reader) -> None:
    """Without the rights AWS could not remove what it made for the cluster; without its log EKS makes one."""
    made = parts(run(checkout))
    cluster = made["Cluster prod-eu"]
    rights = [key for key in made if re.match(r"(RolePolicy|RolePolicyAttachment) prod-eu-(cluster|nodes)", key)]
    assert len(rights) == len(iam.CLUSTER_POLICIES) + len(iam.NODE_POLICIES) + 1
    for key in [*rights, "LogGroup prod-eu-logs", "Key prod-eu-secrets"]:
        assert made[key].urn in cluster.dependencies, key
    assert cluster.custom_timeouts.keys() == {"create", "update", "delete"}
    assert cluster.delete_before_replace is True


# --- rights ----------------------------------------------------------------------------------------------------------
def test_roles_are_taken_on_by_whom_they_are_for(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, sopsKeys=KEYS))
    trusts = {key: statement(made[f"Role prod-eu-{key}"], "assumeRolePolicy") for key in ("cluster", "nodes")}
    assert trusts == {
        "cluster": {"Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": {"Service": "eks.amazonaws.com"}},
        "nodes": {"Action": ["sts:AssumeRole"], "Principal": {"Service": "ec2.amazonaws.com"}},
    }
    accounts = {"registry": ["source-controller", "image-reflector-controller"], "decryption": ["kustomize-controller"]}
    for purpose, names in accounts.items():
        assert statement(made[f"Role prod-eu-{purpose}"], "assumeRolePolicy") == {
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": [outputs("prod-eu")["arn"]],
                    "aws:RequestTag/kubernetes-namespace": ["flux-system"],
                    "aws:RequestTag/kubernetes-service-account": names,
                }
            },
        }


def test_each_role_may_do_the_least(checkout: Checkout, reader: Reader) -> None:
    """No action by pattern; keys by name, and repositories of a registry, which Flux reads any of."""
    made = parts(run(checkout, sopsKeys=KEYS))
    own = {key: statement(asked, "policy") for key, asked in made.items() if key.startswith("RolePolicy ")}
    assert own == {
        "RolePolicy prod-eu-cluster": {
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:ListGrants"],
            "Resource": ["arn:aws:kms:eu-west-1:111122223333:key/prod-eu"],
        },
        "RolePolicy prod-eu-registry": {
            "Action": ["ecr:ListImages"],
            "Resource": ["arn:aws:ecr:*:*:repository/*"],
        },
        "RolePolicy prod-eu-decryption": {"Action": ["kms:Decrypt"], "Resource": KEYS},
    }
    managed: dict[str, set[str]] = {}
    for key, asked in made.items():
        if key.startswith("RolePolicyAttachment "):
            policy = asked.inputs["policyArn"].removeprefix("arn:aws:iam::aws:policy/")
            managed.setdefault(asked.inputs["role"].rsplit("-", 1)[0], set()).add(policy)
    assert managed == {
        "prod-eu-cluster": {
            "AmazonEKSClusterPolicy",
            "AmazonEKSComputePolicy",
            "AmazonEKSBlockStoragePolicy",
            "AmazonEKSLoadBalancingPolicy",
            "AmazonEKSNetworkingPolicy",
        },
        "prod-eu-nodes": {"AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"},
        "prod-eu-registry": {"AmazonEC2ContainerRegistryPullOnly"},
    }


def test_each_controller_has_the_role_that_is_for_it(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, sopsKeys=KEYS)
    found = {asked.inputs["serviceAccount"]: asked.inputs for asked in made.monitor.of_type(ASSOCIATION)}
    assert {account: inputs["roleArn"].rpartition("/")[2] for account, inputs in found.items()} == {
        "source-controller": "prod-eu-registry",
        "image-reflector-controller": "prod-eu-registry",
        "kustomize-controller": "prod-eu-decryption",
    }
    assert {(inputs["clusterName"], inputs["namespace"]) for inputs in found.values()} == {("prod-eu", "flux-system")}


def test_admins_are_cluster_admins(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout, **ADMITTED)
    for kind in ("accessEntry:AccessEntry", "accessPolicyAssociation:AccessPolicyAssociation"):
        asked = made.monitor.of_type(f"aws:eks/{kind}")
        assert [each.inputs["principalArn"] for each in asked] == ADMINS
    for each in made.monitor.of_type("aws:eks/accessPolicyAssociation:AccessPolicyAssociation"):
        assert each.inputs["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
        assert each.inputs["accessScope"] == {"type": "cluster"}


def test_whoever_signs_in_by_another_account_is_known_to_aws(checkout: Checkout, reader: Reader) -> None:
    asked = parts(run(checkout))["OpenIdConnectProvider prod-eu-issuer"].inputs
    assert asked["url"] == "https://oidc.eks.eu-west-1.amazonaws.com/id/prod-eu"
    assert asked["clientIdLists"] == ["sts.amazonaws.com"]


# --- names -----------------------------------------------------------------------------------------------------------
def test_names_of_roles_are_unique_and_short() -> None:
    """An account has one set of them; a cluster's name may be 63 characters long, and be there in each region."""
    clusters = ["c" * 63, "c" * 62 + "d", "c"]
    purposes = ("cluster", "nodes", "registry", "decryption")
    names = [iam.role_name(c, r, p) for c in clusters for r in ("eu-west-1", "us-east-1") for p in purposes]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) == 64


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-northwest-1", "aws-cn")]
)
def test_policies_are_those_of_the_partition(region: str, partition: str) -> None:
    assert iam.policy_arn(region, "x") == f"arn:{partition}:iam::aws:policy/x"
    assert iam.access_policy_arn(region, "x") == f"arn:{partition}:eks::aws:cluster-access-policy/x"


def test_a_renamed_cluster_keeps_the_name_that_it_was_made_by(checkout: Checkout, reader: Reader) -> None:
    made = parts(run(checkout, renamedFrom="old", monitor=Aws("old")), "old")
    assert made["Cluster old"].inputs["name"] == "old"
    assert [key for key in made if "prod-eu" in key] == []


# --- getting in ------------------------------------------------------------------------------------------------------
def test_the_kubeconfig_is_secret_and_holds_no_credential(checkout: Checkout, reader: Reader) -> None:
    server = "https://prod-eu.gr7.eu-west-1.eks.amazonaws.com"
    assert clouds.signs_in_by_command(run(checkout), server) in reader.asked


def test_the_program_reads_the_cluster_with_a_token_of_the_aws_cli(
    checkout: Checkout, reader: Reader, api: KubernetesApi
) -> None:
    made = run(checkout, monitor=Aws("prod-eu", servers={"prod-eu": api.url}))
    read(clouds.over_http(made, "prod-eu"))
    assert api.requests
    assert {sent for _, sent in api.requests} == {f"Bearer {TOKEN}"}


def test_flux_waits_for_everything_that_it_signs_in_with(checkout: Checkout, reader: Reader) -> None:
    """A pod that starts before its association is made never gets the role; a rule lets the program in at all."""
    made = run(checkout, **ADMITTED)
    provider = made.resources["pulumi:providers:kubernetes::prod-eu"]
    before = {asked.urn: key for key, asked in parts(made).items()}
    waited = {before[urn].partition(" ")[0] for urn in provider.dependencies if urn in before}
    assert waited >= {"PodIdentityAssociation", "AccessPolicyAssociation", "SecurityGroupIngressRule", "Cluster"}


def test_a_preview_of_a_cluster_that_is_not_there_knows_no_kubeconfig(checkout: Checkout, reader: Reader) -> None:
    """It is not asked, and Flux on it is planned all the same."""
    made = run(checkout, preview=True, monitor=RecordingMonitor())
    assert reader.asked == [checkout.kubeconfig("prod-us")]
    assert made.of("prod-eu", "instance").inputs["kind"] == "FluxInstance"


def test_a_cluster_that_is_made_again_is_told_from_the_old_one(checkout: Checkout, reader: Reader) -> None:
    first, second = (
        run(checkout, monitor=Aws("prod-eu", servers={"prod-eu": server})) for server in ("https://a", "https://b")
    )
    label = "pulumi:providers:kubernetes::prod-eu"
    ids = [reveal(each.resources[label].inputs["clusterIdentifier"]) for each in (first, second)]
    assert ids == ["https://a", "https://b"]


# --- the whole stack -------------------------------------------------------------------------------------------------
def test_production_runs_on_two_kinds_side_by_side(checkout: Checkout, reader: Reader) -> None:
    made = run(checkout)
    assert sorted(asked.name for asked in made.monitor.of_type("fleet:index:FluxCluster")) == ["prod-eu", "prod-us"]
    assert made.outputs["clusters"].keys() == {"prod-eu", "prod-us"}
    assert len(reader.asked) == 2


def test_two_clusters_share_nothing(checkout: Checkout, reader: Reader) -> None:
    clusters = {
        name: SPEC | {"region": region} for name, region in (("prod-eu", "eu-west-1"), ("prod-us", "us-east-1"))
    }
    made = checkout.run("production", monitor=Aws("prod-eu", "prod-us"), clusters=clusters)
    regions = {asked.name: asked.inputs["region"] for asked in made.monitor.of_type("pulumi:providers:aws")}
    assert regions == {"prod-eu": "eu-west-1", "prod-us": "us-east-1"}
    labels = [asked.label for asked in made.monitor.registrations]
    assert len(labels) == len(set(labels))


def test_nothing_secret_is_in_clear(checkout: Checkout, reader: Reader) -> None:
    """Neither in what is made, but for `Secret`s, which show nothing, nor in what the stack exports."""
    made = run(checkout, **ADMITTED)
    text = f"{[asked.inputs for asked in made.monitor.registrations]} {made.outputs}"
    assert reveal(kubeconfig(made)) not in text
    assert "get-token" not in text
    assert secret_value("registryToken") not in text


def test_nothing_of_another_cloud_is_imported(tmp_path: Path) -> None:
    assert clouds.loaded_for(tmp_path, SPEC, functions={}, outputs={}) == {"pulumi_aws"}
