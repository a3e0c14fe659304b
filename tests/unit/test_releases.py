"""Releases and the versions that they may take: charts, markers, and the policies that image automation chooses by.

The reader of markers and ranges here is independent of what writes them, as the controllers are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pytest
import yaml

from fleet.manifests.automation import automation_resource_set
from fleet.manifests.delivery import tenant_resource_sets
from fleet.manifests.policies import allowed_sources
from fleet.manifests.releases import release_objects
from fleet.manifests.trees import tree, trees
from fleet.model import Fleet, Release, Repository, repositories_of
from tests.rendering import CASES, load_case, make_fleet, read_all

each_case: Final = pytest.mark.parametrize("case", CASES)
each_design: Final = pytest.mark.parametrize("design", ["oci", "git"])

MARKED: Final = re.compile(r'^( +)(tag|version): (\S+) # \{"\$imagepolicy": "([^":]+):([^":]+):tag"\}$', re.MULTILINE)
"""Indentation, key, version, namespace and name of the policy. What precedes the marker must be the plain word."""


# --- the objects -----------------------------------------------------------------------------------------------------
def rendered(design: str, **fields: Any) -> tuple[Any, Any]:
    """Chart source and HelmRelease of a release."""
    release = Release(chart="oci://r.example.com/charts/x", version="1.2.3", **fields)
    source, helm = release_objects(make_fleet(design=design), "x", release, policy="ns:policy")
    return source, helm


def test_in_the_oci_design_a_chart_is_a_source_of_its_own() -> None:
    source, release = rendered("oci")
    assert (source["kind"], source["spec"]["url"]) == ("OCIRepository", "oci://r.example.com/charts/x")
    assert source["spec"]["ref"] == {"tag": "1.2.3"}
    assert release["spec"]["chartRef"] == {"kind": "OCIRepository", "name": source["metadata"]["name"]}
    assert "chart" not in release["spec"]


@pytest.mark.covers("R3", "R130", "R132")
def test_in_the_git_design_a_chart_comes_from_a_repository_of_charts() -> None:
    source, release = rendered("git")
    assert source["kind"] == "HelmRepository"
    assert (source["spec"]["type"], source["spec"]["url"]) == ("oci", "oci://r.example.com/charts")
    chart = release["spec"]["chart"]["spec"]
    assert (chart["chart"], chart["version"]) == ("x", "1.2.3")
    assert chart["sourceRef"] == {"kind": "HelmRepository", "name": source["metadata"]["name"]}
    assert "chartRef" not in release["spec"]


@each_design
@pytest.mark.covers("R67", "R176")
def test_the_charts_tests_run_where_they_are_wanted(design: str) -> None:
    """Their failure fails the release: nothing of `ignoreFailures`."""
    assert rendered(design, test=True)[1]["spec"]["test"] == {"enable": True}
    assert "test" not in rendered(design)[1]["spec"]


@each_design
@pytest.mark.parametrize("mode", ["enabled", "disabled"])
def test_changes_in_the_cluster_are_undone_but_for_those_that_may_stay(design: str, mode: str) -> None:
    ignored = [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]
    on = mode == "enabled"
    assert rendered(design, drift_detection=on)[1]["spec"]["driftDetection"] == {"mode": mode}
    detection = rendered(design, drift_detection=on, drift_ignore=ignored)[1]["spec"]["driftDetection"]
    assert detection == {"mode": mode, "ignore": ignored}


@each_design
@pytest.mark.covers("R34", "R68", "R157", "R177")
def test_definitions_come_with_the_chart_and_a_failure_is_tried_again(design: str) -> None:
    spec = rendered(design)[1]["spec"]
    assert (spec["install"]["crds"], spec["upgrade"]["crds"]) == ("Create", "CreateReplace")
    for step in ("install", "upgrade"):
        assert spec[step]["strategy"]["name"] == "RetryOnFailure"
        assert "disableWait" not in spec[step]


@each_case
def test_every_chart_has_one_exact_version(case: str) -> None:
    """A range would reach production before anybody has seen it on staging; image automation moves the version."""
    fleet = load_case(case)
    for workload in (*fleet.components.values(), *fleet.tenants.values()):
        for name, release in ((n, r) for n, r in workload.releases.items() if not r.is_local):
            source, helm = release_objects(fleet, name, release, policy="a:b")
            if fleet.design == "oci":
                assert source["spec"]["ref"] == {"tag": release.version}
            else:
                assert helm["spec"]["chart"]["spec"]["version"] == release.version


LOCAL: Final = {"releases": {"web": {"chart": "./charts/site", "version": "0.1.0", "values": {"replicaCount": 3}}}}


@pytest.mark.parametrize("kind", ["infra", "apps"])
@pytest.mark.covers("R133")
def test_a_chart_in_the_repository_comes_with_the_source_of_its_component_or_tenant(kind: str) -> None:
    """From the GitRepository of the same namespace, each commit a release: the version in Chart.yaml may stay."""
    fleet = make_fleet(design="git", components={"edge": LOCAL}, tenants={"shop": LOCAL | {"team": "platform"}})
    resource_set = tenant_resource_sets(fleet)[kind]
    (source,) = (found for found in resource_set["spec"]["resources"] if found["kind"] == "GitRepository")
    ((name, step),) = {"infra": [("edge", "controllers/base")], "apps": [("shop", "base")]}[kind]
    files = tree(fleet, repositories_of(fleet)[kind])
    (helm,) = read_all(files[f"components/{name}/{step}/web.yaml"])
    chart = helm["spec"]["chart"]["spec"]
    assert chart["sourceRef"] == {"kind": "GitRepository", "name": source["metadata"]["name"]}
    assert source["metadata"]["namespace"] == "<< inputs.tenant >>"
    assert (chart["reconcileStrategy"], "version" in chart) == ("Revision", False)
    assert chart["chart"].startswith("./")
    folder = PurePosixPath(chart["chart"])
    (checked_out,) = source["spec"]["sparseCheckout"]
    assert folder.is_relative_to(checked_out.replace("<< inputs.tenant >>", name))
    made = yaml.safe_load(files[str(folder / "Chart.yaml")])
    assert (made["name"], made["version"]) == ("site", "0.1.0")
    assert helm["spec"]["values"] == {"replicaCount": 3}


def test_no_image_automation_for_a_chart_in_the_repository() -> None:
    fleet = make_fleet(design="git", tenants={"shop": LOCAL | {"team": "platform"}})
    assert list(markers(fleet)) == []
    assert [path for path in tree(fleet, repositories_of(fleet)["apps"]) if path.startswith("update/")] == [
        "update/kustomization.yaml"
    ]
    assert not [source for source in allowed_sources(fleet) if source.startswith(".")]


# --- markers and policies --------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Marker:
    """A version in a repository's tree that image automation may move."""

    repository: Repository
    path: str
    version: str
    namespace: str
    policy: str


