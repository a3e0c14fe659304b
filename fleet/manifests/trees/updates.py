"""The folder `update` of a repository: which versions image automation may take for each release."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fleet.manifests.automation import FOLDER, policy, policy_name
from fleet.manifests.trees.overlay import Files, kustomization
from fleet.model import Repository, Workload


def update_policy(repository: Repository, workload: str) -> Callable[[str], str]:
    """By the name of a release, the ImagePolicy that its marker names: `namespace:name`."""
    return lambda release: f"{repository.update_namespace}:{policy_name(workload, release)}"


def update_files(repository: Repository, workloads: Mapping[str, Workload]) -> Files:
    """A file a release, and the list of them."""
    policies = {
        policy_name(name, release): spec
        for name, workload in workloads.items()
        for release, spec in workload.releases.items()
    }
    yield f"{FOLDER}/kustomization.yaml", kustomization(f"{name}.yaml" for name in policies)
    for name, release in policies.items():
        yield f"{FOLDER}/{name}.yaml", policy(name, release)
