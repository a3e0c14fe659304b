"""Definitions for the kinds that charts would bring: no chart is installed here, yet their objects must be taken.

Called by `sandbox.up` with the trees that are published, before anything applies them, so that whatever component a
user adds has its kinds. The definitions take anything, and an object without status counts as healthy.
Left out on purpose: removing those that are no longer used; and knowing the scope of a kind, which stands in no
manifest: cluster-wide is what is named `Cluster…`. A Kustomization's `targetNamespace` makes either of them work.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sandbox.cluster.objects import Kind, permissive_definition
from sandbox.program.api import Api, Object

CRD_API: Final = "apiextensions.k8s.io/v1"
CRD: Final = "CustomResourceDefinition"
PERMISSIVE: Final = "sandbox.fleet/permissive"
"""Annotation on a definition of ours; those of others are never touched."""
LOCAL: Final = frozenset({"kustomize.config.k8s.io", "kind.x-k8s.io"})
"""Groups of files that tools read and no API server is given."""


def define_kinds(api: Api, trees: Iterable[Mapping[str, bytes]], crds: Path) -> None:
    """Defines on a cluster each kind that `trees` use and that neither it nor the CRDs below `crds` will know."""
    live = {item["metadata"]["name"]: item for item in api.list_all(CRD_API, "customresourcedefinitions")}
    own = api.groups() - {item["spec"]["group"] for item in live.values()}
    unknown = unknown_kinds(trees, own | groups_of(crds))
    for name, kinds in itertools.groupby(unknown, key=lambda kind: kind.definition):
        first, *others = kinds
        known = _versions(live.get(name))
        if known is not None and (new := [k.version for k in (first, *others) if k.version not in known]):
            _define(api, first, [*known, *new])


def _versions(definition: Object | None) -> list[str] | None:
    """Those of a definition of ours, which must stay, as objects may be stored in them; `None` for that of others."""
    if definition is None:
        return []
    if PERMISSIVE not in definition["metadata"].get("annotations", {}):
        return None
    return [version["name"] for version in definition["spec"]["versions"]]


def unknown_kinds(trees: Iterable[Mapping[str, bytes]], known: Iterable[str]) -> list[Kind]:
    """The kinds that trees use, each version of them, without groups that are `known` and kinds that they define."""
    objects = [found for tree in trees for found in _objects(tree)]
    defined = {found["metadata"].get("name") for found in objects if found["kind"] == CRD}
    kinds = {_kind(found["apiVersion"], found["kind"]) for found in objects if "/" in found["apiVersion"]}
    left_out = {*known, *LOCAL}
    wanted = (kind for kind in kinds if kind.group not in left_out and kind.definition not in defined)
    return sorted(wanted, key=lambda kind: (kind.group, kind.kind, kind.version))


def groups_of(crds: Path) -> frozenset[str]:
    """The API groups that the definitions below a folder serve, once the operator or Flux applies them."""
    texts = (path.read_text() for path in crds.rglob("*.yaml"))
    return frozenset(group for text in texts for group in re.findall(r"^  group: (\S+)$", text, re.MULTILINE))


def _define(api: Api, kind: Kind, versions: list[str]) -> None:
    body = permissive_definition(kind, versions)
    annotations = {PERMISSIVE: "true"}
    if kind.group.endswith(".k8s.io"):
        annotations["api-approved.kubernetes.io"] = "unapproved, of the sandbox"  # refused without
    body["metadata"]["annotations"] = annotations
    ref = api.ref(CRD_API, CRD, kind.definition, "")
    api.apply(ref, body, manager="sandbox", force=True)


def _kind(api_version: str, kind: str) -> Kind:
    group, _, version = api_version.rpartition("/")
    cluster_wide = kind.startswith("Cluster") and kind != "Cluster"
    return Kind(group=group, version=version, kind=kind, plural=_plural(kind.lower()), namespaced=not cluster_wide)


def _plural(word: str) -> str:
    """The customary plural, for `kubectl get` and the roles that name it."""
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search(r"(s|x|ch|sh)$", word) else f"{word}s"


def _objects(tree: Mapping[str, bytes]) -> Iterator[Mapping[str, Any]]:
    import yaml

    for path, content in tree.items():
        if path.endswith((".yaml", ".yml")) and b"apiVersion" in content:
            with suppress(yaml.YAMLError):  # a file that a ConfigMap takes as text
                for document in yaml.load_all(content, yaml.CSafeLoader):
                    yield from _within(document)


def _within(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in a document, those in the lists and templates of others too; a mere reference has no metadata."""
    if isinstance(value, list):
        for item in value:
            yield from _within(item)
    elif isinstance(value, Mapping):
        if isinstance(value.get("apiVersion"), str) and isinstance(value.get("metadata"), Mapping) and "kind" in value:
            yield value
        for item in value.values():
            yield from _within(item)
