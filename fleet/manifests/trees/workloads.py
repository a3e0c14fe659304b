"""What components and tenants have in common in a repository: releases, the charts among them, and update policies."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.manifests.automation import FOLDER, policy
from fleet.manifests.releases import local_release, release_objects, values_patch
from fleet.manifests.trees.documents import chart_files
from fleet.manifests.trees.overlay import Files, Part, kustomization
from fleet.model import Fleet, Repository, Workload
from fleet.model.repository import policy_name


def folder_of(workload: str) -> str:
    """Of a component or tenant in its repository; in the oci design it is published as an artifact of its own."""
    return f"components/{workload}"


def release_parts(fleet: Fleet, repository: Repository, name: str, workload: Workload, source: str) -> list[Part]:
    """`source` is the name of the workload's own source on a cluster."""
    parts = []
    for release, spec in workload.releases.items():
        if spec.is_local:
            content: object = local_release(fleet, release, spec, source=source, folder=folder_of(name))
        else:
            mark = f"{repository.update_namespace}:{policy_name(name, release)}"
            content = release_objects(fleet, release, spec, policy=mark)
        patches = {environment: values_patch(release, values) for environment, values in spec.environments.items()}
        parts.append(Part(name=release, content=content, patches=patches, patch=f"{release}-values"))
    return parts


def local_charts(fleet: Fleet, name: str, workload: Workload) -> Files:
    """A chart to start from for each release whose chart lies in the repository."""
    for spec in workload.releases.values():
        if spec.is_local:
            chart = spec.chart.removeprefix("./")
            yield from chart_files(fleet, f"{folder_of(name)}/{chart}", chart.rpartition("/")[2], spec.version)


def update_files(fleet: Fleet, workloads: Mapping[str, Workload]) -> Files:
    """Which versions image automation may take: a file a release, and the list of them."""
    policies = {
        policy_name(name, release): spec
        for name, workload in workloads.items()
        for release, spec in workload.releases.items()
        if not spec.is_local
    }
    yield f"{FOLDER}/kustomization.yaml", kustomization(f"{name}.yaml" for name in policies)
    for name, release in policies.items():
        yield f"{FOLDER}/{name}.yaml", policy(fleet, name, release)
