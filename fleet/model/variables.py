"""Variables of a cluster: those that the program computes, which nobody else may set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fleet.errors import Problem

RUNTIME_KEYS = (
    "ENVIRONMENT",
    "CLUSTER_NAME",
    "CLUSTER_DOMAIN",
    "GIT_BRANCH",
    "GIT_PROVIDER",
    "REGISTRY_PROVIDER",
    "ARTIFACT_TAG",
    "ARTIFACT_SUBJECT_WORKFLOW",
    "ARTIFACT_SUBJECT_GIT_REF",
    "FLEET_STACK",
    "FLEET_CLUSTER",
)
"""Variables that the program computes; nobody else may set them."""


def reserved_variables(variables: Mapping[str, str], path: str) -> Iterator[Problem]:
    for key in variables:
        if key in RUNTIME_KEYS:
            yield Problem(f"{path}.{key}", f"`{key}` is computed by the program", "choose another name")
