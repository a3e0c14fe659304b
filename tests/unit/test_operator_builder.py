"""What the operator makes of our ResourceSets, asked of its own offline builder.

Flux fills the variables of a cluster in first, so the ResourceSets are built with those of `runtime_info`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from fleet.errors import ConfigError
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.runtime import runtime_info, substituted
from fleet.model import Component, Fleet, Tenant, Workload, age_keys, credentials_on, repositories_of
from fleet.ownership import Verdict, judge
from sandbox.build import Parts
from tests import conformity, oracle
from tests.rendering import (
    CLUSTERS,
    GOLDEN,
    Schemas,
    check_golden,
    load_case,
    make_fleet,
    read_all,
    tree_of,
    validate,
)

pytestmark = pytest.mark.sandbox

FLEETS: Final = [(case, cluster) for case, clusters in CLUSTERS.items() for cluster in clusters]
each_cluster: Final = pytest.mark.parametrize(("case", "cluster"), FLEETS)
each_delivery: Final = pytest.mark.parametrize(("case", "cluster"), [f for f in FLEETS if f[1] != "update"])
AUTOMATION: Final = "image-update-automation"


@cache
def rendered(parts: Parts, case: str, cluster: str) -> Mapping[str, str]:
    """YAML of the objects of each ResourceSet on the cluster, by its name."""
    fleet = load_case(case)
    if fleet.environment_of(cluster).role == "update":
        sets = read_all(tree_of(fleet, "fleet")[f"clusters/{cluster}/automation.yaml"])
    else:
        sets = [substituted(s, runtime_info(fleet, cluster)) for s in resource_sets_of(fleet, cluster).values()]
    return {s["metadata"]["name"]: oracle.build_resource_set(parts, s) for s in sets}


class Objects:
    """What is on a cluster once the operator has applied the ResourceSets."""

    def __init__(self, parts: Parts, case: str, cluster: str) -> None:
        self.all = [o for text in rendered(parts, case, cluster).values() for o in read_all(text)]
        metadata = [(o, o["metadata"]) for o in self.all]
        self._named = {(o["kind"], m["name"], m.get("namespace", "")): o for o, m in metadata}

    def get(self, kind: str, name: str, namespace: str = "") -> Any:
        return self._named[kind, name, namespace]

    def names_of(self, kind: str) -> set[str]:
        return {name for found, name, _ in self._named if found == kind}


# --- ResourceSets ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("case", "cluster"),
    [
        *(("default", "staging"), ("default", "prod-eu"), ("complete", "prod-us"), ("complete", "update")),
        *(("git", "qa"), ("git", "production"), ("cloud", "local"), ("cloud", "production")),
        ("mirror", "production"),
    ],
)
def test_the_objects_of_the_resource_sets_are_the_committed_ones(
    case: str, cluster: str, parts: Parts, update_golden: bool
) -> None:
    files = {f"{name}.yaml": text.encode() for name, text in rendered(parts, case, cluster).items()}
    check_golden(GOLDEN / case / "objects" / cluster, files, update=update_golden)


@each_cluster
def test_no_placeholder_is_left_and_every_custom_resource_fits_its_schema(
    case: str, cluster: str, parts: Parts, schemas: Schemas
) -> None:
    for name, text in rendered(parts, case, cluster).items():
        assert "<<" not in text
        assert "${" not in text
        for manifest in read_all(text):
            if "." in manifest["apiVersion"] and "k8s.io" not in manifest["apiVersion"]:
                validate(schemas, manifest)
            assert judge(manifest["metadata"]["labels"]) == Verdict("adopted", f"ResourceSet/{name}")


@each_cluster
def test_kubeconform_finds_no_fault_in_what_the_operator_makes(
    case: str, cluster: str, parts: Parts, schemas: Schemas, tmp_path: Path
) -> None:
    """Namespaces, accounts, bindings, quotas and policies among it: every kind is known."""
    assert conformity.check(parts, schemas, Objects(parts, case, cluster).all, tmp_path) == set()


@each_delivery
@pytest.mark.covers(
    "R7", "R8", "R38", "R41", "R48", "R88", "R90", "R119", "R136", "R151", "R152", "R154", "R158", "R159"
)
def test_each_component_and_tenant_gets_its_namespace_and_what_flux_needs_there(
    case: str, cluster: str, parts: Parts
) -> None:
    """And no namespace is there for anybody else, in an environment that is not theirs."""
    fleet = load_case(case)
    objects = Objects(parts, case, cluster)
    updates = {n for n in objects.names_of("Namespace") if n.endswith("-update")} if fleet.automates(cluster) else set()
    assert objects.names_of("Namespace") - updates == {name for name, _ in workloads(fleet, cluster)}
    for name, workload in workloads(fleet, cluster):
        assert objects.get("Namespace", name)["metadata"]["labels"].items() >= labels(workload).items()
        assert copied(objects, "ConfigMap", name) == {"flux-runtime-info": "flux-system/flux-runtime-info"}
        wanted = secrets(fleet, cluster, name, workload)
        assert copied(objects, "Secret", name) == {copy: f"flux-system/{origin}" for copy, origin in wanted.items()}
        assert set(wanted.values()) <= handed_over(fleet, cluster)
        account = objects.get("ServiceAccount", "flux", name)
        pulled = [{"name": "ghcr-auth"}] if "ghcr-auth" in wanted else []
        assert account.get("imagePullSecrets", []) == pulled
        check_source(fleet, objects, cluster, name)


def check_source(fleet: Fleet, objects: Objects, cluster: str, name: str) -> None:
    """An artifact of the component's own, or its folder of the branch that the cluster follows."""
    tenant, variables = fleet.tenants.get(name), runtime_info(fleet, cluster)
    step, repository = ("apps", fleet.repository_of(tenant)) if tenant else ("infra", fleet.repositories.infra)
    if fleet.design == "oci":
        source = objects.get("OCIRepository", step, name)["spec"]
        assert source["url"] == f"oci://{fleet.artifacts}/{repository.lower()}/{name}"
        assert source["ref"] == {"tag": variables["ARTIFACT_TAG"]}
        assert source["provider"] == fleet.flux_of(cluster).registry_provider
        assert (source["serviceAccountName"] == "flux") is (source["provider"] == "generic")
    else:
        source = objects.get("GitRepository", step, name)["spec"]
        assert source["url"] == f"{fleet.github.url}/{fleet.owner}/{repository}.git"
        assert source["ref"] == {"branch": variables["GIT_BRANCH"]}
        assert source["sparseCheckout"] == [f"components/{name}"]
        assert source["provider"] == ("github" if fleet.environment_of(cluster).auth == "app" else "generic")
        assert source["secretRef"] == {"name": "flux-apps" if tenant else "flux-system"}


