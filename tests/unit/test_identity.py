"""Signing in without a token: what the operator, Azure and the program make of it, and the keys of encrypted files.

test_operator_builder.py holds what lies in each namespace, test_decryption.py what opens files there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fleet import config
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.instance import flux_instance
from fleet.manifests.runtime import runtime_info, substituted
from fleet.model import Stack, credentials_on
from fleet.model.identity import azure_identities, provider_of, stack_identities
from sandbox.build import Parts
from sandbox.program.registration import UNKNOWN, Secret
from tests import conformity, oracle
from tests.checkout import Checkout, secret_value
from tests.reader import Reader
from tests.rendering import Schemas, load_case, make_fleet, read_all

IDS: Final = "6a1d3b0e-0000-4000-8000-000000000001/6a1d3b0e-0000-4000-8000-000000000002"


# --- registries ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("registry", "provider"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleet", "aws"),
        ("123456789012.dkr-ecr-fips.us-gov-east-1.on.aws", "aws"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws"),
        ("public.ecr.aws/x", "aws"),
        ("acme.azurecr.io", "azure"),
        ("acme.azurecr.cn/x", "azure"),
        ("europe-west1-docker.pkg.dev/acme/fleet", "gcp"),
        ("eu.gcr.io/acme", "gcp"),
        ("gcr.io/acme", "gcp"),
        ("ghcr.io/acme", None),
        ("acme.azurecr.io.example.com", None),
        ("example.com/acme.azurecr.io", None),
        ("12345.dkr.ecr.eu-west-1.amazonaws.com", None),
    ],
)
def test_the_host_of_a_registry_tells_whose_identities_it_knows(registry: str, provider: str | None) -> None:
    assert provider_of(registry) == provider


@pytest.mark.parametrize(
    ("registry", "word"),
    [
        ("ghcr.io", "generic"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "aws"),
        ("acme.azurecr.io", "azure"),
        ("europe-docker.pkg.dev/acme", "gcp"),
    ],
)
@pytest.mark.sandbox
def test_one_manifest_serves_every_word(
    registry: str, word: str, parts: Parts, schemas: Schemas, tmp_path: Path
) -> None:
    """source-controller stalls on an account beside a cloud's word, and takes a token where it finds one."""
    fleet = make_fleet(
        registry=registry,
        flux={"registryProvider": word},
        tenants={"shop": {"team": "platform"}, "b": {"team": "platform"}},
    )
    (manifest,) = (m for name, m in resource_sets_of(fleet, "staging").items() if name == "apps")
    objects = read_all(oracle.build_resource_set(parts, substituted(manifest, runtime_info(fleet, "staging"))))
    assert conformity.check(parts, schemas, objects, tmp_path) == set()
    for tenant in ("shop", "b"):
        own = {o["kind"]: o for o in objects if o["metadata"].get("namespace") == tenant}
        source, account = own["OCIRepository"]["spec"], own["ServiceAccount"]
        assert source["provider"] == word
        assert "secretRef" not in source
        if word == "generic":
            assert (source["serviceAccountName"], account["imagePullSecrets"]) == ("flux", [{"name": "ghcr-auth"}])
            assert own["Secret"]["metadata"]["name"] == "ghcr-auth"
        else:
            assert not source["serviceAccountName"]
            assert not account["imagePullSecrets"]
            assert "Secret" not in own


def test_a_cluster_without_a_token_holds_none_and_its_stack_asks_for_none() -> None:
    fleet = load_case("cloud")
    held = {name: [c.name for c in credentials_on(fleet, name)] for name in fleet.clusters}
    assert held == {"local": ["registry"], "staging": [], "production": []}
    assert list(config.secrets_of(fleet, "staging", "x")) == ["registryToken", "ageKey-broker"]
    assert list(config.secrets_of(fleet, "production", "x")) == ["ageKey-broker", "ageKey-big-shop"]
    assert {name: fleet.pulls_by_token(name) for name in fleet.clusters} == {
        "local": True,
        "staging": False,
        "production": False,
    }


