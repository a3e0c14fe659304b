"""The ResourceSets that deliver components and tenants: who is in which, where from, and which cluster runs it.

What the operator makes of them is in test_operator_builder.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet import config, names
from fleet.manifests.delivery import resource_sets_of, tenant_resource_sets, tenants_kustomization
from fleet.manifests.trees.overlay import kustomization
from fleet.model import Fleet
from sandbox.build import Parts
from tests import oracle
from tests.rendering import CASES, delivering, load_case, make_fleet, read_all, tree_of

each_case: Final = pytest.mark.parametrize("case", CASES)

ENVIRONMENTS: Final = ("a", "b", "a-b", "z")
"""Two of them together look like the third to whoever takes the dot between them for a hyphen."""
LIMITS: Final = {"everywhere": None, "all": ["z", "a-b", "b", "a"], "ab": ["b", "a"], "hyphen": ["a-b"], "last": ["z"]}
"""By name of a workload, the environments that it is for."""
SETS: Final = {"": {"everywhere", "all"}, ".a.b": {"ab"}, ".a-b": {"hyphen"}, ".z": {"last"}}
"""What the name of a ResourceSet ends with → workloads in it, by the order of the environments."""


def limited() -> Fleet:
    """A fleet whose components and tenants are for all kinds of choices of environments; one cluster each."""
    limits = {name: {} if chosen is None else {"environments": chosen} for name, chosen in LIMITS.items()}
    return make_fleet(
        environments={name: {"tracks": "main"} for name in ENVIRONMENTS},
        clusters={f"in-{name}": {"environment": name} for name in ENVIRONMENTS},
        components={f"c-{name}": limit for name, limit in limits.items()},
        tenants={f"t-{name}": limit | {"team": "platform"} for name, limit in limits.items()},
    )


each_fleet: Final = pytest.mark.parametrize("fleet", [*CASES, "limited"], indirect=True)


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return limited() if request.param == "limited" else load_case(request.param)


def resources_of(resource_set: Any, kind: str) -> list[Any]:
    return [resource for resource in resource_set["spec"]["resources"] if resource["kind"] == kind]


def inputs_of(resource_set: Any) -> list[str]:
    return [given["tenant"] for given in resource_set["spec"].get("inputs", ()) if "tenant" in given]


def workload_sets(fleet: Fleet) -> Mapping[str, Any]:
    """Those that have a component or tenant as input."""
    return {name: found for name, found in tenant_resource_sets(fleet).items() if inputs_of(found)}


# --- who is in which -------------------------------------------------------------------------------------------------
def test_resource_sets_without_inputs_are_left_out() -> None:
    """The operator would apply their objects once, with the placeholders in them."""
    assert list(tenant_resource_sets(make_fleet())) == ["policies"]
    assert list(tenant_resource_sets(make_fleet(components={"a": {}}))) == ["policies", "infra"]
    everything = make_fleet(design="git", components={"a": {}}, tenants={"b": {"team": "platform"}})
    in_order = ["policies", "alerts", "infra", "apps", "image-update-automation"]
    assert list(tenant_resource_sets(everything)) == in_order


@each_fleet
@pytest.mark.covers("R7", "R18", "R73", "R74", "R89", "R111", "R114")
def test_every_component_and_tenant_is_one_input_of_one_resource_set(fleet: Fleet) -> None:
    """One entry of fleet.yaml is one input, with its dependencies; nothing else makes a namespace."""
    found = [name for resource_set in workload_sets(fleet).values() for name in inputs_of(resource_set)]
    assert sorted(found) == sorted([*fleet.components, *fleet.tenants])
    for resource_set in workload_sets(fleet).values():
        for given in resource_set["spec"]["inputs"]:
            workload = {**fleet.components, **fleet.tenants}[given["tenant"]]
            assert [wanted["namespace"] for wanted in given["dependsOn"]] == list(workload.depends_on)


def test_an_onboarded_tenant_changes_nothing_but_its_own_input() -> None:
    before, after = (tenant_resource_sets(make_fleet(tenants=TENANTS | more))["apps"] for more in ({}, NEW))
    added = after["spec"]["inputs"].pop()
    assert (added["tenant"], added["team"], added["repository"]) == ("new", "platform", "new-deploy")
    assert after == before


TENANTS: Final = {"old": {"team": "platform"}}
NEW: Final = {"new": {"team": "platform", "repository": "new-deploy"}}


@pytest.mark.covers("R119")
def test_what_is_not_for_every_environment_is_in_a_resource_set_of_its_own() -> None:
    """The order in which the file names environments does not matter, and all of them are everywhere."""
    for kind, mark in (("infra", "c"), ("apps", "t")):
        sets = {name: set(inputs_of(found)) for name, found in workload_sets(limited()).items()}
        found = {name.removeprefix(kind): inputs for name, inputs in sets.items() if name.startswith(kind)}
        assert found == {suffix: {f"{mark}-{name}" for name in members} for suffix, members in SETS.items()}


@each_fleet
@pytest.mark.covers("R119", "R123")
def test_a_cluster_runs_what_is_for_its_environment_and_nothing_else(fleet: Fleet) -> None:
    for cluster in delivering(fleet):
        run = {name for found in resource_sets_of(fleet, cluster).values() for name in inputs_of(found)}
        environment = fleet.clusters[cluster].environment
        workloads = {**fleet.components, **fleet.tenants}
        assert run == {name for name, w in workloads.items() if w.environments is None or environment in w.environments}


@each_fleet
def test_a_dependency_is_delivered_wherever_it_is_needed(fleet: Fleet) -> None:
    """A Kustomization that waits for one in a namespace that never comes would wait for ever."""
    for cluster in delivering(fleet):
        sets = resource_sets_of(fleet, cluster).values()
        there = {name for found in sets for name in inputs_of(found)}
        inputs = [given for found in sets for given in found["spec"].get("inputs", ()) if "tenant" in given]
        assert {wanted["namespace"] for given in inputs for wanted in given["dependsOn"]} <= there


@pytest.mark.parametrize("design", ["oci", "git"])
@pytest.mark.covers("R125", "R141")
def test_cluster_wide_infrastructure_is_delivered_by_the_fleet_repository(design: str) -> None:
    """The catalog's ingress, as it is: controller and class, on every cluster and as cluster admin."""
    stages: dict[str, Any] = {"staging": {"tracks": "main"}, "production": {"tracks": "releases"}}
    fleet = make_fleet(
        design=design,
        environments=stages,
        clusters={f"in-{name}": {"environment": name} for name in stages},
        components={"ingress": config.catalog()["ingress"]},
    )
    infra = yaml.safe_load(tree_of(fleet, "fleet")["tenants/infra.yaml"])
    ((given,), (binding,)) = infra["spec"]["inputs"], resources_of(infra, "ClusterRoleBinding")
    assert (given["tenant"], given["repository"]) == ("ingress", fleet.repositories.infra)
    assert binding["roleRef"]["name"] == "cluster-admin"
    assert all(resource_sets_of(fleet, cluster)["infra"] == infra for cluster in fleet.clusters)
    content = tree_of(fleet, "infra")
    bases = ("controllers/base/traefik.yaml", "configs/base/default.yaml")
    applied = [found for base in bases for found in read_all(content[f"components/ingress/{base}"])]
    assert {"HelmRelease", "IngressClass"} <= {found["kind"] for found in applied}
    paths = [found["spec"]["path"] for found in resources_of(infra, "Kustomization")]
    assert [path.split("/")[-2] for path in paths] == ["controllers", "configs"]


