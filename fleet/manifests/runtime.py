"""The variables of a cluster: what tells staging's manifests from production's, though the files are the same.

Flux fills `${NAME}` in from the ConfigMap; `substituted` does the same for what the program applies itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fleet import names
from fleet.manifests.objects import RELEASE_TAG, config_map, flux_system
from fleet.model import Fleet
from fleet.model.base import Manifest

COMPONENT = "COMPONENT"
"""Stands for the component or tenant in ARTIFACT_SUBJECT_GIT_REF; the ResourceSets put its name in."""


def runtime_info(fleet: Fleet, cluster: str) -> dict[str, str]:
    """Variables of a cluster. In an environment that tracks releases, only a tag of the component itself signs."""
    own = fleet.clusters[cluster]
    info = {
        "ENVIRONMENT": own.environment,
        "CLUSTER_NAME": cluster,
        "CLUSTER_DOMAIN": own.domain or "cluster.local",
        "GIT_PROVIDER": git_provider(fleet, cluster),
    }
    followed = _branch(fleet, cluster) if fleet.design == "git" else _artifact(fleet, cluster)
    return info | followed | own.runtime_info


def git_provider(fleet: Fleet, cluster: str) -> str:
    """How Flux signs in to GitHub: `github` means as an App."""
    return "github" if fleet.environment_of(cluster).auth == "app" else "generic"


def _branch(fleet: Fleet, cluster: str) -> dict[str, str]:
    return {"GIT_BRANCH": fleet.branch_of(cluster)}


def _artifact(fleet: Fleet, cluster: str) -> dict[str, str]:
    environment = fleet.environment_of(cluster)
    releases = environment.tracks == "releases"
    return {
        "REGISTRY_PROVIDER": fleet.flux_of(cluster).registry_provider,
        "ARTIFACT_TAG": environment.artifact_tag,
        "ARTIFACT_SUBJECT_WORKFLOW": "release-artifact" if releases else "push-artifact",
        "ARTIFACT_SUBJECT_GIT_REF": f"refs/tags/{COMPONENT}/{RELEASE_TAG}" if releases else "refs/heads/main",
    }


def runtime_config_map(data: Mapping[str, object]) -> Manifest:
    """The ConfigMap `flux-runtime-info`. Applied by merging: Flux owns the keys of Git, the program the stack's."""
    meta = flux_system(
        names.RUNTIME_INFO,
        labels={names.LABEL_RUNTIME: "true", names.LABEL_WATCH: "Enabled"},
        annotations={names.ANNOTATION_SSA: "Merge"},
    )
    return config_map(meta, dict(data))


def substituted(manifest: Any, variables: Mapping[str, str]) -> Any:
    """`manifest` with `${NAME}` replaced in all its text, as Flux's post-build substitution does; unknown ones go."""
    if isinstance(manifest, dict):
        return {key: substituted(value, variables) for key, value in manifest.items()}
    if isinstance(manifest, list):
        return [substituted(value, variables) for value in manifest]
    if isinstance(manifest, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), manifest)
    return manifest
