"""Every folder of the repositories as kustomize builds it, checked by kubeconform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.model import Fleet, repositories_of
from fleet.model.catalog import merge
from sandbox.build import Parts
from tests import conformity, oracle
from tests.rendering import CASES, Schemas, delivering, folder_of, load_case, objects_of, read_all, trees_of

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fleet(case: str) -> Fleet:
    return load_case(case)


@pytest.fixture(scope="module")
def built(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Mapping[str, list[Any]]:
    """The objects of every folder with a kustomization.yaml, by its path."""
    root = tmp_path_factory.mktemp("trees")
    for path, content in trees_of(fleet).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    folders = [file.parent for file in sorted(root.rglob("kustomization.yaml"))]
    return {
        str(folder.relative_to(root)): read_all(oracle.run(parts.kustomize, "build", str(folder))) for folder in folders
    }


@pytest.mark.covers("R4", "R13", "R19", "R45", "R49", "R135", "R163", "R167")
def test_every_overlay_adds_the_values_of_its_environment(fleet: Fleet, built: Mapping[str, list[Any]]) -> None:
    for home in repositories_of(fleet).values():
        for name in home.workloads if home.automated else ():
            workload = fleet.components[name] if home.role == "infra" else fleet.tenants[name]
            for environment in fleet.overlays_of(workload):
                step = "controllers/" if home.role == "infra" else ""
                objects = built[f"{folder_of(fleet, home.name)}/components/{name}/{step}{environment}"]
                values = {
                    o["metadata"]["name"]: o["spec"].get("values", {}) for o in objects if o["kind"] == "HelmRelease"
                }
                assert values == {
                    release: merge(spec.values, spec.environments.get(environment, {}))
                    for release, spec in workload.releases.items()
                }


@pytest.mark.covers("R50", "R120", "R168")
def test_every_overlay_adds_to_the_custom_resources_without_renaming_them(
    fleet: Fleet, built: Mapping[str, list[Any]]
) -> None:
    """And has the ConfigMaps with their files as they are, in which Flux fills nothing in."""
    for name, component in fleet.components.items():
        for environment in fleet.overlays_of(component):
            found = built[f"infra/components/{name}/configs/{environment}"]
            generated = [o for o in found if is_generated(o)]
            assert {o["metadata"]["name"]: (o["data"], o["metadata"].get("labels", {})) for o in generated} == {
                name: (texts.files, texts.labels) for name, texts in component.config_maps.items()
            }
            wanted = [merge(c.base, c.environments.get(environment, {})) for c in component.configs.values()]
            assert by_identity(o for o in found if o not in generated) == by_identity(wanted)


@pytest.mark.covers("R134")
def test_every_overlay_of_a_tenant_has_its_objects_as_the_environment_wants_them(
    fleet: Fleet, built: Mapping[str, list[Any]]
) -> None:
    for name, tenant in fleet.tenants.items():
        for environment in fleet.overlays_of(tenant):
            found = by_identity(
                built[f"{folder_of(fleet, fleet.repository_of(tenant))}/components/{name}/{environment}"]
            )
            wanted = [merge(o.base, o.environments.get(environment, {})) for o in tenant.objects.values()]
            assert {key: found[key] for key in by_identity(wanted)} == by_identity(wanted)
            sources = sum(not release.is_local for release in tenant.releases.values())
            assert len(found) == len(wanted) + len(tenant.releases) + sources


def is_generated(manifest: Any) -> bool:
    """By the annotation that keeps Flux from filling variables in."""
    annotations = manifest["metadata"].get("annotations", {})
    return bool(annotations.get("kustomize.toolkit.fluxcd.io/substitute") == "disabled")


def by_identity(manifests: Iterable[Any]) -> dict[tuple[str, str, str], Any]:
    """kustomize sorts some kinds."""
    return {(m["kind"], m["metadata"]["name"], m["metadata"].get("namespace", "")): m for m in manifests}


def test_the_operators_values_become_the_config_map_that_its_release_reads(
    fleet: Fleet, built: Mapping[str, list[Any]]
) -> None:
    for cluster in delivering(fleet):
        objects = {(o["kind"], o["metadata"]["name"]): o for o in built[f"fleet/clusters/{cluster}/flux-system"]}
        values = objects["ConfigMap", "flux-operator-values"]
        assert values["metadata"]["labels"] == {"reconcile.fluxcd.io/watch": "Enabled"}
        assert values["metadata"]["namespace"] == "flux-system"
        assert yaml.safe_load(values["data"]["values.yaml"])["multitenancy"]["enabled"] is True
        assert objects.keys() >= {("FluxInstance", "flux"), ("ResourceSet", "flux-operator")}


@pytest.mark.covers("R14", "R46")
def test_the_update_folder_becomes_a_policy_for_each_release(fleet: Fleet, built: Mapping[str, list[Any]]) -> None:
    for home in (found for found in repositories_of(fleet).values() if found.automated):
        section = fleet.components if home.role == "infra" else fleet.tenants
        releases = ((name, r, spec) for name in home.workloads for r, spec in section[name].releases.items())
        wanted = {f"{name}-{release}" for name, release, spec in releases if not spec.is_local}
        objects = built[f"{folder_of(fleet, home.name)}/update"]
        assert {kind: {o["metadata"]["name"] for o in objects if o["kind"] == kind} for kind in IMAGE_KINDS} == (
            dict.fromkeys(IMAGE_KINDS, wanted)
        )


IMAGE_KINDS: Final = ("ImageRepository", "ImagePolicy")


FOREIGN: Final = {
    "default": {"ClusterIssuer", "PodMonitor", "ServiceMonitor"},
    "complete": {"ClusterIssuer", "PodMonitor", "ServiceMonitor"},
    "git": {"PodMonitor", "ServiceMonitor"},
    "cloud": set(),
    "mirror": {"ClusterIssuer", "PodMonitor", "ServiceMonitor"},
}
"""Kinds that the charts bring; tests/unit/test_catalog.py holds what we write of them."""


def test_kubeconform_finds_no_fault_in_what_the_overlays_build(
    case: str, built: Mapping[str, list[Any]], schemas: Schemas, parts: Parts, tmp_path: Path
) -> None:
    objects = (o for found in built.values() for o in found)
    assert conformity.check(parts, schemas, objects, tmp_path) == FOREIGN[case]


def test_kubeconform_finds_no_fault_in_files_that_flux_applies_as_they_are(
    case: str, fleet: Fleet, schemas: Schemas, parts: Parts, tmp_path: Path
) -> None:
    plain = [o for path, o in objects_of(fleet) if path.startswith(("fleet/clusters", "fleet/tenants"))]
    assert {o["kind"] for o in plain} >= {"FluxInstance", "ResourceSet", "Kustomization"}
    assert conformity.check(parts, schemas, plain, tmp_path) == set()


@pytest.mark.parametrize(
    "fault",
    [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}, "spec": {"finalizer": []}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "x"}, "spec": {"x": 1}},
        {"apiVersion": "fluxcd.controlplane.io/v1", "kind": "ResourceSet", "metadata": {"name": "x"}, "sepc": {}},
    ],
)
def test_kubeconform_finds_a_fault(fault: Any, schemas: Schemas, parts: Parts, tmp_path: Path) -> None:
    """In kinds of Kubernetes and of the operator, keys that nobody knows."""
    with pytest.raises(AssertionError):
        conformity.check(parts, schemas, [fault], tmp_path)
