"""Kustomize folders: a base, and one overlay for each environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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

    def base(name: str) -> tuple[Manifest, ...]:
        return chart_source(name, releases[name]), helm_release(name, releases[name])

    return _layers(folder, releases, environments, base=base, patch=values_patch, suffix="-values")


def config_files(folder: str, configs: Mapping[str, Config], environments: Iterable[str]) -> Files:
    """Base with a file a custom resource; overlays with a patch for each that differs there."""

    def base(name: str) -> Manifest:
        return configs[name].base

    def patch(name: str, differing: Manifest) -> Manifest:
        return _patch(base(name), differing)

    return _layers(folder, configs, environments, base=base, patch=patch)


def _layers(
    folder: str,
    entries: Mapping[str, Release | Config],
    environments: Iterable[str],
    *,
    base: Callable[[str], Any],
    patch: Callable[[str, Manifest], Manifest],
    suffix: str = "",
) -> Files:
    """A folder with the base of every entry, and one an environment with a patch for each entry that differs there."""
    yield f"{folder}/base/kustomization.yaml", kustomization(f"{name}.yaml" for name in entries)
    for name in entries:
        yield f"{folder}/base/{name}.yaml", base(name)
    for environment in environments:
        overlay = f"{folder}/{environment}"
        differing = {
            name: entry.environments[environment]
            for name, entry in entries.items()
            if environment in entry.environments
        }
        patches = [f"{name}{suffix}.yaml" for name in differing]
        yield f"{overlay}/kustomization.yaml", kustomization(["../base"], patches)
        for file, (name, values) in zip(patches, differing.items(), strict=True):
            yield f"{overlay}/{file}", patch(name, values)


def _patch(base: Manifest, differing: Manifest) -> Manifest:
    """What differs, with the identity by which kustomize finds the object in the base."""
    known = ("name", "namespace")
    metadata = {key: value for key, value in base["metadata"].items() if key in known}
    return merge({"apiVersion": base["apiVersion"], "kind": base["kind"], "metadata": metadata}, differing)