def test_a_registry_of_the_stacks_own_is_signed_in_to_with_a_token_unless_a_cloud_knows_it() -> None:
    fleet = load_case("cloud")
    stack = Stack.model_validate({"environment": "production", "clusters": {}, "registry": "127.0.0.1:5000"})
    seen = config.with_stack(fleet, stack)
    assert [seen.flux_of(name).registry_provider for name in seen.clusters] == ["generic"] * 3
    other = config.with_stack(fleet, stack.model_copy(update={"registry": "other.azurecr.io"}))
    assert [other.flux_of(name).registry_provider for name in other.clusters] == ["generic", "azure", "azure"]
    assert seen.flux_of("production").object_level_workload_identity


# --- controllers -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def artifact(parts: Parts) -> Iterator[str]:
    with oracle.serve_artifact(parts.flux_manifests) as address:
        yield address


def deployments(parts: Parts, artifact: str, flux: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """Pod templates of the controllers, by name."""
    fleet = make_fleet(registry="acme.azurecr.io", flux=flux, **sections)
    objects = oracle.build_instance(parts, flux_instance(fleet, "staging"), artifact)
    return {o["metadata"]["name"]: o["spec"]["template"] for o in objects if o["kind"] == "Deployment"}


@pytest.mark.sandbox
def test_with_object_level_identity_nothing_is_decrypted_as_the_controller(parts: Parts, artifact: str) -> None:
    """Not even by a Kustomization that names no account, as a tenant may write one."""
    for flux, there in (
        ({}, False),
        ({"objectLevelWorkloadIdentity": True}, True),
        ({"objectLevelWorkloadIdentity": True, "multitenantWorkloadIdentity": True}, True),
    ):
        found = deployments(parts, artifact, flux)
        args = found["kustomize-controller"]["spec"]["containers"][0]["args"]
        accounts = [arg for arg in args if arg.startswith("--default-decryption-service-account")]
        assert accounts == (["--default-decryption-service-account=flux"] if there else [])
        assert f"--feature-gates=ObjectLevelWorkloadIdentity={str(there).lower()}" in args


@pytest.mark.sandbox
def test_pods_of_the_controllers_that_azure_knows_say_so(parts: Parts, artifact: str) -> None:
    """Its webhook passes all others by; a shard is one of them."""
    azure = {"components": {"search": {"decryption": {"provider": "azure"}}}}
    sharded = {"registryProvider": "azure", "sharding": {"shards": ["one"]}}
    labelled = {
        name
        for name, template in deployments(parts, artifact, sharded, **azure).items()
        if template["metadata"]["labels"].get("azure.workload.identity/use") == "true"
    }
    assert {name.removesuffix("-one") for name in labelled} == {"source-controller", "kustomize-controller"}
    assert any(name.endswith("-one") for name in labelled)


def test_azure_knows_only_the_controllers_that_sign_in_to_it() -> None:
    search = {"search": {"decryption": {"provider": "azure", "identity": IDS}}}

    def found(design: str = "oci", **flux: Any) -> set[str]:
        registry = "acme.azurecr.io" if flux.get("registryProvider") else "ghcr.io"
        fleet = make_fleet(design=design, registry=registry, flux=flux, components=search)
        return set(azure_identities(fleet, "staging"))

    assert found() == {"kustomize-controller"}
    assert found("git") == {"kustomize-controller"}
    assert found(objectLevelWorkloadIdentity=True) == set()
    assert found(objectLevelWorkloadIdentity=True, registryProvider="azure") == {"source-controller"}
    assert found(registryProvider="azure") == {"source-controller", "kustomize-controller"}


# --- the program -----------------------------------------------------------------------------------------------------
def secrets(run: Any) -> dict[str, Any]:
    found = [asked.inputs for asked in run.monitor.registrations if asked.type == "kubernetes:core/v1:Secret"]
    return {inputs["metadata"]["name"]: inputs["stringData"] for inputs in found}


CLOUD: Final[dict[str, Any]] = {
    "registry": "acme.azurecr.io",
    "flux": {"registryProvider": "azure"},
    "components": {
        "search": {"decryption": {"provider": "azure"}},
        "broker": {"decryption": {"provider": "age"}, "environments": ["staging"]},
    },
    "tenants": {},
}
PATCH: Final = "kubernetes:core/v1:ServiceAccountPatch"
IDENTITIES: Final = {"SOURCE_CLIENT_ID": "reader", "DECRYPTION_CLIENT_ID": "decrypter"}


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_azure_learns_of_the_controllers_before_their_pods_start(
    checkout: Checkout, reader: Reader, preview: bool
) -> None:
    """The accounts are Flux's: of them the program has one annotation, and lets go of it when it is not needed."""
    checkout.change_fleet(**CLOUD)
    run = checkout.run("sandbox", preview=preview, runtimeInfo=IDENTITIES)
    found = {asked.inputs["metadata"]["name"]: asked for asked in run.monitor.registrations if asked.type == PATCH}
    ids = {name: asked.inputs["metadata"]["annotations"] for name, asked in found.items()}
    assert {name: a["azure.workload.identity/client-id"] for name, a in ids.items()} == {
        "source-controller": "reader",
        "kustomize-controller": "decrypter",
    }
    for asked in found.values():
        assert asked.inputs.keys() - {"apiVersion", "kind"} == {"metadata"}
        assert asked.inputs["metadata"]["namespace"] == "flux-system"
        assert asked.label in run.before(run.of("staging", "instance").label)


def test_the_key_of_age_is_in_its_own_secret_where_its_files_are(checkout: Checkout, reader: Reader) -> None:
    checkout.change_fleet(**CLOUD)
    run = checkout.run("sandbox", runtimeInfo=IDENTITIES)
    assert secrets(run) == {"sops-age-broker": Secret({"age.agekey": secret_value("ageKey-broker")})}
    assert secrets(checkout.run("production", runtimeInfo=IDENTITIES)) == {}


def test_what_only_a_maker_knows_reaches_the_resource_sets_and_is_unknown_in_a_preview(
    checkout: Checkout, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Flux will fill it in later, from the variables that the program puts on the cluster."""
    import dataclasses

    import pulumi

    from fleet.resources import clusters

    make = clusters.make

    def with_variables(*args: Any, **named: Any) -> clusters.Cluster:
        made = make(*args, **named)
        output = made.kubeconfig.apply(lambda _: "acme")
        return dataclasses.replace(made, variables={"OWNER": output, "UNUSED": pulumi.Output.from_input("x")})

    monkeypatch.setattr(clusters, "make", with_variables)
    identity = {"provider": "gcp", "identity": "x@${OWNER}.iam.gserviceaccount.com"}
    checkout.change_fleet(
        flux={"objectLevelWorkloadIdentity": True}, components={"x": {"decryption": identity}}, tenants={}
    )
    for preview in (True, False):
        run = checkout.run("staging", preview=preview)
        spec = run.of("staging", "infra").inputs["spec"]
        if preview:
            assert spec == Secret(UNKNOWN) or spec == UNKNOWN
        else:
            (given,) = (spec.value if isinstance(spec, Secret) else spec)["inputs"]
            assert given["identity"] == {"iam.gke.io/gcp-service-account": "x@acme.iam.gserviceaccount.com"}


# --- keys that the stack gives to Flux itself -------------------------------------------------------------------------
KEY: Final = "arn:aws:kms:eu-west-1:111122223333:key/0123"
TEAMS: Final = {"platform": {"role": "platform"}, "web": {"role": "tenant"}}


def keys_told(flux: dict[str, Any], *, tenants: bool = True) -> list[str]:
    """Paths and messages of the faults of a stack whose one cluster, on EKS, has a key."""
    fleet = make_fleet(flux=flux, teams=TEAMS, tenants={"shop": {"team": "web"}} if tenants else {})
    eks = {"kind": "eks", "region": "eu-west-1", "subnets": ["subnet-0a", "subnet-0b"], "sopsKeys": [KEY]}
    stack = Stack.model_validate({"environment": "staging", "clusters": {"staging": eks}}, by_name=False)
    return [f"{told.path}: {told.message}" for told in stack_identities(stack, fleet, "test")]


def test_flux_itself_decrypts_for_nobody_but_the_platform() -> None:
    """A tenant's own Kustomization would open what others encrypted."""
    path = "Pulumi.test.yaml.clusters.staging.sopsKeys"
    assert keys_told({}) == [f"{path}: Flux itself would decrypt with them, for every tenant that has the file"]
    assert not keys_told({"multitenant": False})
    assert not keys_told({}, tenants=False)


def test_keys_of_flux_itself_are_refused_where_it_does_not_use_them() -> None:
    (told,) = keys_told({"objectLevelWorkloadIdentity": True})
    assert "account `flux` of each namespace" in told
