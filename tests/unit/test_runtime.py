"""The variables of a cluster, and that the program fills them in as Flux does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.dump import dump
from fleet.manifests.runtime import runtime_config_map, runtime_info, substituted
from fleet.manifests.trees import trees
from fleet.model import Fleet
from fleet.model.variables import RUNTIME_KEYS
from tests.rendering import CASES, load_case, make_fleet, read_all, tree_of

SECTIONS: Final[dict[str, Any]] = {
    "environments": {"qa": {"tracks": "main"}, "production": {"tracks": "releases"}},
    "clusters": {
        "one": {"environment": "qa", "domain": "qa.example.com", "runtimeInfo": {"REGION": "eu"}},
        "two": {"environment": "production"},
    },
}
FLEET: Final = make_fleet(**SECTIONS)


@pytest.mark.parametrize(
    ("cluster", "info"),
    [
        (
            "one",
            {
                "ENVIRONMENT": "qa",
                "CLUSTER_NAME": "one",
                "CLUSTER_DOMAIN": "qa.example.com",
                "GIT_PROVIDER": "generic",
                "REGISTRY_PROVIDER": "generic",
                "ARTIFACT_TAG": "latest",
                "ARTIFACT_SUBJECT_WORKFLOW": "push-artifact",
                "ARTIFACT_SUBJECT_GIT_REF": "refs/heads/main",
                "REGION": "eu",
            },
        ),
        (
            "two",
            {
                "ENVIRONMENT": "production",
                "CLUSTER_NAME": "two",
                "CLUSTER_DOMAIN": "cluster.local",
                "GIT_PROVIDER": "generic",
                "REGISTRY_PROVIDER": "generic",
                "ARTIFACT_TAG": "latest-stable",
                "ARTIFACT_SUBJECT_WORKFLOW": "release-artifact",
                "ARTIFACT_SUBJECT_GIT_REF": "refs/tags/COMPONENT/v[0-9]+[.][0-9]+[.][0-9]+",
            },
        ),
    ],
)
@pytest.mark.covers("R86", "R87", "R95")
def test_a_cluster_follows_what_its_environment_tracks(cluster: str, info: dict[str, str]) -> None:
    assert runtime_info(FLEET, cluster) == info


@pytest.mark.parametrize(("auth", "provider"), [("token", "generic"), ("app", "github")])
@pytest.mark.covers("R25", "R27", "R55")
def test_in_the_git_design_a_cluster_follows_a_branch(auth: str, provider: str) -> None:
    """And signs in as its environment does; nothing of artifacts is there."""
    environments = {name: e | {"auth": auth} for name, e in SECTIONS["environments"].items()}
    fleet = make_fleet(design="git", **SECTIONS | {"environments": environments})
    found = {name: runtime_info(fleet, name) for name in fleet.clusters}
    assert {name: info["GIT_BRANCH"] for name, info in found.items()} == {"one": "main", "two": "production"}
    assert {info["GIT_PROVIDER"] for info in found.values()} == {provider}
    assert not [key for info in found.values() for key in info if key.startswith("ARTIFACT")]


@pytest.mark.parametrize("design", ["oci", "git"])
def test_every_computed_variable_is_reserved(design: str) -> None:
    """The stack's own are set beside them."""
    computed = runtime_info(make_fleet(design=design, **SECTIONS), "two").keys() | {"FLEET_STACK"}
    assert computed < set(RUNTIME_KEYS)


def test_no_other_variable_is_reserved() -> None:
    computed = {key for design in ("oci", "git") for key in runtime_info(make_fleet(design=design), "staging")}
    assert computed | {"FLEET_STACK", "FLEET_CLUSTER"} == set(RUNTIME_KEYS)


def test_the_config_map_is_copied_at_once_and_merged_with_what_git_has() -> None:
    metadata = runtime_config_map({})["metadata"]
    assert metadata["labels"] == {
        "toolkit.fluxcd.io/runtime": "true",
        "reconcile.fluxcd.io/watch": "Enabled",
    }
    assert metadata["annotations"] == {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}


def flux_substitutes(manifest: Any, variables: Mapping[str, str]) -> Any:
    """As fluxcd/pkg does: in the YAML text of the object, unknown ones with nothing, then read anew."""
    text = re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), dump(manifest).decode())
    (read,) = read_all(text)
    return read


@pytest.mark.parametrize("case", CASES)
def test_the_program_applies_the_resource_sets_that_flux_makes_of_the_tree(case: str) -> None:
    """Any difference would be undone by Flux and done again by the program, for ever."""
    fleet = load_case(case)
    for cluster in fleet.clusters:
        variables = runtime_info(fleet, cluster)
        for manifest in resource_sets_of(fleet, cluster).values():
            assert substituted(manifest, variables) == flux_substitutes(manifest, variables)


VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
SUBSTITUTE: Final = "kustomize.toolkit.fluxcd.io/substitute"


@pytest.mark.parametrize("case", CASES)
def test_no_variable_is_missing_on_any_cluster_that_it_is_filled_in_for(case: str) -> None:
    """Flux 2.9 refuses a Kustomization with a variable that is not there, where it used to leave it out."""
    fleet = load_case(case)
    used = {path: set(VARIABLE.findall(text)) for path, text in applied_texts(fleet).items()}
    assert any(used.values())
    for cluster in fleet.clusters:
        known = runtime_info(fleet, cluster).keys()
        assert {path: names - known for path, names in used.items() if names - known} == {}


def applied_texts(fleet: Fleet) -> dict[str, str]:
    """The files that Flux fills variables in; those of a ConfigMap are exempt, where its generator says so."""
    texts: dict[str, str] = {}
    for repository, tree in trees(fleet).items():
        exempt = {file for path in tree if path.endswith("/kustomization.yaml") for file in exempted(path, tree[path])}
        for path, content in tree.items():
            if path.startswith(("tenants/", "components/", "update/")) and path not in exempt:
                texts[f"{repository}/{path}"] = content.decode()
    return texts


def exempted(path: str, kustomization: bytes) -> list[str]:
    """Files of the ConfigMaps that say so."""
    (read,) = read_all(kustomization)
    made = [
        generator
        for generator in read.get("configMapGenerator", ())
        if generator["options"].get("annotations", {}).get(SUBSTITUTE) == "disabled"
    ]
    return [f"{path.rpartition('/')[0]}/{file}" for generator in made for file in generator["files"]]


def test_what_a_cluster_folder_holds_has_no_variables() -> None:
    """Flux's own Kustomization fills none in."""
    for case in CASES:
        for path, content in tree_of(load_case(case), "fleet").items():
            assert not path.startswith("clusters/") or not VARIABLE.search(content.decode()), path


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "1"),
        ("a-${A}-${B}", "a-1-two"),
        ("${UNKNOWN}x", "x"),
        ("$A ${} ${A-B}", "$A ${} ${A-B}"),
        ("<< inputs.x >>", "<< inputs.x >>"),
    ],
)
def test_variables_are_filled_in_wherever_there_is_text(text: str, filled: str) -> None:
    given = {"k": [text, {"n": text}], "number": 1, "nothing": None, "yes": True}
    wanted = {"k": [filled, {"n": filled}], "number": 1, "nothing": None, "yes": True}
    assert substituted(given, {"A": "1", "B": "two"}) == wanted
