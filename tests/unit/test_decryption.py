"""Opening encrypted files: what each namespace gets for it, and what people encrypt with.

test_identity.py holds how Flux signs in, tests/sandbox/test_fleet.py what it makes of an encrypted file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.errors import ConfigError
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.runtime import runtime_info, substituted
from sandbox.age import bech32, make_key
from sandbox.build import Parts
from tests import conformity, oracle
from tests.rendering import Schemas, make_fleet, read_all, trees_of
from tests.sops import Identity

ROLE: Final = "arn:aws:iam::123456789012:role/x"
IDS: Final = "6a1d3b0e-0000-4000-8000-000000000001/6a1d3b0e-0000-4000-8000-000000000002"
AGE: Final = Identity.make().recipient
SECTIONS: Final[dict[str, Any]] = {
    "flux": {"objectLevelWorkloadIdentity": True},
    "components": {"search": {"decryption": {"provider": "age"}}, "plain": {"podSecurity": "privileged"}},
    "tenants": {
        "age": {"team": "platform", "decryption": {"provider": "age"}},
        "aws": {"team": "platform", "decryption": {"provider": "aws", "identity": ROLE}},
        "azure": {"team": "platform", "decryption": {"provider": "azure", "identity": IDS}},
        "gcp": {"team": "platform", "decryption": {"provider": "gcp", "identity": "x@acme.iam.gserviceaccount.com"}},
        "direct": {"team": "platform", "decryption": {"provider": "gcp"}},
        "none": {"team": "platform"},
    },
}
ACCOUNTS: Final = {
    "aws": {"eks.amazonaws.com/role-arn": ROLE},
    "azure": {
        "azure.workload.identity/tenant-id": IDS.partition("/")[0],
        "azure.workload.identity/client-id": IDS.partition("/")[2],
    },
    "gcp": {"iam.gke.io/gcp-service-account": "x@acme.iam.gserviceaccount.com"},
}
"""Annotations of an account, by namespace; all others have none."""


@pytest.mark.parametrize("design", ["oci", "git"])
@pytest.mark.sandbox
def test_each_namespace_gets_what_opens_its_own_files_and_nothing_else(
    design: str, parts: Parts, schemas: Schemas, tmp_path: Path
) -> None:
    fleet = make_fleet(design=design, **SECTIONS)
    variables = runtime_info(fleet, "staging")
    sets = [substituted(m, variables) for m in resource_sets_of(fleet, "staging").values()]
    objects = [o for manifest in sets for o in read_all(oracle.build_resource_set(parts, manifest))]
    assert conformity.check(parts, schemas, objects, tmp_path) == set()
    keys = {o["metadata"]["namespace"]: o for o in objects if o["metadata"]["name"] == "sops-age"}
    assert keys.keys() == {"age", "search"}
    for name, key in keys.items():
        origin = key["metadata"]["annotations"]["fluxcd.controlplane.io/copyFrom"]
        assert (key["kind"], origin) == ("Secret", f"flux-system/sops-age-{name}")
    made = [o for o in objects if o["kind"] == "Kustomization" and not o["metadata"]["namespace"].endswith("-update")]
    assert {o["metadata"]["namespace"] for o in made} == SECTIONS["components"].keys() | SECTIONS["tenants"].keys()
    for each in made:
        key = {"secretRef": {"name": "sops-age"}} if each["metadata"]["namespace"] in keys else {}
        assert each["spec"]["decryption"] == {"provider": "sops"} | key
    for account in (o["metadata"] for o in objects if o["kind"] == "ServiceAccount"):
        assert account.get("annotations", {}) == ACCOUNTS.get(account["namespace"], {})


def test_without_encrypted_files_manifests_say_nothing_of_them() -> None:
    fleet = make_fleet(tenants={"shop": {"team": "platform"}}, components={"x": {"podSecurity": "privileged"}})
    assert "decryption" not in str(resource_sets_of(fleet, "staging"))
    assert "sops" not in str(resource_sets_of(fleet, "staging"))
    assert not any(".sops.yaml" in path for path in trees_of(fleet))


def test_sops_is_told_for_whom_each_folder_is_encrypted() -> None:
    """Only its own recipients can be in a rule, and what has none stays with people."""
    vault, kms = "https://acme.vault.azure.net/keys/x/1", "arn:aws:kms:eu-west-1:123456789012:key/"
    ring = "projects/acme/locations/global/keyRings/x/cryptoKeys/y"
    decryptions: dict[str, Any] = {
        "many": {"provider": "aws", "identity": ROLE, "recipients": [f"{kms}1", AGE, f"{kms}2"]},
        "azure": {"provider": "azure", "identity": IDS, "recipients": [vault]},
        "gcp": {"provider": "gcp", "recipients": [ring]},
        "bare": {"provider": "age"},
    }
    tenants = {name: {"team": "platform", "decryption": d} for name, d in decryptions.items()}
    tenants["bare"] |= {"repository": "own"}
    files = trees_of(make_fleet(flux=SECTIONS["flux"], tenants=tenants))
    assert "own/.sops.yaml" not in files
    assert "infra/.sops.yaml" not in files
    values = {"encrypted_regex": "^(data|stringData)$"}
    assert yaml.safe_load(files["apps/.sops.yaml"]) == {
        "creation_rules": [
            {"path_regex": "^components/many/"} | values | {"kms": f"{kms}1,{kms}2", "age": AGE},
            {"path_regex": "^components/azure/"} | values | {"azure_keyvault": vault},
            {"path_regex": "^components/gcp/"} | values | {"gcp_kms": ring},
        ]
    }


@pytest.mark.parametrize(
    "recipient", ["AGE-SECRET-KEY-1QQQ", "age1x,age1y", "arn:aws:s3:::x", "projects/x", "http://x/keys/y", "", "x y"]
)
def test_a_recipient_is_never_a_private_key(recipient: str) -> None:
    with pytest.raises(ConfigError, match="neither a public key"):
        make_fleet(components={"x": {"decryption": {"provider": "age", "recipients": [recipient]}}})


def test_an_identity_may_differ_from_cluster_to_cluster() -> None:
    """By variables, as everything that differs there."""
    role = "arn:aws:iam::${ACCOUNT}:role/x"
    fleet = make_fleet(
        flux=SECTIONS["flux"],
        components={"x": {"decryption": {"provider": "aws", "identity": role}}},
        clusters={
            name: {"environment": "staging", "runtimeInfo": {"ACCOUNT": number}}
            for name, number in (("one", "111111111111"), ("two", "222222222222"))
        },
    )
    for name, number in (("one", "111111111111"), ("two", "222222222222")):
        (given,) = substituted(resource_sets_of(fleet, name)["infra"], runtime_info(fleet, name))["spec"]["inputs"]
        assert given["identity"] == {"eks.amazonaws.com/role-arn": f"arn:aws:iam::{number}:role/x"}


def test_a_key_of_the_sandbox_is_one_of_age() -> None:
    """The first is a vector of BIP 173; Flux itself takes the second apart, in tests/sandbox/test_fleet.py."""
    assert bech32("a", b"") == "a12uel5l"
    key = make_key()
    assert re.fullmatch("AGE-SECRET-KEY-1[A-Z0-9]{58}", key)
    assert key != make_key()
