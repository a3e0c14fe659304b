"""The credentials of each stack: which there are, the least that each may do, and the secrets that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from fleet import config
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.instance import flux_instance
from fleet.model import Credential, Fleet, Stack, credentials_of, repositories_of
from tests.rendering import CASES, load_case, make_fleet

each_auth: Final = pytest.mark.parametrize("auth", ["token", "app"])
MAKERS: Final = "makers"
"""The stack that makes the repositories."""


ENVIRONMENTS: Final = {
    "qa": {"tracks": "main"},
    "staging": {"tracks": "main"},
    "production": {"tracks": "releases"},
    "update": {"tracks": "main", "role": "update"},
}


def fleet_of(design: str, auth: str = "token", sections: Mapping[str, Any] | None = None) -> Fleet:
    """Environments of each kind, a tenant that shares the repository and one that has its own."""
    environments = {n: e | {"auth": auth} for n, e in ENVIRONMENTS.items() if design == "oci" or "role" not in e}
    given: dict[str, Any] = {
        "design": design,
        "github": {"stack": MAKERS},
        "environments": environments,
        "clusters": {f"{name}-1": {"environment": name} for name in environments},
        "tenants": {
            "shared": {"team": "platform"},
            "own": {"team": "platform", "repository": "own-deploy", "source": "own"},
        },
    }
    return make_fleet(**given | dict(sections or {}))


def found(fleet: Fleet, environment: str, stack: str = "other") -> dict[str, Credential]:
    credentials = {credential.name: credential for credential in credentials_of(fleet, environment, stack)}
    assert len(credentials) == len(credentials_of(fleet, environment, stack))
    return {str(name): credential for name, credential in credentials.items()}


@pytest.mark.parametrize("design", ["oci", "git"])
def test_who_pulls_from_a_mirror_signs_in_to_its_hosts_and_nowhere_else(design: str) -> None:
    given = {"registry": "r.test/m", "hosts": {"quay.io": "q.test:5000/x"}, "user": "robot"}
    for environment in ("qa", "production"):
        for user in ("robot", None):
            credentials = found(fleet_of(design, "app", MIRRORED | {"mirror": given | {"user": user}}), environment)
            assert ("mirror" in credentials) is (user is not None)
        credential = found(fleet_of(design, "app", MIRRORED | {"mirror": given}), environment)["mirror"]
        assert (credential.key, credential.secret) == ("mirrorToken", "mirror-auth")
        assert credential.repositories == ("r.test", "q.test:5000")


MIRRORED: Final = {"flux": {"version": "2.9.4"}}


# --- which there are -------------------------------------------------------------------------------------------------
WANTED: Final[dict[tuple[str, str, str], list[str]]] = {
    ("oci", "qa", "other"): ["registry"],
    ("oci", "production", "other"): ["registry"],
    ("oci", "update", "other"): ["registry", "update"],
    ("oci", "staging", MAKERS): ["github", "registry", "update"],
    ("oci", "update", MAKERS): ["github", "registry", "update"],
    ("git", "qa", "other"): ["platform", "tenants", "update"],
    ("git", "staging", "other"): ["platform", "tenants"],
    ("git", "production", "other"): ["platform", "tenants"],
    ("git", "staging", MAKERS): ["github", "platform", "tenants", "update"],
    ("git", "qa", MAKERS): ["github", "platform", "tenants", "update"],
}
"""Names by design, environment and stack."""


@each_auth
@pytest.mark.parametrize(("design", "environment", "stack"), WANTED)
@pytest.mark.covers("R148")
def test_a_stack_needs_these_and_no_others(design: str, environment: str, stack: str, auth: str) -> None:
    credentials = found(fleet_of(design, auth), environment, stack)
    assert list(credentials) == WANTED[design, environment, stack]
    for name, credential in credentials.items():
        kind = "token" if name == "registry" else auth
        assert credential.auth == kind, "registries know users only"
        assert credential.key == (f"{name}Token" if kind == "token" else f"{name}AppKey")


@pytest.mark.parametrize(
    ("design", "commit_status", "environment", "reports"),
    [
        ("oci", None, "staging", False),
        ("oci", True, "staging", True),
        ("oci", True, "update", False),
        ("git", None, "staging", False),
        ("git", True, "staging", False),
    ],
)
def test_a_status_needs_a_token_of_its_own_only_where_flux_has_none_for_git(
    design: str, commit_status: bool | None, environment: str, reports: bool
) -> None:
    """An update cluster has nothing to report."""
    fleet = fleet_of(design, sections={"alerts": {"commitStatus": commit_status}})
    assert ("status" in found(fleet, environment)) is reports


def test_who_makes_no_repositories_and_has_no_update_cluster_needs_no_bot() -> None:
    sections = {"environments": {"qa": {"tracks": "main"}}, "clusters": {"one": {"environment": "qa"}}}
    assert list(found(fleet_of("oci", sections=sections), "qa", MAKERS)) == ["github", "registry"]
    assert list(found(fleet_of("oci", sections={"github": {}}), "staging", MAKERS)) == ["registry"]


# --- the least that each may do --------------------------------------------------------------------------------------
PERMISSIONS: Final = {
    "registry": {"read:packages": "read"},
    "platform": {"Contents": "read", "Metadata": "read", "Commit statuses": "write"},
    "tenants": {"Contents": "read", "Metadata": "read", "Commit statuses": "write"},
    "status": {"Commit statuses": "write", "Metadata": "read"},
    "update": {"Contents": "write", "Metadata": "read", "Pull requests": "write"},
}
REACHED: Final = {
    "registry": {"fleet", "infra", "apps", "own-deploy"},
    "platform": {"fleet", "infra"},
    "tenants": {"apps", "own-deploy"},
    "status": {"fleet", "infra", "apps", "own-deploy"},
    "update": {"infra", "apps", "own-deploy"},
}
"""Repositories by credential; none of them is a repository of code."""


@each_auth
@pytest.mark.parametrize("design", ["oci", "git"])
@pytest.mark.covers("R101", "R102")
def test_each_may_do_the_least_and_reaches_the_fewest_repositories(design: str, auth: str) -> None:
    fleet = fleet_of(design, auth, {"alerts": {"commitStatus": True}})
    every = {name: c for environment in fleet.environments for name, c in found(fleet, environment).items()}
    needless = {"platform", "tenants"} if design == "oci" else {"registry", "status"}
    assert every.keys() == PERMISSIONS.keys() - needless
    for name, credential in every.items():
        assert dict(credential.permissions) == PERMISSIONS[name]
        assert set(credential.repositories) == REACHED[name]


def test_without_reports_what_reads_only_reads() -> None:
    for name, credential in found(fleet_of("git", sections={"alerts": {"commitStatus": False}}), "production").items():
        assert set(credential.permissions.values()) == {"read"}, name


@pytest.mark.parametrize("design", ["oci", "git"])
def test_what_makes_the_repositories_is_on_no_cluster(design: str) -> None:
    admin = found(fleet_of(design), "staging", MAKERS)["github"]
    assert admin.secret is None
    assert admin.permissions["Administration"] == "write"
    assert found(fleet_of(design), "staging", MAKERS)["update"].secret is None


@each_auth
@pytest.mark.parametrize("case", CASES)
def test_on_a_cluster_only_image_automation_may_write(case: str, auth: str) -> None:
    """A cluster that is taken over must not be able to change what the others run (Q1, Q17)."""
    raw = load_case(case)
    environments = {name: e.model_copy(update={"auth": auth}) for name, e in raw.environments.items()}
    fleet = raw.model_copy(update={"environments": environments})
    for environment in fleet.environments:
        held = [c for c in found(fleet, environment, fleet.github.stack or "x").values() if c.secret]
        writing = [c.name for c in held if c.permissions.get("Contents") == "write"]
        automated = environment in fleet.updating or environment == fleet.automating
        assert writing == (["update"] if automated else [])
        assert not [c.name for c in held if "Administration" in c.permissions or "Secrets" in c.permissions]


@pytest.mark.parametrize("case", CASES)
def test_what_a_cluster_names_is_what_the_stack_gives_it(case: str) -> None:
    """Every secret of flux-system that the fleet repository refers to, in its sync and its copies."""
    fleet = load_case(case)
    for cluster in fleet.clusters:
        environment = fleet.clusters[cluster].environment
        given = {credential.secret for credential in found(fleet, environment).values()}
        given |= {"alert-address"} if fleet.alerts.chat else set()
        given |= {"mirror-trust"} if fleet.mirror else set()
        named = {flux_instance(fleet, cluster)["spec"]["sync"].get("pullSecret")} - {None}
        if fleet.environment_of(cluster).role == "fleet":
            manifests = [m for s in resource_sets_of(fleet, cluster).values() for m in s["spec"]["resources"]]
            copies = [m["metadata"]["annotations"] for m in manifests if m["kind"] == "Secret"]
            named |= {  # those that only some have are asked of the operator, in test_operator_builder.py
                a["fluxcd.controlplane.io/copyFrom"].removeprefix("flux-system/")
                for a in copies
                if "fluxcd.controlplane.io/reconcile" not in a
            }
        assert named <= given, cluster


@pytest.mark.parametrize("case", CASES)
def test_every_repository_that_delivers_can_be_read(case: str) -> None:
    fleet = load_case(case)
    delivering = {name for name, repository in repositories_of(fleet).items() if repository.role != "source"}
    for environment in fleet.overlays:
        if fleet.design == "oci" and not any(map(fleet.pulls_by_token, fleet.clusters_in(environment))):
            assert found(fleet, environment) == {}, "a cloud knows who may read"
            continue
        reading = [c for c in found(fleet, environment).values() if c.name in ("registry", "platform", "tenants")]
        assert {name for credential in reading for name in credential.repositories} == delivering


# --- keys of a stack's configuration ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("environment", "keys"),
    [
        ("staging", ["registryToken", "statusToken", "alertAddress"]),
        ("production", ["registryToken", "statusAppKey", "alertAddress"]),
        ("update", ["registryToken", "updateToken"]),
    ],
)
def test_the_secrets_of_a_stack_are_named_by_their_use(environment: str, keys: list[str]) -> None:
    assert list(config.secrets_of(load_case("complete"), environment, "other")) == keys


@pytest.mark.parametrize("environment", ["nowhere", None, {"secure": "v1:x"}, 1])
def test_no_secret_follows_from_an_environment_that_is_not_there(environment: object) -> None:
    assert list(config.secrets_of(load_case("complete"), environment, "makers")) == []
    assert list(config.secrets_of(None, "staging", "makers")) == []


def test_a_mirror_of_a_stack_is_where_its_clusters_read_from() -> None:
    fleet = fleet_of("git")
    stack = Stack.model_validate({"environment": "qa", "clusters": {}, "gitUrl": "https://mirror.example.com"})
    seen = config.with_stack(fleet, stack)
    assert flux_instance(seen, "qa-1")["spec"]["sync"]["url"] == "https://mirror.example.com/acme/fleet.git"
    assert seen.github.stack == MAKERS
    assert config.with_stack(fleet, stack.model_copy(update={"git_url": None})) == fleet
