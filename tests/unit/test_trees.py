"""What Flux reads in the repositories: as committed, the same bytes each time, and complete in itself.

What kustomize makes of it is in test_overlays.py. Documents and workflows, which people and GitHub read, have tests of
their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import pytest
import yaml

from fleet.manifests.delivery import resource_sets_of, tenant_resource_sets
from fleet.manifests.trees import trees
from fleet.model import Component, Fleet, Workload, parse_fleet, repositories_of
from tests.checkout import Checkout
from tests.reader import Reader
from tests.rendering import (
    CASES,
    GOLDEN,
    ROOT,
    check_golden,
    delivering,
    folder_of,
    is_applied,
    load_case,
    make_fleet,
    read_all,
    tree_of,
    trees_of,
)

each_case: Final = pytest.mark.parametrize("case", CASES)


# --- the files -------------------------------------------------------------------------------------------------------
@each_case
def test_the_trees_are_the_committed_ones(case: str, update_golden: bool) -> None:
    """All YAML that Flux reads; the files of ConfigMaps are those of the catalog as they are."""
    manifests = {path: content for path, content in trees_of(load_case(case)).items() if is_applied(path)}
    check_golden(GOLDEN / case / "trees", manifests, update=update_golden)


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
            there = {other for other in tree if other.startswith(f"{folder}/") and other != path}
            bases = {other for other in used if f"{other}/kustomization.yaml" in tree}
            assert used - bases == there, path
            assert bases <= {f"{folder.parent}/base"}, path


def names_in(kustomization: Any) -> Iterator[str]:
    yield from kustomization["resources"]
    yield from (patch["path"] for patch in kustomization.get("patches", ()))
    for generator in kustomization.get("configMapGenerator", ()):
        yield from (file.rpartition("=")[2] for file in generator["files"])


@each_case
@pytest.mark.covers("R142")
def test_each_source_has_the_folders_that_the_resource_sets_apply(case: str) -> None:
    """In the oci design a source is the folder of one component, in the git design the whole repository."""
    fleet, tree = load_case(case), trees_of(load_case(case))
    applied = set()
    for cluster in delivering(fleet):
        environment = fleet.clusters[cluster].environment
        for resource_set in resource_sets_of(fleet, cluster).values():
            found = [r["spec"]["path"] for r in resource_set["spec"]["resources"] if r["kind"] == "Kustomization"]
            for given in (i for i in resource_set["spec"].get("inputs", ()) if "tenant" in i):
                for path in found:
                    filled = path.replace("<< inputs.environment >>", environment)
                    filled = filled.replace("<< inputs.tenant >>", given["tenant"])
                    root = "" if fleet.design == "git" else f"components/{given['tenant']}/"
                    applied.add(os.path.normpath(f"{folder_of(fleet, given['repository'])}/{root}{filled}"))
    assert applied
    assert {f"{folder}/kustomization.yaml" for folder in applied} <= tree.keys()
    overlays = {str(folder) for path in tree if (folder := PurePosixPath(path).parent).name in fleet.overlays}
    assert {folder for folder in overlays if "/components/" in folder} == applied


@each_case
@pytest.mark.covers("R13", "R15", "R16", "R17", "R47", "R94", "R116", "R166")
def test_a_component_has_a_base_and_an_overlay_for_each_environment(case: str) -> None:
    """One file a release or object in the base, and one for each that differs; configs beside controllers."""
    fleet, tree = load_case(case), trees_of(load_case(case))
    for home in repositories_of(fleet).values():
        for name in home.workloads if home.automated else ():
            workload = fleet.components[name] if home.role == "infra" else fleet.tenants[name]
            folder = f"{folder_of(fleet, home.name)}/components/{name}"
            releases = {name: (f"{name}-values", release) for name, release in workload.releases.items()}
            if isinstance(workload, Component):
                configs = {name: (name, config) for name, config in workload.configs.items()}
                expected = layout(f"{folder}/controllers", fleet, workload, releases)
                expected |= layout(f"{folder}/configs", fleet, workload, configs)
                for config_map, texts in workload.config_maps.items():
                    expected |= {f"{folder}/configs/base/{config_map}/{file}" for file in texts.files}
            else:
                objects = {name: (name, spec) for name, spec in workload.objects.items()}
                expected = layout(folder, fleet, workload, releases | objects)
            charts = {release.chart.removeprefix(".") for release in workload.releases.values() if release.is_local}
            expected |= {f"{folder}{chart}/{file}" for chart in charts for file in CHART}
            assert {path for path in tree if path.startswith(f"{folder}/")} == expected


CHART: Final = ("Chart.yaml", "values.yaml", "templates/deployment.yaml", "templates/service.yaml")


def layout(folder: str, fleet: Fleet, workload: Workload, parts: Mapping[str, tuple[str, Any]]) -> set[str]:
    """By the name of a file of the base: that of its patches, and the entry of fleet.yaml."""
    files = {f"{folder}/base/{name}.yaml" for name in ("kustomization", *parts)}
    for environment in fleet.overlays_of(workload):
        differing = [patch for patch, entry in parts.values() if environment in entry.environments]
        files |= {f"{folder}/{environment}/{name}.yaml" for name in ("kustomization", *differing)}
    return files


@pytest.mark.covers("R129", "R131", "R133", "R134", "R149")
def test_the_repository_of_a_project_has_objects_overlays_and_charts_from_the_start() -> None:
    """Flux's own objects and others as plain YAML, and a chart that is released from its folder."""
    tree = {PurePosixPath(path): text for path, text in trees(load_case("git"))["shop-deploy"].items()}
    folder = PurePosixPath("components/shop")
    listed = yaml.safe_load(tree[folder / "base/kustomization.yaml"])["resources"]
    base = {(o["kind"], o["metadata"]["name"]): o for file in listed for o in read_all(tree[folder / "base" / file])}
    assert base.keys() == {
        *(("HelmRepository", "shop-charts"), ("HelmRelease", "shop"), ("HelmRelease", "web")),
        *(("GitRepository", "more-manifests"), ("Kustomization", "more"), ("ConfigMap", "settings")),
    }
    assert base["Kustomization", "more"]["spec"]["sourceRef"] == {"kind": "GitRepository", "name": "more-manifests"}
    assert base["ConfigMap", "settings"]["data"] == {"greeting": "hello"}
    chart = base["HelmRelease", "web"]["spec"]["chart"]["spec"]
    assert chart["sourceRef"]["kind"] == "GitRepository"
    assert yaml.safe_load(tree[chart["chart"] / PurePosixPath("Chart.yaml")])["version"] == "0.1.0"
    for environment, patches in {"staging": ["more"], "production": ["web-values", "settings"]}.items():
        overlay = yaml.safe_load(tree[folder / environment / "kustomization.yaml"])
        assert overlay["resources"] == ["../base"]
        assert overlay["patches"] == [{"path": f"{patch}.yaml"} for patch in patches]


