"""The FluxInstance, the operator's ResourceSet and the policy for sources as we render them, and why they are so.

What delivers components and tenants is in test_delivery.py, what the operator makes of it in
test_operator_instance.py and test_operator_builder.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml

from fleet import names
from fleet.manifests.instance import flux_instance
from fleet.manifests.operator import operator_resource_set, operator_values
from fleet.manifests.policies import allowed_sources, policies_resource_set
from fleet.model import Fleet
from tests.rendering import CASES, Schemas, load_case, make_fleet, objects_of, validate

each_case: Final = pytest.mark.parametrize("case", CASES)

FLUX: Final[Mapping[str, dict[str, Any]]] = {
    "default": {},
    "pinned": {"version": "2.8.6", "variant": "upstream-alpine"},
    "enterprise": {"registry": "ghcr.io/controlplaneio-fluxcd", "variant": "enterprise-distroless-fips"},
    "private": {"artifact": "oci://r.example.com/flux/manifests:v2", "imagePullSecret": "r.pull"},
    "embedded": {"artifact": None},
    "large": {"size": "large", "type": "openshift", "networkPolicy": False, "multitenant": False},
    "identity": {"objectLevelWorkloadIdentity": True, "multitenantWorkloadIdentity": True, "type": "aws"},
    "provider": {"registryProvider": "azure", "objectLevelWorkloadIdentity": True, "syncInterval": "1h30m"},
    "sharded": {"sharding": {"shards": ["one", "two"]}},
    "persistent": {
        "sharding": {"shards": ["one"], "storage": "persistent"},
        "storage": {"class": "fast", "size": "10Gi"},
    },
    "few": {"components": ["source-controller", "kustomize-controller", "notification-controller"]},
    "patched": {"patches": [{"target": {"kind": "Deployment"}, "patch": "- op: remove\n  path: /spec/x\n"}]},
}
"""Sections `flux` that reach every branch of `flux_instance`."""


def spec_of(fleet: Fleet, cluster: str = "staging") -> Any:
    return flux_instance(fleet, cluster)["spec"]


def resources_of(resource_set: Any, kind: str) -> list[Any]:
    return [resource for resource in resource_set["spec"]["resources"] if resource["kind"] == kind]


# --- the operator's schema -------------------------------------------------------------------------------------------
@each_case
def test_every_custom_resource_in_the_trees_fits_its_schema(case: str, schemas: Schemas) -> None:
    kinds = set()
    for path, manifest in objects_of(load_case(case)):
        if (manifest["apiVersion"], manifest["kind"]) in schemas:
            validate(schemas, manifest)
            kinds.add(manifest["kind"])
        else:
            assert "fluxcd" not in manifest["apiVersion"], path
    charts = "HelmRepository" if case == "git" else "OCIRepository"
    updates = {"ImageRepository", "ImagePolicy"}
    objects = {"GitRepository"} if case == "git" else set()
    assert kinds == {"FluxInstance", "ResourceSet", "Kustomization", "HelmRelease", charts, *updates, *objects}


@pytest.mark.parametrize("flux", FLUX.values(), ids=FLUX)
def test_every_instance_that_the_model_admits_fits_the_operators_schema(flux: dict[str, Any], schemas: Schemas) -> None:
    registry = "acme.azurecr.io" if flux.get("registryProvider") == "azure" else "ghcr.io"
    validate(schemas, flux_instance(make_fleet(registry=registry, flux=flux), "staging"))
    if "registryProvider" not in flux:
        validate(schemas, flux_instance(make_fleet(design="git", flux=flux), "staging"))


@each_case
def test_a_resource_set_has_only_fields_to_which_no_rule_of_the_schema_applies(case: str) -> None:
    """Its rules are about `steps`, `inputsFrom` and `inputStrategy`; what is left must not be empty."""
    for _, manifest in objects_of(load_case(case)):
        if manifest["kind"] == "ResourceSet":
            assert manifest["spec"].keys() <= {"dependsOn", "inputs", "resources"}
            assert manifest["spec"]["resources"]


# --- FluxInstance ----------------------------------------------------------------------------------------------------
def test_the_instance_has_the_only_name_that_the_operator_accepts() -> None:
    metadata = flux_instance(make_fleet(), "staging")["metadata"]
    assert metadata == {"name": "flux", "namespace": "flux-system"}


def test_no_field_of_the_instance_is_empty() -> None:
    """A null or an empty map is a difference on each run once the API server has dropped it."""
    assert "artifact" not in spec_of(make_fleet(flux={"artifact": None}))["distribution"]
    assert not [value for value in leaves(spec_of(make_fleet())) if value in (None, "", {}, [])]


def leaves(value: Any) -> Iterator[Any]:
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not entries:
        yield value
    for entry in entries:
        yield from leaves(entry)


def test_a_cloud_registry_needs_a_provider_and_no_pull_secret() -> None:
    assert spec_of(make_fleet())["sync"].get("pullSecret") == "ghcr-auth"
    sync = spec_of(make_fleet(registry="europe-docker.pkg.dev/acme", flux={"registryProvider": "gcp"}))["sync"]
    assert sync["provider"] == "gcp"
    assert "pullSecret" not in sync


@pytest.mark.parametrize(("auth", "provider"), [("token", "generic"), ("app", "github")])
@pytest.mark.covers("R85", "R143")
def test_in_the_git_design_every_cluster_follows_its_folder_of_main(auth: str, provider: str) -> None:
    """Production too: the fleet repository has no other branch. There is no signature to verify in Git."""
    fleet = make_fleet(
        design="git",
        owner="Acme-Corp",
        github={"url": "https://github.example.com"},
        environments={name: {"tracks": tracks, "auth": auth} for name, tracks in TRACKS.items()},
        clusters={name: {"environment": name} for name in TRACKS},
    )
    for cluster in TRACKS:
        assert spec_of(fleet, cluster)["sync"] == {
            "kind": "GitRepository",
            "url": "https://github.example.com/Acme-Corp/fleet.git",
            "ref": "refs/heads/main",
            "path": f"clusters/{cluster}",
            "interval": "1m",
            "provider": provider,
            "pullSecret": "flux-system",
        }
        assert "kustomize" not in spec_of(fleet, cluster)


TRACKS: Final = {"staging": "main", "production": "releases"}


def test_patches_of_the_user_come_after_ours_and_cannot_be_undone_by_it() -> None:
    patches = spec_of(make_fleet(flux=FLUX["patched"]))["kustomize"]["patches"]
    assert patches[0]["target"] == {"kind": "OCIRepository", "name": "flux-system"}
    assert patches[1:] == FLUX["patched"]["patches"]


# --- signatures ------------------------------------------------------------------------------------------------------
WORKFLOW: Final = "https://github.com/Acme-Corp/my.fleet/.github/workflows/push-artifact.yaml@refs"
IDENTITIES: Final = {
    "staging": (
        [f"{WORKFLOW}/heads/main"],
        [
            f"{WORKFLOW}/heads/main2",
            f"{WORKFLOW}/tags/v1.2.3",
            f"https://evil.example/{WORKFLOW}/heads/main",
            WORKFLOW.replace("Acme-Corp", "Acme-Corp2") + "/heads/main",
            WORKFLOW.replace("my.fleet", "my-fleet") + "/heads/main",
            WORKFLOW.replace("push-artifact", "other") + "/heads/main",
            WORKFLOW.replace("push-artifact.yaml", "push-artifact-yaml") + "/heads/main",
        ],
    ),
    "prod": (
        [f"{WORKFLOW}/tags/v1.2.3", f"{WORKFLOW}/tags/v10.0.12"],
        [
            f"{WORKFLOW}/heads/main",
            f"{WORKFLOW}/tags/v1.2.3-rc.1",
            f"{WORKFLOW}/tags/v1x2x3",
            f"{WORKFLOW}/tags/apps/v1.2.3",
        ],
    ),
}
"""By cluster: identities of a signature that are accepted, and some that are not."""


@pytest.mark.parametrize("cluster", IDENTITIES)
@pytest.mark.covers("R79", "R80")
def test_the_fleet_artifact_is_signed_by_its_own_workflow_and_in_production_with_a_release_tag(
    cluster: str,
) -> None:
    fleet = make_fleet(
        owner="Acme-Corp",
        repositories={"fleet": "my.fleet"},
        environments={"staging": {"tracks": "main"}, "production": {"tracks": "releases"}},
        clusters={"staging": {"environment": "staging"}, "prod": {"environment": "production"}},
    )
    ((operation),) = yaml.safe_load(spec_of(fleet, cluster)["kustomize"]["patches"][0]["patch"])
    assert (operation["op"], operation["path"]) == ("add", "/spec/verify")
    ((identity),) = operation["value"]["matchOIDCIdentity"]
    assert re.fullmatch(identity["issuer"], "https://token.actions.githubusercontent.com")
    good, bad = IDENTITIES[cluster]
    assert [text for text in [*good, *bad] if re.search(identity["subject"], text)] == good


def test_the_operators_chart_is_verified_and_of_one_exact_version() -> None:
    """A range would upgrade production together with staging (Q11)."""
    (source,) = resources_of(operator_resource_set(make_fleet()), "OCIRepository")
    assert source["spec"]["ref"] == {"semver": make_fleet().operator.version}
    (identity,) = source["spec"]["verify"]["matchOIDCIdentity"]
    chart = "https://github.com/controlplaneio-fluxcd/charts/.github/workflows/release.yml@refs/tags/v0.58.1"
    assert re.search(identity["subject"], chart)
    assert not re.search(identity["subject"], chart.replace("controlplaneio", "someone"))


# --- the operator ----------------------------------------------------------------------------------------------------
@pytest.mark.covers("R109")
def test_the_release_that_flux_takes_over_is_the_one_that_was_installed() -> None:
    """Another name, or other values, would install a second operator or change the first."""
    (release,) = resources_of(operator_resource_set(make_fleet()), "HelmRelease")
    assert release["spec"]["releaseName"] == names.OPERATOR
    assert release["metadata"]["namespace"] == names.FLUX_NAMESPACE
    assert release["spec"]["valuesFrom"] == [
        {"kind": "ConfigMap", "name": names.OPERATOR_VALUES, "valuesKey": "values.yaml"}
    ]
    assert operator_values(make_fleet(operator={"reportInterval": "5m"}))["reporting"] == {"interval": "5m"}


# --- sources ---------------------------------------------------------------------------------------------------------
def admits(fleet: Fleet, url: str) -> bool:
    """What the policy's expression says; `test_the_policy_compares_prefixes` holds it to that."""
    return any(f"{url}/".startswith(prefix) for prefix in allowed_sources(fleet))