def copied(objects: Objects, kind: str, namespace: str) -> dict[str, str]:
    """Where each copy in a namespace comes from, by its name."""
    found = [m["metadata"] for m in objects.all if (m["kind"], m["metadata"].get("namespace")) == (kind, namespace)]
    return {m["name"]: m["annotations"]["fluxcd.controlplane.io/copyFrom"] for m in found}


def secrets(fleet: Fleet, cluster: str, name: str, workload: Workload) -> dict[str, str]:
    """What lies in the namespace: what Flux signs in with and tells people with, and the key of its own files; by the
    name that each has there, its name in flux-system."""
    if fleet.design == "git":
        found = ["flux-apps" if isinstance(workload, Tenant) else "flux-system"]
    else:
        found = ["ghcr-auth"] if fleet.flux_of(cluster).registry_provider == "generic" else []
        found += ["github-status"] if fleet.reports_commits else []
    found += ["alert-address"] if fleet.alerts.chat else []
    found += ["mirror-auth"] if fleet.mirror and fleet.mirror.user else []
    found += ["mirror-trust"] if fleet.mirror and fleet.mirror.has_trust else []
    own = workload.decryption is not None and workload.decryption.provider == "age"
    return {copy: copy for copy in found} | ({"sops-age": f"sops-age-{name}"} if own else {})


def handed_over(fleet: Fleet, cluster: str) -> set[str]:
    """Secrets that are put into flux-system."""
    ages = {f"sops-age-{name}" for name in age_keys(fleet, fleet.clusters[cluster].environment)}
    chat = {"alert-address"} if fleet.alerts.chat else set()
    chat |= {"mirror-trust"} if fleet.mirror and fleet.mirror.has_trust else set()
    return {str(credential.secret) for credential in credentials_on(fleet, cluster)} | ages | chat


def workloads(fleet: Fleet, cluster: str) -> Iterator[tuple[str, Workload]]:
    """Those that the cluster's environment gets."""
    environment = fleet.clusters[cluster].environment
    for name, workload in {**fleet.components, **fleet.tenants}.items():
        if environment in fleet.overlays_of(workload):
            yield name, workload


def labels(workload: Workload) -> dict[str, str]:
    role = {"toolkit.fluxcd.io/role": "platform"}
    if isinstance(workload, Tenant):
        role = {"toolkit.fluxcd.io/role": "tenant", "toolkit.fluxcd.io/tenant": workload.team}
    return role | {"pod-security.kubernetes.io/enforce": workload.pod_security}


