"""The variables of a cluster, and that the program fills them in as Flux does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from fleet.manifests.delivery import tenant_resource_sets
from fleet.manifests.dump import dump
from fleet.manifests.runtime import runtime_config_map, runtime_info, substituted
from fleet.model.checks import RUNTIME_KEYS
from tests.rendering import CASES, load_case, make_fleet, read_all

FLEET: Final = make_fleet(
    environments={"qa": {"tracks": "main"}, "production": {"tracks": "releases"}},
    clusters={
        "one": {"environment": "qa", "domain": "qa.example.com", "runtimeInfo": {"REGION": "eu"}},
        "two": {"environment": "production"},
    },
)


@pytest.mark.parametrize(
    ("cluster", "info"),
    [
        (
            "one",
            {
                "ENVIRONMENT": "qa",
                "CLUSTER_NAME": "one",
                "CLUSTER_DOMAIN": "qa.example.com",
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
                "ARTIFACT_TAG": "latest-stable",
                "ARTIFACT_SUBJECT_WORKFLOW": "release-artifact",
                "ARTIFACT_SUBJECT_GIT_REF": "refs/tags/COMPONENT/v[0-9]+[.][0-9]+[.][0-9]+",
            },
        ),
    ],
)
def test_a_cluster_follows_what_its_environment_tracks(cluster: str, info: dict[str, str]) -> None:
    assert runtime_info(FLEET, cluster) == info


def test_every_computed_variable_is_reserved() -> None:
    assert runtime_info(FLEET, "two").keys() < set(RUNTIME_KEYS)


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
        for manifest in tenant_resource_sets(fleet):
            assert substituted(manifest, variables) == flux_substitutes(manifest, variables)


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
