"""What the operator makes of our FluxInstances and ResourceSets, asked of its own offline builder.

Flux fills the variables of a cluster in first, so the ResourceSets are built with those of `runtime_info`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from fleet.errors import ConfigError
from fleet.manifests.automation import automation_resource_set
from fleet.manifests.delivery import tenant_resource_sets
from fleet.manifests.instance import flux_instance
from fleet.manifests.runtime import runtime_info, substituted
from fleet.model import Fleet, Tenant, Workload
from fleet.ownership import Verdict, judge
from sandbox.build import Parts
from tests import oracle
from tests.rendering import CLUSTERS, GOLDEN, Schemas, check_golden, load_case, make_fleet, read_all, validate

pytestmark = pytest.mark.sandbox

FLEETS: Final = [(case, cluster) for case, clusters in CLUSTERS.items() for cluster in clusters]
each_cluster: Final = pytest.mark.parametrize(("case", "cluster"), FLEETS)
each_delivery: Final = pytest.mark.parametrize(("case", "cluster"), [f for f in FLEETS if f[1] != "update"])


def rendered(parts: Parts, fleet: Fleet, cluster: str) -> dict[str, str]:
    """YAML of the objects of each ResourceSet on the cluster, by its name."""
    if fleet.environment_of(cluster).role == "update":
        sets = [automation_resource_set(fleet)]
    else:
        sets = [substituted(s, runtime_info(fleet, cluster)) for s in tenant_resource_sets(fleet)]
    return {s["metadata"]["name"]: oracle.build_resource_set(parts, s) for s in sets}


class Objects:
    """What is on a cluster once the operator has applied the ResourceSets."""

    def __init__(self, parts: Parts, fleet: Fleet, cluster: str) -> None:
        self.all = [o for text in rendered(parts, fleet, cluster).values() for o in read_all(text)]
        metadata = [(o, o["metadata"]) for o in self.all]
        self._named = {(o["kind"], m["name"], m.get("namespace", "")): o for o, m in metadata}

    def get(self, kind: str, name: str, namespace: str = "") -> Any:
        return self._named[kind, name, namespace]


# --- ResourceSets ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("case", "cluster"),
    [("default", "staging"), ("default", "prod-eu"), ("complete", "prod-us"), ("complete", "update")],
)
def test_the_objects_of_the_resource_sets_are_the_committed_ones(
    case: str, cluster: str, parts: Parts, update_golden: bool
) -> None:
    files = {f"{name}.yaml": text.encode() for name, text in rendered(parts, load_case(case), cluster).items()}
    check_golden(GOLDEN / case / "objects" / cluster, files, update=update_golden)


@each_cluster
def test_no_placeholder_is_left_and_every_custom_resource_fits_its_schema(
    case: str, cluster: str, parts: Parts, schemas: Schemas
) -> None:
    for name, text in rendered(parts, load_case(case), cluster).items():
        assert "<<" not in text
        assert name == "image-update-automation" or "${" not in text
        for manifest in read_all(text):
            if "." in manifest["apiVersion"] and "k8s.io" not in manifest["apiVersion"]:
                validate(schemas, manifest)
            assert judge(manifest["metadata"]["labels"]) == Verdict("adopted", f"ResourceSet/{name}")


@each_delivery
def test_each_component_and_tenant_gets_its_namespace_and_what_flux_needs_there(
    case: str, cluster: str, parts: Parts
) -> None:
    fleet = load_case(case)
    objects, variables = Objects(parts, fleet, cluster), runtime_info(fleet, cluster)
    for name, workload in workloads(fleet):
        repository = "apps" if isinstance(workload, Tenant) else "infra"
        assert objects.get("Namespace", name)["metadata"]["labels"].items() >= labels(workload).items()
        for kind, copy in (("ConfigMap", "flux-runtime-info"), ("Secret", "ghcr-auth")):
            metadata = objects.get(kind, copy, name)["metadata"]
            assert metadata["annotations"] == {"fluxcd.controlplane.io/copyFrom": f"flux-system/{copy}"}
        account = objects.get("ServiceAccount", "flux", name)
        assert account["imagePullSecrets"] == [{"name": "ghcr-auth"}]
        source = objects.get("OCIRepository", repository, name)["spec"]
        published = getattr(fleet.repositories, repository).lower()
        assert source["url"] == f"oci://{fleet.artifacts}/{published}/{name}"
        assert source["ref"] == {"tag": variables["ARTIFACT_TAG"]}
        assert source["serviceAccountName"] == "flux"


def workloads(fleet: Fleet) -> Iterator[tuple[str, Workload]]:
    yield from fleet.components.items()
    yield from fleet.tenants.items()


def labels(workload: Workload) -> dict[str, str]:
    role = {"toolkit.fluxcd.io/role": "platform"}
    if isinstance(workload, Tenant):
        role = {"toolkit.fluxcd.io/role": "tenant", "toolkit.fluxcd.io/tenant": workload.team}
    return role | {"pod-security.kubernetes.io/enforce": workload.pod_security}


@each_delivery
def test_kustomizations_run_as_the_account_of_their_namespace_and_wait_for_components(
    case: str, cluster: str, parts: Parts
) -> None:
    fleet = load_case(case)
    objects, environment = Objects(parts, fleet, cluster), fleet.clusters[cluster].environment
    for name, workload in workloads(fleet):
        expr = "dep.status.observedGeneration >= 0"
        waits = [{"name": "infra-configs", "namespace": c, "readyExpr": expr} for c in workload.depends_on]
        steps = [("infra-controllers", "./controllers", waits)]
        steps += [("infra-configs", "./configs", [{"name": "infra-controllers"}])]
        if isinstance(workload, Tenant):
            steps = [("apps", ".", waits)]
        for step, folder, dependencies in steps:
            spec = objects.get("Kustomization", step, name)["spec"]
            assert spec["path"] == f"{folder}/{environment}"
            assert spec["dependsOn"] == dependencies
            assert (spec["targetNamespace"], spec["serviceAccountName"]) == (name, "flux")
            assert spec["postBuild"]["substituteFrom"] == [{"kind": "ConfigMap", "name": "flux-runtime-info"}]


@each_delivery
def test_tenants_are_held_within_their_namespace(case: str, cluster: str, parts: Parts) -> None:
    """Quota, defaults for what gives no requests, traffic only from themselves and the platform; no ClusterRole."""
    fleet = load_case(case)
    objects = Objects(parts, fleet, cluster)
    for name, tenant in fleet.tenants.items():
        assert objects.get("ResourceQuota", "tenant", name)["spec"]["hard"] == {
            "requests.cpu": tenant.quota.cpu,
            "requests.memory": tenant.quota.memory,
            "pods": str(tenant.quota.pods),
        }
        (limits,) = objects.get("LimitRange", "tenant", name)["spec"]["limits"]
        assert limits["type"] == "Container"
        assert limits["defaultRequest"].keys() == {"cpu", "memory"}
        policy = objects.get("NetworkPolicy", "tenant", name)["spec"]
        platform = {"namespaceSelector": {"matchLabels": {"toolkit.fluxcd.io/role": "platform"}}}
        assert policy == {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}, platform]}],
        }
        assert objects.get("RoleBinding", "flux", name)["roleRef"]["name"] == "admin"
    admins = [o["subjects"] for o in objects.all if o["kind"] == "ClusterRoleBinding"]
    assert admins == [[{"kind": "ServiceAccount", "name": "flux", "namespace": c}] for c in fleet.components]


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
def test_an_artifact_is_signed_by_its_own_workflow_and_in_production_with_its_own_release_tag(
    cluster: str, tracks: str, parts: Parts
) -> None:
    """A tag of another component, or of none, must not deliver this one to production."""
    fleet = load_case("complete")
    objects = Objects(parts, fleet, cluster)
    for name, workload in workloads(fleet):
        kind = "apps" if isinstance(workload, Tenant) else "infra"
        verify = objects.get("OCIRepository", kind, name)["spec"]["verify"]
        (identity,) = verify["matchOIDCIdentity"]
        assert verify["provider"] == "cosign"
        assert re.fullmatch(identity["issuer"], "https://token.actions.githubusercontent.com")
        given = {"name": name, "repository": getattr(fleet.repositories, kind)}
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


# --- FluxInstance ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def artifact(parts: Parts) -> Iterator[str]:
    with oracle.serve_artifact(parts.flux_manifests) as address:
        yield address


@each_cluster
def test_the_instance_installs_its_controllers_and_syncs_the_signed_fleet_artifact(
    case: str, cluster: str, parts: Parts, artifact: str
) -> None:
    fleet = load_case(case)
    objects = oracle.build_instance(parts, flux_instance(fleet, cluster), artifact)
    assert {o["metadata"]["labels"]["fluxcd.controlplane.io/name"] for o in objects} == {"flux"}
    named = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    deployed = {name for kind, name in named if kind == "Deployment"}
    assert deployed >= set(fleet.controllers_of(cluster))
    assert not {"image-automation-controller", "helm-controller"} <= deployed
    source, sync = (named[kind, "flux-system"]["spec"] for kind in ("OCIRepository", "Kustomization"))
    assert source["url"] == f"oci://{fleet.artifacts}/{fleet.repositories.fleet.lower()}"
    assert source["ref"] == {"tag": fleet.environment_of(cluster).artifact_tag}
    assert source["verify"]["provider"] == "cosign"
    assert (sync["path"], sync["prune"]) == (f"clusters/{cluster}", True)


def test_tenants_are_locked_down_and_the_size_is_that_of_the_cluster(parts: Parts, artifact: str) -> None:
    arguments = {
        cluster: arguments_of(oracle.build_instance(parts, flux_instance(load_case("complete"), cluster), artifact))
        for cluster in ("qa", "prod-eu")
    }
    for flags in arguments.values():
        assert {"--no-cross-namespace-refs=true", "--no-remote-bases=true"} <= flags
        assert "--default-service-account=flux" in flags
    assert ("--concurrent=5" in arguments["qa"], "--concurrent=20" in arguments["prod-eu"]) == (True, True)


def arguments_of(objects: list[Any]) -> set[str]:
    """Of kustomize-controller."""
    (deployment,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Deployment", "kustomize-controller")]
    return set(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


@pytest.mark.parametrize(("version", "works"), [("2.6.x", False), ("2.7.x", True), ("2.x", True)])
def test_flux_is_as_new_as_the_operator_wants_it_for_our_controllers(
    version: str, works: bool, parts: Parts, artifact: str
) -> None:
    """The model refuses what the operator would stall on."""
    manifest = flux_instance(make_fleet(), "staging")
    manifest["spec"]["distribution"]["version"] = version
    if works:
        assert oracle.build_instance(parts, manifest, artifact)
        make_fleet(flux={"version": version})
    else:
        with pytest.raises(AssertionError, match=r"source-watcher is only supported .* >= 2\.7"):
            oracle.build_instance(parts, manifest, artifact)
        with pytest.raises(ConfigError):
            make_fleet(flux={"version": version})