@each_delivery
@pytest.mark.covers("R18", "R51", "R111", "R115", "R164")
def test_kustomizations_run_as_the_account_of_their_namespace_and_wait_for_components(
    case: str, cluster: str, parts: Parts
) -> None:
    fleet = load_case(case)
    objects, environment = Objects(parts, case, cluster), fleet.clusters[cluster].environment
    for name, workload in workloads(fleet, cluster):
        expr = "dep.status.observedGeneration >= 0"
        waits = [{"name": "infra-configs", "namespace": c, "readyExpr": expr} for c in workload.depends_on]
        root = f"./components/{name}" if fleet.design == "git" else "."
        steps = [("infra-controllers", f"{root}/controllers", waits)]
        steps += [("infra-configs", f"{root}/configs", [{"name": "infra-controllers"}])]
        if isinstance(workload, Tenant):
            steps = [("apps", root, waits)]
        for step, folder, dependencies in steps:
            spec = objects.get("Kustomization", step, name)["spec"]
            assert spec["path"] == f"{folder}/{environment}"
            assert spec["dependsOn"] == dependencies
            assert spec["wait"] is True
            assert (spec["targetNamespace"], spec["serviceAccountName"]) == (name, "flux")
            assert spec["postBuild"]["substituteFrom"] == [{"kind": "ConfigMap", "name": "flux-runtime-info"}]


@each_delivery
@pytest.mark.covers("R5", "R42", "R112", "R160")
def test_tenants_are_held_within_their_namespace(case: str, cluster: str, parts: Parts) -> None:
    """Quota, defaults for what gives no requests, traffic only from themselves and the platform; no ClusterRole."""
    fleet = load_case(case)
    objects = Objects(parts, case, cluster)
    for name, tenant in workloads(fleet, cluster):
        if not isinstance(tenant, Tenant):
            continue
        assert objects.get("ResourceQuota", "tenant", name)["spec"]["hard"] == {
            "requests.cpu": tenant.quota.cpu,
            "requests.memory": tenant.quota.memory,
            "pods": str(tenant.quota.pods),
        }
        (limits,) = objects.get("LimitRange", "tenant", name)["spec"]["limits"]
        assert limits["type"] == "Container"
        assert limits["defaultRequest"].keys() == {"cpu", "memory"}
        assert objects.get("NetworkPolicy", "tenant", name)["spec"] == {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": NEIGHBOURS}],
        }
        assert objects.get("RoleBinding", "flux", name)["roleRef"]["name"] == "admin"
    admins = [o["subjects"] for o in objects.all if o["kind"] == "ClusterRoleBinding"]
    components = [name for name, workload in workloads(fleet, cluster) if not isinstance(workload, Tenant)]
    subjects = [[{"kind": "ServiceAccount", "name": "flux", "namespace": name}] for name in components]
    assert sorted(map(str, admins)) == sorted(map(str, subjects))


NEIGHBOURS: Final = [
    {"podSelector": {}},
    {"namespaceSelector": {"matchLabels": {"toolkit.fluxcd.io/role": "platform"}}},
]


@each_delivery
@pytest.mark.covers("R42", "R160")
def test_components_are_reached_by_others_only_where_they_say_so(case: str, cluster: str, parts: Parts) -> None:
    fleet = load_case(case)
    objects = Objects(parts, case, cluster)
    for name, component in workloads(fleet, cluster):
        if isinstance(component, Component):
            ports = [{"port": port, "protocol": "TCP"} for port in component.open_ports]
            (policy,) = [o["spec"] for o in objects.all if is_policy_of(o, name)]
            assert (policy["podSelector"], policy["policyTypes"]) == ({}, ["Ingress"])
            assert policy["ingress"] == [{"from": NEIGHBOURS}, *([{"ports": ports}] if ports else [])]


def is_policy_of(manifest: Any, namespace: str) -> bool:
    return (manifest["kind"], manifest["metadata"].get("namespace")) == ("NetworkPolicy", namespace)


@pytest.mark.parametrize(("case", "cluster"), [("complete", "update"), ("git", "qa")])
@pytest.mark.covers("R28", "R62", "R172")
def test_image_automation_has_a_namespace_for_each_repository(case: str, cluster: str, parts: Parts) -> None:
    """It reads and writes that one, as an account that may do nothing outside."""
    fleet = load_case(case)
    objects = Objects(parts, case, cluster)
    found = {name: r for name, r in repositories_of(fleet).items() if r.automated}
    assert found.keys() >= {fleet.repositories.infra, fleet.repositories.apps}
    for name, repository in found.items():
        namespace = repository.update_namespace
        source = objects.get("GitRepository", namespace, namespace)["spec"]
        assert source["url"] == f"{fleet.github.url}/{fleet.owner}/{name}.git"
        assert source["provider"] in ("generic", "github")
        assert objects.get("Secret", "github-auth", namespace)
        automation = objects.get("ImageUpdateAutomation", namespace, namespace)["spec"]
        assert automation["sourceRef"] == {"kind": "GitRepository", "name": namespace}
        assert objects.get("Kustomization", namespace, namespace)["spec"]["path"] == "./update"
        (account,) = objects.get("RoleBinding", "flux", namespace)["subjects"]
        assert account == {"kind": "ServiceAccount", "name": "flux", "namespace": namespace}