def test_the_policy_compares_prefixes() -> None:
    """With a slash at the end, so that a registry of charts is admitted by the prefix that ends with it."""
    (policy,) = resources_of(policies_resource_set(make_fleet()), "ValidatingAdmissionPolicy")
    (validation,) = policy["spec"]["validations"]
    assert validation["expression"] == "variables.prefixes.exists(prefix, (variables.url + '/').startsWith(prefix))"
    variables = {variable["name"]: variable["expression"] for variable in policy["spec"]["variables"]}
    assert variables == {
        "url": "has(object.spec.url) ? object.spec.url : object.spec.endpoint",
        "prefixes": "params.data.sources.split(' ')",
    }
    (allow_list,) = resources_of(policies_resource_set(load_case("complete")), "ConfigMap")
    assert allow_list["data"]["sources"].split(" ") == allowed_sources(load_case("complete"))


def test_every_kind_of_source_with_an_address_is_checked(schemas: Schemas) -> None:
    """An address that the policy does not see would be a way around it."""
    (policy,) = resources_of(policies_resource_set(make_fleet()), "ValidatingAdmissionPolicy")
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    (group,) = rule["apiGroups"]
    specs = {k.lower(): s["properties"]["spec"] for (api, k), s in schemas.items() if api.startswith(group)}
    addressed = [kind for kind, spec in specs.items() if {"url", "endpoint"} & spec["properties"].keys()]
    assert set(rule["resources"]) == {re.sub("y$", "ie", kind) + "s" for kind in addressed}


