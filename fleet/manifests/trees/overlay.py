"""Kustomize folders: a base, and one overlay for each environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fleet import names
from fleet.manifests.releases import chart_source, helm_release, values_patch
from fleet.model import Config, Release
from fleet.model.base import Manifest
from fleet.model.catalog import merge

Files = Iterator[tuple[str, Any]]


def kustomization(resources: Iterable[str], patches: Iterable[str] = (), **more: Any) -> Manifest:
    body: Manifest = {
        "apiVersion": names.KUSTOMIZE_CONFIG_API,
        "kind": "Kustomization",
        "resources": list(resources),
    }
    paths = [{"path": path} for path in patches]
    return body | ({"patches": paths} if paths else {}) | more


def release_files(folder: str, releases: Mapping[str, Release], environments: Iterable[str]) -> Files:
    """Base with a file a release; overlays with a file of values for each release that differs there."""
    yield f"{folder}/base/kustomization.yaml", kustomization(f"{name}.yaml" for name in releases)
    for name, release in releases.items():
        yield f"{folder}/base/{name}.yaml", (chart_source(name, release), helm_release(name, release))
    for environment in environments:
        values = {
            name: spec.environments[environment] for name, spec in releases.items() if environment in spec.environments
        }
        yield (
            f"{folder}/{environment}/kustomization.yaml",
            kustomization(["../base"], (f"{name}-values.yaml" for name in values)),
        )
        for name, differing in values.items():
            yield f"{folder}/{environment}/{name}-values.yaml", values_patch(name, differing)


def config_files(folder: str, configs: Mapping[str, Config], environments: Iterable[str]) -> Files:
    """Base with a file a custom resource; overlays with a patch for each that differs there."""
    yield f"{folder}/base/kustomization.yaml", kustomization(f"{name}.yaml" for name in configs)
    for name, config in configs.items():
        yield f"{folder}/base/{name}.yaml", config.base
    for environment in environments:
        patches = {
            name: spec.environments[environment] for name, spec in configs.items() if environment in spec.environments
        }
        yield (
            f"{folder}/{environment}/kustomization.yaml",
            kustomization(["../base"], (f"{name}.yaml" for name in patches)),
        )
        for name, differing in patches.items():
            yield f"{folder}/{environment}/{name}.yaml", _patch(configs[name].base, differing)


def _patch(base: Manifest, differing: Manifest) -> Manifest:
    """What differs, with the identity by which kustomize finds the object in the base."""
    known = ("name", "namespace")
    metadata = {key: value for key, value in base["metadata"].items() if key in known}
    return merge({"apiVersion": base["apiVersion"], "kind": base["kind"], "metadata": metadata}, differing)
