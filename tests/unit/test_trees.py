"""The three repositories: as committed, the same bytes each time, and complete in themselves.

Tests marked `sandbox` build every overlay with kustomize and validate it with kubeconform.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
import yaml

from fleet.manifests.delivery import apps_resource_set, infra_resource_set
from fleet.manifests.trees import apps_tree, fleet_tree
from fleet.model import Fleet, parse_fleet
from fleet.model.catalog import merge
from sandbox.build import Parts
from tests import oracle
from tests.checkout import Checkout
from tests.reader import Reader
from tests.rendering import (
    CASES,
    GOLDEN,
    ROOT,
    Schemas,
    check_golden,
    load_case,
    make_fleet,
    read_all,
    trees_of,
)

each_case: Final = pytest.mark.parametrize("case", CASES)


# --- the files -------------------------------------------------------------------------------------------------------
@each_case
def test_the_trees_are_the_committed_ones(case: str, update_golden: bool) -> None:
    check_golden(GOLDEN / case / "trees", trees_of(load_case(case)), update=update_golden)


def test_the_same_fleet_gives_the_same_bytes_in_every_process() -> None:
    """Nothing depends on the order of a set, which differs from run to run."""
    program = (
        "import sys; from tests.rendering import load_case, trees_of;"
        "sys.stdout.write(repr(list(trees_of(load_case('complete')).items())))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == repr(list(trees_of(load_case("complete")).items()))


def test_the_order_of_sections_and_keys_of_fleet_yaml_does_not_matter() -> None:
    """Only that of entries does: it is the order of promotion, and of the inputs."""

    def reversed_keys(value: Any) -> Any:
        return dict(reversed(value.items()))

    raw = yaml.safe_load((ROOT / "tests/config/valid/minimal.yaml").read_text()) | {
        "tenants": {"a": {"team": "platform", "quota": {"cpu": "1", "pods": 2}}},
        "flux": {"size": "large", "version": "2.8.x"},
    }
    other = reversed_keys(raw) | {section: reversed_keys(raw[section]) for section in ("flux", "bot")}
    other["tenants"] = {"a": reversed_keys(raw["tenants"]["a"])}
    assert trees_of(parse_fleet(other)) == trees_of(parse_fleet(raw))


def test_rendering_leaves_the_fleet_as_it_is() -> None:
    fleet = load_case("complete")
    trees_of(fleet)
    assert fleet == load_case("complete")


@each_case
def test_every_file_is_used_and_every_file_that_is_used_is_there(case: str) -> None:
    """In folders with a kustomization.yaml; Flux applies all files of the others."""
    tree = trees_of(load_case(case))
    for path, content in tree.items():
        if path.endswith("/kustomization.yaml"):
            folder = PurePosixPath(path).parent
            used = {os.path.normpath(f"{folder}/{name}") for name in names_in(yaml.safe_load(content))}
            there = {other for other in tree if PurePosixPath(other).parent == folder and other != path}
            bases = {other for other in used if f"{other}/kustomization.yaml" in tree}
            assert used - bases == there, path
            assert bases <= {f"{folder.parent}/base"}, path


def names_in(kustomization: Any) -> Iterator[str]:
    yield from kustomization["resources"]
    yield from (patch["path"] for patch in kustomization.get("patches", ()))
    for generator in kustomization.get("configMapGenerator", ()):
        yield from (file.partition("=")[2] for file in generator["files"])


@each_case
def test_each_artifact_has_the_folders_that_the_resource_sets_apply(case: str) -> None:
    fleet = load_case(case)
    tree = trees_of(fleet)
    for render, repository, workloads in (
        (infra_resource_set, "infra", fleet.components),
        (apps_resource_set, "apps", fleet.tenants),
    ):
        resources = render(fleet)["spec"]["resources"]
        paths = [r["spec"]["path"] for r in resources if r["kind"] == "Kustomization"]
        for name in workloads:
            for environment in fleet.overlays:
                folders = [PurePosixPath(p.replace("<< inputs.environment >>", environment)) for p in paths]
                assert {f"{repository}/components/{name}/{f}/kustomization.yaml" for f in folders} <= tree.keys()


@each_case
def test_the_fleet_repository_has_a_folder_for_each_cluster_and_one_for_the_tenants(case: str) -> None:
    fleet = load_case(case)
    folders = {str(PurePosixPath(path).parents[-3]) for path in fleet_tree(fleet) if path.startswith("clusters")}
    assert folders == {f"clusters/{name}" for name in fleet.clusters}
    assert {p for p in fleet_tree(fleet) if p.startswith("tenants")} == {
        f"tenants/{name}.yaml" for name in ("policies", "infra", "apps")
    }


def test_an_update_cluster_does_not_keep_the_operator_up_to_date() -> None:
    """It has no helm-controller, so the ResourceSet would wait for ever; and it lives for one run (Q2)."""
    tree = fleet_tree(load_case("complete"))
    files = sorted(path.removeprefix("clusters/update/") for path in tree if path.startswith("clusters/update/"))
    assert files == ["automation.yaml", "flux-system/flux-instance.yaml", "flux-system/runtime-info.yaml"]
    instance = yaml.safe_load(tree["clusters/update/flux-system/flux-instance.yaml"])
    assert "helm-controller" not in instance["spec"]["components"]


def test_what_reaches_tenants_by_copy_is_watched_so_that_a_change_arrives_at_once(
    checkout: Checkout, reader: Reader
) -> None:
    """Without the label on the source, a copy is refreshed at the interval only (Q19)."""
    info = yaml.safe_load(fleet_tree(load_case("default"))["clusters/staging/flux-system/runtime-info.yaml"])
    secret = checkout.run("staging").of("staging", "secret").inputs
    for source in (info, secret):
        assert source["metadata"]["labels"]["reconcile.fluxcd.io/watch"] == "Enabled"


def test_releases_without_values_of_an_environment_have_no_patch_there() -> None:
    release = {"chart": "oci://r/charts/x", "version": "1.0.0", "environments": {"staging": {}}}
    fleet = make_fleet(
        tenants={"a": {"team": "platform", "releases": {"x": release, "z": release | {"environments": {}}}}}
    )
    assert sorted(path for path in apps_tree(fleet) if "/staging/" in path) == [
        "components/a/staging/kustomization.yaml",
        "components/a/staging/x-values.yaml",
    ]


# --- as kustomize builds them ----------------------------------------------------------------------------------------
@pytest.fixture(params=CASES)
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return load_case(request.param)


@pytest.fixture
def built(fleet: Fleet, tmp_path: Path, parts: Parts) -> Mapping[str, list[Any]]:
    """The objects of every folder with a kustomization.yaml, by its path."""
    for path, content in trees_of(fleet).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    folders = [file.parent for file in sorted(tmp_path.rglob("kustomization.yaml"))]
    return {
        str(folder.relative_to(tmp_path)): read_all(oracle.run(parts.kustomize, "build", str(folder)))
        for folder in folders
    }


@pytest.mark.sandbox
def test_every_overlay_adds_the_values_of_its_environment(fleet: Fleet, built: Mapping[str, list[Any]]) -> None:
    for folder, workloads in (("infra", fleet.components), ("apps", fleet.tenants)):
        for name, workload in workloads.items():
            for environment in fleet.overlays:
                step = "controllers/" if folder == "infra" else ""
                objects = built[f"{folder}/components/{name}/{step}{environment}"]
                values = {
                    o["metadata"]["name"]: o["spec"].get("values", {}) for o in objects if o["kind"] == "HelmRelease"
                }
                assert values == {
                    release: merge(spec.values, spec.environments.get(environment, {}))
                    for release, spec in workload.releases.items()
                }


@pytest.mark.sandbox
def test_every_overlay_adds_to_the_custom_resources_without_renaming_them(
    fleet: Fleet, built: Mapping[str, list[Any]]
) -> None:
    for name, component in fleet.components.items():
        for environment in fleet.overlays:
            wanted = [
                merge(config.base, config.environments.get(environment, {})) for config in component.configs.values()
            ]
            assert built[f"infra/components/{name}/configs/{environment}"] == wanted


@pytest.mark.sandbox
def test_the_operators_values_become_the_config_map_that_its_release_reads(
    fleet: Fleet, built: Mapping[str, list[Any]]
) -> None:
    for cluster in (name for name in fleet.clusters if fleet.environment_of(name).role == "fleet"):
        objects = {(o["kind"], o["metadata"]["name"]): o for o in built[f"fleet/clusters/{cluster}/flux-system"]}
        values = objects["ConfigMap", "flux-operator-values"]
        assert values["metadata"]["labels"] == {"reconcile.fluxcd.io/watch": "Enabled"}
        assert values["metadata"]["namespace"] == "flux-system"
        assert yaml.safe_load(values["data"]["values.yaml"])["multitenancy"]["enabled"] is True
        assert objects.keys() >= {("FluxInstance", "flux"), ("ResourceSet", "flux-operator")}


@pytest.mark.sandbox
def test_kubeconform_finds_no_fault_in_what_the_overlays_build(
    built: Mapping[str, list[Any]], schemas: Schemas, parts: Parts, tmp_path: Path
) -> None:
    """Only custom resources of Flux and its operator: the schemas of other kinds are not at hand."""
    location = tmp_path / "schemas"
    for (version, kind), schema in schemas.items():
        file = location / version.replace("/", "_") / f"{kind.lower()}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema))
    objects = [o for found in built.values() for o in found if (o["apiVersion"], o["kind"]) in schemas]
    template = f"{location}/{{{{ .Group }}}}_{{{{ .ResourceAPIVersion }}}}/{{{{ .ResourceKind }}}}.json"
    flags = ("-strict", "-output", "json", "-summary", "-schema-location", template, "-")
    told = json.loads(oracle.run(parts.kubeconform, *flags, given=yaml.safe_dump_all(objects).encode()))
    assert told["summary"] == {"valid": len(objects), "invalid": 0, "errors": 0, "skipped": 0}
