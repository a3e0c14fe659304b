"""Kustomize folders: a base, and one overlay for each environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet import names
from fleet.model import Config
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


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of a base, and what environments change in it."""

    name: str
    content: Any
    patches: Mapping[str, Manifest]
    """By environment."""
    patch: str
    """Name of the patches' file."""


def layers(
    folder: str, parts: Sequence[Part], environments: Iterable[str], config_maps: Mapping[str, TextFiles] | None = None
) -> Files:
    """A base with a file a part, and an overlay an environment with a patch for each part that differs there."""
    base = kustomization(f"{part.name}.yaml" for part in parts)
    if config_maps:
        base["configMapGenerator"] = [_generator(name, texts) for name, texts in config_maps.items()]
    yield f"{folder}/base/kustomization.yaml", base
    for part in parts:
        yield f"{folder}/base/{part.name}.yaml", part.content
    for name, texts in (config_maps or {}).items():
        yield from ((f"{folder}/base/{name}/{file}", text.encode()) for file, text in texts.files.items())
    for environment in environments:
        differing = [part for part in parts if environment in part.patches]
        overlay = kustomization(["../base"], (f"{part.patch}.yaml" for part in differing))
        yield f"{folder}/{environment}/kustomization.yaml", overlay
        for part in differing:
            yield f"{folder}/{environment}/{part.patch}.yaml", part.patches[environment]


def config_parts(configs: Mapping[str, Config]) -> list[Part]:
    """Objects as they are."""
    return [
        Part(
            name=name,
            content=config.base,
            patches={environment: _patch(config.base, given) for environment, given in config.environments.items()},
            patch=name,
        )
        for name, config in configs.items()
    ]


def _generator(name: str, texts: TextFiles) -> Manifest:
    """Nothing in the files is a variable of Flux, though it may look like one (`${DS_PROMETHEUS}`)."""
    options: Manifest = {"disableNameSuffixHash": True, "annotations": {names.ANNOTATION_SUBSTITUTE: "disabled"}}
    if texts.labels:
        options["labels"] = texts.labels
    return {"name": name, "files": [f"{name}/{file}" for file in texts.files], "options": options}


def _patch(base: Manifest, differing: Manifest) -> Manifest:
    """What differs, with the identity by which kustomize finds the object in the base."""
    known = ("name", "namespace")
    metadata = {key: value for key, value in base["metadata"].items() if key in known}
    return merge({"apiVersion": base["apiVersion"], "kind": base["kind"], "metadata": metadata}, differing)