# --- which cluster runs it -------------------------------------------------------------------------------------------
@each_fleet
def test_the_fleet_repository_has_each_resource_set_in_a_file_of_its_name(fleet: Fleet) -> None:
    tree = tree_of(fleet, "fleet")
    files = {path: yaml.safe_load(text) for path, text in tree.items() if path.startswith("tenants/")}
    assert files == {f"tenants/{name}.yaml": found for name, found in tenant_resource_sets(fleet).items()}


@each_fleet
@pytest.mark.sandbox
def test_kustomize_leaves_of_the_folder_exactly_what_is_for_the_cluster(
    fleet: Fleet, parts: Parts, tmp_path: Path
) -> None:
    """The patches of the cluster's Kustomization `tenants`, laid over the folder as kustomize-controller does."""
    for name, resource_set in tenant_resource_sets(fleet).items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(resource_set))
    files = sorted(file.name for file in tmp_path.iterdir())
    for cluster in delivering(fleet):
        patches = tenants_kustomization(fleet, cluster)["spec"].get("patches", [])
        generated = kustomization(files) | ({"patches": patches} if patches else {})
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(generated))
        built = read_all(oracle.run(parts.kustomize, "build", str(tmp_path)))
        left = {found["metadata"]["name"]: found for found in built}
        assert left == resource_sets_of(fleet, cluster), cluster


@each_case
@pytest.mark.covers("R8", "R110")
def test_a_cluster_applies_the_folder_as_the_operator_and_with_its_own_variables(case: str) -> None:
    fleet = load_case(case)
    kind = "GitRepository" if fleet.design == "git" else "OCIRepository"
    for cluster in delivering(fleet):
        spec = tenants_kustomization(fleet, cluster)["spec"]
        assert (spec["path"], spec["prune"], spec["serviceAccountName"]) == ("./tenants", True, "flux-operator")
        assert spec["sourceRef"] == {"kind": kind, "name": "flux-system"}
        assert spec["postBuild"]["substituteFrom"] == [{"kind": "ConfigMap", "name": "flux-runtime-info"}]


# --- what it makes ---------------------------------------------------------------------------------------------------
@each_fleet
def test_nothing_is_delivered_before_the_policies_are_in_force(fleet: Fleet) -> None:
    for resource_set in workload_sets(fleet).values():
        first, *others = resource_set["spec"]["dependsOn"]
        assert (first["kind"], first["name"], first["ready"]) == ("ResourceSet", "policies", True)
        assert {other["kind"] for other in others} == {"CustomResourceDefinition"}