# --- signatures ------------------------------------------------------------------------------------------------------
GITHUB: Final = "https://github.com/Acme-Corp"
SIGNERS: Final = {
    "main": {f"{GITHUB}/{{repository}}/.github/workflows/push-artifact.yaml@refs/heads/main"},
    "releases": {
        f"{GITHUB}/{{repository}}/.github/workflows/release-artifact.yaml@refs/tags/{{name}}/v{version}"
        for version in ("1.2.3", "0.10.0")
    },
}
FORGED: Final = {
    f"{GITHUB}/{{repository}}/.github/workflows/{workflow}.yaml@refs/{ref}"
    for workflow in ("push-artifact", "release-artifact", "other")
    for ref in (
        *("heads/main", "heads/mainly", "tags/v1.2.3", "tags/{name}/v1.2.3-rc.1", "tags/{name}/v1x2x3"),
        *("tags/other/v1.2.3", "tags/x/{name}/v1.2.3", "tags/{name}/v1.2.3/x", "tags/COMPONENT/v1.2.3"),
    )
} | {
    f"https://evil.example/{GITHUB}/{{repository}}/.github/workflows/push-artifact.yaml@refs/heads/main",
    f"{GITHUB}-2/{{repository}}/.github/workflows/release-artifact.yaml@refs/tags/{{name}}/v1.2.3",
    f"{GITHUB}/{{repository}}-2/.github/workflows/push-artifact.yaml@refs/heads/main",
}


@pytest.mark.parametrize(("cluster", "tracks"), [("qa", "main"), ("prod-eu", "releases")])
@pytest.mark.covers("R79", "R80")
def test_an_artifact_is_signed_by_its_own_workflow_and_in_production_with_its_own_release_tag(
    cluster: str, tracks: str, parts: Parts
) -> None:
    """A tag of another component, or of none, must not deliver this one to production."""
    fleet = load_case("complete")
    objects = Objects(parts, "complete", cluster)
    for name, workload in workloads(fleet, cluster):
        kind = "apps" if isinstance(workload, Tenant) else "infra"
        verify = objects.get("OCIRepository", kind, name)["spec"]["verify"]
        (identity,) = verify["matchOIDCIdentity"]
        assert verify["provider"] == "cosign"
        assert re.fullmatch(identity["issuer"], "https://token.actions.githubusercontent.com")
        home = fleet.repository_of(workload) if isinstance(workload, Tenant) else fleet.repositories.infra
        given = {"name": name, "repository": home}
        good = {signer.format(**given) for signer in SIGNERS[tracks]}
        all_signers = good | {signer.format(**given) for signer in FORGED}
        assert {signer for signer in all_signers if re.search(identity["subject"], signer)} == good


# --- names -----------------------------------------------------------------------------------------------------------
NAMES: Final = (
    *("on", "off", "yes", "no", "y", "n", "true", "false", "null", "123", "007", "1e3", "12e03", "1e-3"),
    *("0x1f", "0o17", "0b11", "3scale", "1-2", "2024-01-01", "e1", "nan", "inf", "x1", "0x1g", "1e3a", "0-0"),
)


def admitted(name: str) -> Fleet | None:
    try:
        return make_fleet(teams={"web": {"role": "platform"}}, tenants={name: {"team": "web"}})
    except ConfigError:
        return None


def test_the_model_admits_exactly_the_names_that_the_operator_reads_as_text(parts: Parts) -> None:
    """A namespace called 1000 instead of `1e3`, or no name at all, would come of the others."""
    probe = {
        "apiVersion": "fluxcd.controlplane.io/v1",
        "kind": "ResourceSet",
        "metadata": {"name": "names", "namespace": "flux-system"},
        "spec": {
            "inputs": [{"tenant": name, "number": number} for number, name in enumerate(NAMES)],
            "resources": [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "a<< inputs.number >>", "namespace": "flux-system"},
                    "data": {"name": "<< inputs.tenant >>"},
                }
            ],
        },
    }
    read = [manifest["data"]["name"] for manifest in read_all(oracle.build_resource_set(parts, probe))]
    text = {name for name, value in zip(NAMES, read, strict=True) if value == name}
    assert {name for name in NAMES if admitted(name)} == text