def markers(fleet: Fleet) -> Iterator[Marker]:
    for repository in repositories_of(fleet).values():
        for path, content in tree(fleet, repository).items():
            for found in MARKED.finditer(content.decode()):
                _, _, version, namespace, policy = found.groups()
                yield Marker(repository=repository, path=path, version=version, namespace=namespace, policy=policy)


def policies(fleet: Fleet, repository: Repository) -> dict[str, tuple[str, str]]:
    """Image and range of every ImagePolicy that the repository's folder `update` lists, by its name."""
    files = tree(fleet, repository)
    listed = yaml.safe_load(files["update/kustomization.yaml"])["resources"]
    objects = [document for file in listed for document in read_all(files[f"update/{file}"])]
    images = {o["metadata"]["name"]: o["spec"]["image"] for o in objects if o["kind"] == "ImageRepository"}
    return {
        o["metadata"]["name"]: (images[o["spec"]["imageRepositoryRef"]["name"]], o["spec"]["policy"]["semver"]["range"])
        for o in objects
        if o["kind"] == "ImagePolicy"
    }


@each_case
@pytest.mark.covers("R14", "R29", "R46", "R63", "R165")
def test_every_release_has_a_marker_and_every_marker_an_image_policy(case: str) -> None:
    """In the namespace into which image automation puts the policies of that repository, for that chart."""
    fleet = load_case(case)
    namespaces = {i["repository"]: i["namespace"] for i in automation_resource_set(fleet)["spec"]["inputs"]}
    charts = []
    for marker in markers(fleet):
        assert marker.namespace == namespaces[marker.repository.name]
        image, allowed = policies(fleet, marker.repository)[marker.policy]
        assert admits(allowed, marker.version), marker
        _, workload, *_, file = marker.path.split("/")
        assert marker.policy == f"{workload}-{file.removesuffix('.yaml')}"
        charts.append((workload, f"oci://{image}", marker.version))
    releases = [(n, r) for n, w in {**fleet.components, **fleet.tenants}.items() for r in w.releases.values()]
    assert sorted(charts) == sorted((name, r.chart, r.version) for name, r in releases if not r.is_local)