GROUPS: Final = ("source", "kustomize", "notification", "image", "helm")
CORE: Final = {"source", "kustomize"}
"""Of every installation of Flux, so that they come with the kinds of any other."""


@each_case
def test_no_object_is_applied_before_its_kind_is_served(case: str) -> None:
    """Each of Flux's kinds in a ResourceSet is among the CRDs that it waits for, or comes with them."""
    for resource_set in tenant_resource_sets(load_case(case)).values():
        used = {manifest["apiVersion"].split(".")[0] for manifest in resource_set["spec"]["resources"]}
        waits = resource_set["spec"].get("dependsOn", ())
        served = {wait["name"].split(".")[1] for wait in waits if wait["kind"] == "CustomResourceDefinition"}
        assert used & set(GROUPS) <= served | (CORE if "image" in served else set())


@each_fleet
@pytest.mark.covers("R5", "R6", "R8", "R43", "R112", "R146", "R151", "R161")
def test_only_components_become_cluster_admin(fleet: Fleet) -> None:
    """A tenant's account has the role `admin` in its own namespace and nothing elsewhere."""
    for name, resource_set in workload_sets(fleet).items():
        roles = {
            (kind, binding["roleRef"]["name"], binding["subjects"][0]["namespace"])
            for kind in ("ClusterRoleBinding", "RoleBinding")
            for binding in resources_of(resource_set, kind)
        }
        tenants = name.startswith("apps")
        assert roles == {
            ("RoleBinding", "admin", "<< inputs.tenant >>")
            if tenants
            else ("ClusterRoleBinding", "cluster-admin", "<< inputs.tenant >>")
        }
        accounts = {found["metadata"].get("namespace") for found in resources_of(resource_set, "RoleBinding")}
        assert accounts <= {"<< inputs.tenant >>"}


# --- where it comes from ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "secret"), [("infra", "flux-system"), ("apps", "flux-apps")])
@pytest.mark.covers("R127", "R153")
def test_in_the_git_design_content_is_a_folder_of_a_branch(kind: str, secret: str) -> None:
    """Only that folder is checked out, with a credential that the namespace has a copy of."""
    fleet = make_fleet(
        design="git",
        owner="Acme-Corp",
        github={"url": "https://github.example.com"},
        components={"a": {}},
        tenants={"b": {"team": "platform"}, "c": {"team": "platform", "repository": "C.Deploy"}},
    )
    resource_set = tenant_resource_sets(fleet)[kind]
    ((source),) = resources_of(resource_set, "GitRepository")
    assert source["spec"] == {
        "interval": "5m",
        "provider": "${GIT_PROVIDER}",
        "url": "https://github.example.com/Acme-Corp/<< inputs.repository >>.git",
        "ref": {"branch": "${GIT_BRANCH}"},
        "secretRef": {"name": secret},
        "sparseCheckout": ["components/<< inputs.tenant >>"],
    }
    assert [found["metadata"]["name"] for found in resources_of(resource_set, "Secret")] == [secret]
    assert not resources_of(resource_set, "OCIRepository")
    repositories = {given["tenant"]: given["repository"] for given in resource_set["spec"]["inputs"]}
    assert repositories == ({"a": "infra"} if kind == "infra" else {"b": "apps", "c": "C.Deploy"})


@each_case
def test_every_kustomization_refers_to_the_source_beside_it(case: str) -> None:
    for resource_set in workload_sets(load_case(case)).values():
        (source,) = [r for kind in ("GitRepository", "OCIRepository") for r in resources_of(resource_set, kind)]
        reference = {"kind": source["kind"], "name": source["metadata"]["name"]}
        found = resources_of(resource_set, "Kustomization")
        assert found
        for made in found:
            assert made["spec"]["sourceRef"] == reference
            assert made["metadata"]["namespace"] == source["metadata"]["namespace"]


@each_case
def test_no_tenant_gets_a_credential_of_the_platform_or_of_the_bot(case: str) -> None:
    """What lies in a tenant's namespace, the tenant can read (Q17)."""
    fleet = load_case(case)
    chat = {names.ALERTS_SECRET} if fleet.alerts.chat else set()
    status = {names.STATUS_SECRET} if fleet.reports_commits else set()
    mirror = {names.MIRROR_SECRET, names.TRUST_SECRET} if fleet.mirror else set()  # who reads it reads what all may
    allowed = chat | mirror | ({names.TENANTS_SECRET} if fleet.design == "git" else {names.REGISTRY_SECRET} | status)
    for name, resource_set in workload_sets(fleet).items():
        if name.startswith("apps"):
            tenants = [fleet.tenants[given["tenant"]].decryption for given in resource_set["spec"]["inputs"]]
            own = {names.AGE_SECRET} if any(found and found.provider == "age" for found in tenants) else set()
            assert {found["metadata"]["name"] for found in resources_of(resource_set, "Secret")} == allowed | own