@each_case
@pytest.mark.covers("R85", "R118", "R121", "R123", "R140", "R142")
def test_the_fleet_repository_has_a_folder_for_each_cluster_and_one_for_the_tenants(case: str) -> None:
    fleet = load_case(case)
    tree = tree_of(fleet, "fleet")
    folders = {str(PurePosixPath(path).parents[-3]) for path in tree if path.startswith("clusters")}
    assert folders == {f"clusters/{name}" for name in fleet.clusters}
    for cluster in fleet.clusters:
        instance = yaml.safe_load(tree[f"clusters/{cluster}/flux-system/flux-instance.yaml"])
        assert instance["spec"]["sync"]["path"] == f"clusters/{cluster}"
    assert {path for path in tree if path.startswith("tenants")} == {
        f"tenants/{name}.yaml" for name in tenant_resource_sets(fleet)
    }


@each_case
@pytest.mark.covers("R99", "R109", "R110")
def test_what_the_bootstrap_applies_lies_where_the_cluster_itself_applies_it_from(case: str) -> None:
    """So that the instance, the operator and the variables are changed in Git, without access to the cluster."""
    tree = tree_of(load_case(case), "fleet")
    for cluster in delivering(load_case(case)):
        folder = f"clusters/{cluster}/flux-system"
        listed = yaml.safe_load(tree[f"{folder}/kustomization.yaml"])["resources"]
        objects = [(o["kind"], o["metadata"]["name"]) for f in listed for o in read_all(tree[f"{folder}/{f}"])]
        assert objects == BOOTSTRAPPED


BOOTSTRAPPED: Final = [("FluxInstance", "flux"), ("ResourceSet", "flux-operator"), ("ConfigMap", "flux-runtime-info")]


def test_an_update_cluster_does_not_keep_the_operator_up_to_date() -> None:
    """It has no helm-controller, so the ResourceSet would wait for ever; and it lives for one run (Q2)."""
    tree = tree_of(load_case("complete"), "fleet")
    files = sorted(path.removeprefix("clusters/update/") for path in tree if path.startswith("clusters/update/"))
    assert files == ["automation.yaml", "flux-system/flux-instance.yaml", "flux-system/runtime-info.yaml"]
    instance = yaml.safe_load(tree["clusters/update/flux-system/flux-instance.yaml"])
    assert "helm-controller" not in instance["spec"]["components"]


def test_what_reaches_tenants_by_copy_is_watched_so_that_a_change_arrives_at_once(
    checkout: Checkout, reader: Reader
) -> None:
    """Without the label on the source, a copy is refreshed at the interval only (Q19)."""
    info = yaml.safe_load(tree_of(load_case("default"), "fleet")["clusters/staging/flux-system/runtime-info.yaml"])
    secret = checkout.run("staging").of("staging", "secret").inputs
    for source in (info, secret):
        assert source["metadata"]["labels"]["reconcile.fluxcd.io/watch"] == "Enabled"


def test_releases_without_values_of_an_environment_have_no_patch_there() -> None:
    release = {"chart": "oci://r/charts/x", "version": "1.0.0", "environments": {"staging": {}}}
    fleet = make_fleet(
        tenants={"a": {"team": "platform", "releases": {"x": release, "z": release | {"environments": {}}}}}
    )
    assert sorted(path for path in tree_of(fleet, "apps") if "/staging/" in path) == [
        "components/a/staging/kustomization.yaml",
        "components/a/staging/x-values.yaml",
    ]