@each_case
def test_no_policy_is_left_without_a_marker(case: str) -> None:
    """It would ask a registry for versions that nobody takes."""
    fleet = load_case(case)
    for repository in repositories_of(fleet).values():
        if repository.automated:
            used = [marker.policy for marker in markers(fleet) if marker.repository == repository]
            assert sorted(used) == sorted(policies(fleet, repository))


@each_design
@pytest.mark.parametrize("newest", ["1.9.0", "1.10.2"])
@pytest.mark.covers("R30", "R64", "R65", "R173")
def test_a_newer_version_is_the_edit_of_one_word(design: str, newest: str) -> None:
    """What the setter makes of the file is what the program renders of the new version: it proposes no way back."""

    def versioned(version: str) -> Fleet:
        release = {"chart": "oci://r.example.com/charts/x", "version": version, "updates": ">=1.2.0 <2.0.0"}
        return make_fleet(design=design, components={"a": {"releases": {"x": release}}})

    fleet = versioned("1.2.3")
    (marker,) = markers(fleet)
    _, allowed = policies(fleet, marker.repository)[marker.policy]
    published = ["1.2.3", "1.2.9", newest, "1.1.0", "2.0.0", "1.99.0-rc.1"]
    chosen = max((version for version in published if admits(allowed, version)), key=precedence)
    before, after = (trees(versioned(version))[marker.repository.name] for version in ("1.2.3", chosen))
    assert chosen == newest
    edited = MARKED.sub(rf'\1\2: {chosen} # {{"$imagepolicy": "\4:\5:tag"}}', before[marker.path].decode())
    assert before | {marker.path: edited.encode()} == after


# --- ranges ----------------------------------------------------------------------------------------------------------
Order = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def precedence(version: str) -> Order:
    """Semantic Versioning 2.0, section 11: a version is above its pre-releases; in these, numbers are below words."""
    core, _, pre = version.removeprefix("v").partition("-")
    parts = (p for p in pre.split(".") if p)
    identifiers = tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts)
    return tuple(int(number) for number in core.split(".")), not pre, identifiers


def admits(allowed: str, version: str) -> bool:
    """As image-reflector-controller does for `1.x` and for comparisons; pre-releases only if the range has one."""
    if allowed.endswith(".x"):
        return version.removeprefix("v").startswith(allowed.removesuffix("x")) and "-" not in version
    results = []
    for comparison in allowed.split():
        operator, bound = re.fullmatch(r"(>=|<=|>|<|=)(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)", comparison).groups()  # type: ignore[union-attr]
        ours, theirs = precedence(version), precedence(bound)
        fits = {">=": ours >= theirs, "<=": ours <= theirs, ">": ours > theirs, "<": ours < theirs, "=": ours == theirs}
        results.append(fits[operator] and ("-" not in version or "-" in bound))
    return all(results)


@pytest.mark.parametrize(
    ("allowed", "taken", "refused"),
    [
        (">=1.0.0", "1.0.0 2.10.0", "0.9.9 1.0.0-rc.1 2.0.0-rc.1"),
        (">=1.2.0 <2.0.0", "1.2.0 1.10.3", "1.1.9 2.0.0"),
        ("1.x", "1.0.0 v1.10.3", "0.9.9 2.0.0 10.0.0 1.1.0-rc.1"),
        ("0.3.x", "0.3.0 0.3.12", "0.4.0 0.30.0 1.3.0"),
        (">=1.2.0-0", "1.2.0-rc.1 1.2.0 1.3.0-alpha", "1.1.9"),
    ],
)
def test_the_reader_of_ranges_reads_them_as_the_controller_does(allowed: str, taken: str, refused: str) -> None:
    """The tests above prove what they say only if this holds."""
    assert [v for v in [*taken.split(), *refused.split()] if admits(allowed, v)] == taken.split()
    assert sorted(["1.2.0", "1.2.0-rc.2", "1.2.0-rc.10", "1.2.0-1"], key=precedence) == [
        "1.2.0-1",
        "1.2.0-rc.2",
        "1.2.0-rc.10",
        "1.2.0",
    ]
