"""FluxInstances and ResourceSets as we render them, and why they are so.

What the operator makes of them is in test_operator_builder.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml

from fleet import names
from fleet.manifests.automation import automation_resource_set
from fleet.manifests.delivery import apps_resource_set, infra_resource_set, tenant_resource_sets
from fleet.manifests.instance import flux_instance
from fleet.manifests.operator import operator_resource_set, operator_values
from fleet.manifests.policies import allowed_sources, policies_resource_set
from fleet.manifests.releases import chart_source, helm_release
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
    "provider": {"syncProvider": "azure", "syncInterval": "1h30m"},
    "sharded": {"sharding": {"shards": ["one", "two"]}},
    "persistent": {
        "sharding": {"shards": ["one"], "storage": "persistent"},
        "storage": {"class": "fast", "size": "10Gi"},
    },
    "few": {"components": ["source-controller", "kustomize-controller"]},
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
            assert manifest["apiVersion"].split("/")[0] in FOREIGN, path
    assert kinds == {"FluxInstance", "ResourceSet", "Kustomization", "OCIRepository", "HelmRelease"}


FOREIGN: Final = {"v1", "networking.k8s.io", "cert-manager.io", "monitoring.coreos.com"}
"""API groups of objects whose schema is not at hand: Kubernetes' own and those of charts."""


@pytest.mark.parametrize("flux", FLUX.values(), ids=FLUX)
def test_every_instance_that_the_model_admits_fits_the_operators_schema(flux: dict[str, Any], schemas: Schemas) -> None:
    validate(schemas, flux_instance(make_fleet(flux=flux), "staging"))


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
    sync = spec_of(make_fleet(flux={"syncProvider": "gcp"}))["sync"]
    assert sync["provider"] == "gcp"
    assert "pullSecret" not in sync


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


# --- ResourceSets ----------------------------------------------------------------------------------------------------
def test_the_release_that_flux_takes_over_is_the_one_that_was_installed() -> None:
    """Another name, or other values, would install a second operator or change the first."""
    (release,) = resources_of(operator_resource_set(make_fleet()), "HelmRelease")
    assert release["spec"]["releaseName"] == names.OPERATOR
    assert release["metadata"]["namespace"] == names.FLUX_NAMESPACE
    assert release["spec"]["valuesFrom"] == [
        {"kind": "ConfigMap", "name": names.OPERATOR_VALUES, "valuesKey": "values.yaml"}
    ]
    assert operator_values(make_fleet(operator={"reportInterval": "5m"}))["reporting"] == {"interval": "5m"}


def test_resource_sets_without_inputs_are_left_out() -> None:
    """The operator would apply their objects once, with the placeholders in them."""
    assert [s["metadata"]["name"] for s in tenant_resource_sets(make_fleet())] == ["policies"]
    with_components = make_fleet(components={"a": {}})
    assert [s["metadata"]["name"] for s in tenant_resource_sets(with_components)] == ["policies", "infra"]


@pytest.mark.parametrize("render", [infra_resource_set, apps_resource_set])
def test_nothing_is_delivered_before_the_policies_are_in_force(render: Any) -> None:
    first, *_ = render(load_case("default"))["spec"]["dependsOn"]
    assert (first["kind"], first["name"], first["ready"]) == ("ResourceSet", "policies", True)


def test_only_components_become_cluster_admin() -> None:
    fleet = load_case("complete")
    (binding,) = resources_of(infra_resource_set(fleet), "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "cluster-admin"
    assert not resources_of(apps_resource_set(fleet), "ClusterRoleBinding")
    (binding,) = resources_of(apps_resource_set(fleet), "RoleBinding")
    assert binding["roleRef"]["name"] == "admin"


def test_the_update_cluster_moves_versions_on_a_branch_of_its_own() -> None:
    """Never on main: its pull request is where people and checks have their say."""
    resource_set = automation_resource_set(load_case("complete"))
    assert {given["pushBranch"] for given in resource_set["spec"]["inputs"]} == {"image-updates"}
    (automation,) = resources_of(resource_set, "ImageUpdateAutomation")
    git = automation["spec"]["git"]
    assert git["checkout"]["ref"] == {"branch": "main"}
    assert git["push"] == {"branch": "<< inputs.pushBranch >>"}
    assert git["commit"]["author"] == {"name": "acme-flux-bot", "email": "flux@acme.example"}


@each_case
def test_every_chart_has_one_exact_version(case: str) -> None:
    """A range would reach production before anybody has seen it on staging; image automation moves the version."""
    fleet = load_case(case)
    for workload in (*fleet.components.values(), *fleet.tenants.values()):
        for name, release in workload.releases.items():
            source, helm = chart_source(name, release), helm_release(name, release)
            assert (source["spec"]["url"], source["spec"]["ref"]) == (release.chart, {"tag": release.version})
            assert helm["spec"]["chartRef"]["name"] == source["metadata"]["name"]


# --- sources ---------------------------------------------------------------------------------------------------------
def admits(fleet: Fleet, url: str) -> bool:
    """What the policy's expression says; `test_the_policy_compares_prefixes` holds it to that."""
    return any(url.startswith(prefix) for prefix in allowed_sources(fleet))


def test_the_policy_compares_prefixes() -> None:
    (policy,) = resources_of(policies_resource_set(make_fleet()), "ValidatingAdmissionPolicy")
    (validation,) = policy["spec"]["validations"]
    assert validation["expression"] == "variables.prefixes.exists(prefix, variables.url.startsWith(prefix))"
    variables = {variable["name"]: variable["expression"] for variable in policy["spec"]["variables"]}
    assert variables == {"url": "object.spec.url", "prefixes": "params.data.sources.split(' ')"}
    (allow_list,) = resources_of(policies_resource_set(load_case("complete")), "ConfigMap")
    assert allow_list["data"]["sources"].split(" ") == allowed_sources(load_case("complete"))


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
    }
    assert {chart: admits(fleet, chart) for chart in charts} == charts
    assert all(admits(fleet, f"oci://{fleet.artifacts}/{fleet.repositories.apps}/{name}") for name in fleet.tenants)
    assert not admits(fleet, f"oci://{fleet.artifacts}-evil/apps/frontend")
    assert not admits(fleet, f"https://github.com/{fleet.owner}-evil/apps")