@each_case
def test_every_allowed_prefix_ends_with_a_slash(case: str) -> None:
    """Without it, `oci://ghcr.io/acme` would admit `oci://ghcr.io/acme-evil/x`."""
    assert not [prefix for prefix in allowed_sources(load_case(case)) if not prefix.endswith("/")]


@each_case
def test_tenants_may_pull_their_artifacts_and_charts_but_not_those_of_components(case: str) -> None:
    fleet = load_case(case)
    charts = {
        release.chart: section is fleet.tenants
        for section in (fleet.components, fleet.tenants)
        for workload in section.values()
        for release in workload.releases.values()
        if not release.is_local
    }
    assert {chart: admits(fleet, chart) for chart in charts} == charts
    for name, tenant in fleet.tenants.items():
        assert admits(fleet, f"oci://{fleet.artifacts}/{fleet.repository_of(tenant)}/{name}")
        assert admits(fleet, fleet.repository_url(fleet.repository_of(tenant)))
        sources = [release.chart.rpartition("/")[0] for release in tenant.releases.values() if not release.is_local]
        sources += [
            spec.base["spec"]["url"] for spec in tenant.objects.values() if spec.base["kind"] == "GitRepository"
        ]
        assert [url for url in sources if not admits(fleet, url)] == []
    for url in (f"oci://{fleet.artifacts}-evil/apps/frontend", f"{fleet.github.url}/{fleet.owner}-evil/apps", "bucket"):
        assert not admits(fleet, url)


def test_a_registry_of_charts_does_not_open_its_parent_or_its_neighbour() -> None:
    tenant = {"team": "platform", "releases": {"x": {"chart": "oci://r.example.com/team/charts/x", "version": "1.0.0"}}}
    fleet = make_fleet(tenants={"a": tenant})
    admitted = ("oci://r.example.com/team/charts", "oci://r.example.com/team/charts/y")
    refused = ("oci://r.example.com/team", "oci://r.example.com/team/charts-evil", "oci://r.example.com/team/other/x")
    assert {url: admits(fleet, url) for url in (*admitted, *refused)} == dict.fromkeys(admitted, True) | dict.fromkeys(
        refused, False
    )
