"""Kustomize folders: a base, and one overlay for each environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fleet import names
from fleet.manifests.releases import release_objects, values_patch
from fleet.model import Config, Release
from fleet.model.base import Manifest
from fleet.model.catalog import merge
from fleet.model.tenant import TextFiles

Files = Iterator[tuple[str, Any]]


def kustomization(resources: Iterable[str], patches: Iterable[str] = (), **more: Any) -> Manifest:
    body: Manifest = {
        "apiVersion": names.KUSTOMIZE_CONFIG_API,
        "kind": "Kustomization",
        "resources": list(resources),
    }
    paths = [{"path": path} for path in patches]
    return body | ({"patches": paths} if paths else {}) | more


def release_files(
    folder: str,
    releases: Mapping[str, Release],
    environments: Iterable[str],
    *,
    design: str,
    policy: Callable[[str], str],
) -> Files:
    """Base with a file a release; overlays with a file of values for each release that differs there.

    `policy` names the ImagePolicy of a release.
    """
    yield f"{folder}/base/kustomization.yaml", kustomization(f"{name}.yaml" for name in releases)
    for name, release in releases.items():
        objects = release_objects(name, release, design=design, policy=policy(name))
        yield f"{folder}/base/{name}.yaml", objects
    yield from _overlays(folder, releases, environments, patch=values_patch, suffix="-values")


def config_files(
    folder: str, configs: Mapping[str, Config], config_maps: Mapping[str, TextFiles], environments: Iterable[str]
) -> Files:
    """Base with a file a custom resource and the ConfigMaps' files; overlays with a patch for each that differs."""
    base = kustomization(f"{name}.yaml" for name in configs)
    if config_maps:
        base["configMapGenerator"] = [_generator(name, text_files) for name, text_files in config_maps.items()]
    yield f"{folder}/base/kustomization.yaml", base
    for name, config in configs.items():
        yield f"{folder}/base/{name}.yaml", config.base
    for text_files in config_maps.values():
        yield from ((f"{folder}/base/{file}", text.encode()) for file, text in text_files.files.items())

    def patch(name: str, differing: Manifest) -> Manifest:
        return _patch(configs[name].base, differing)

    yield from _overlays(folder, configs, environments, patch=patch)


def _generator(name: str, text_files: TextFiles) -> Manifest:
    """Nothing in the files is a variable of Flux, though it may look like one (`${DS_PROMETHEUS}`)."""
    options: Manifest = {"disableNameSuffixHash": True, "annotations": {names.ANNOTATION_SUBSTITUTE: "disabled"}}
    if text_files.labels:
        options["labels"] = text_files.labels
    return {"name": name, "files": list(text_files.files), "options": options}


def _overlays(
    folder: str,
    entries: Mapping[str, Release | Config],
    environments: Iterable[str],
    *,
    patch: Callable[[str, Manifest], Manifest],
    suffix: str = "",
) -> Files:
    """A folder an environment, with a patch for each entry that differs there."""
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
