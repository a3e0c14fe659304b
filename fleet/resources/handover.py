"""What the program applies first and Flux then takes over: the ResourceSets and the FluxInstance.

The same objects lie in the fleet repository. The ResourceSets come before the instance: once that syncs, they are
Flux's, and a second write at the same moment could only conflict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi

from fleet import names
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.instance import flux_instance as instance_manifest
from fleet.manifests.runtime import runtime_info, substituted
from fleet.model import Fleet
from fleet.model.base import Manifest
from fleet.ownership import OURS, Verdict
from fleet.resources.live import Verdicts
from fleet.resources.options import Scope, gitops, gitops_annotations, managed_annotations


def resource_sets(
    scope: Scope,
    fleet: Fleet,
    variables: Mapping[str, pulumi.Input[str]],
    verdicts: Verdicts,
    depends_on: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    """The ResourceSets with the cluster's variables filled in, as Flux will; `variables` are those of the stack."""
    known = {**variables, **runtime_info(fleet, scope.cluster)}
    return [
        _apply(scope, _filled(manifest, known), verdicts.resource_set(name), depends_on)
        for name, manifest in resource_sets_of(fleet, scope.cluster).items()
    ]


def _filled(manifest: Manifest, variables: Mapping[str, pulumi.Input[str]]) -> Manifest:
    """Only the spec has variables; it is known when those are that it names."""
    text = json.dumps(manifest)
    named = {name: value for name, value in variables.items() if f"${{{name}}}" in text}
    plain = {name: value for name, value in named.items() if isinstance(value, str)}
    if plain == named:
        return manifest | {"spec": substituted(manifest["spec"], plain)}
    spec = pulumi.Output.all(**named).apply(lambda known: substituted(manifest["spec"], known))
    return manifest | {"spec": spec}


def flux_instance(
    scope: Scope, fleet: Fleet, found: Verdicts, timeout: int, depends_on: Sequence[pulumi.Resource]
) -> pulumi.CustomResource:
    """The FluxInstance; while it is ours, waits until it is Ready, at most `timeout` seconds.

    The folder of a renamed cluster has moved in Git, and Flux, which follows the old one, cannot learn of it there: the
    instance is ours once more, by force, until Flux applies it from the new folder.
    """
    manifest, verdict, annotations = instance_manifest(fleet, scope.cluster), found.instance, dict[str, str]()
    moved = scope.renamed and found.path not in ("", manifest["spec"]["sync"]["path"])
    if moved and verdict.state == "adopted":
        verdict, annotations = OURS, managed_annotations()
    if verdict.is_ours_to_write:
        annotations |= {names.ANNOTATION_WAIT_FOR: "condition=Ready", names.ANNOTATION_TIMEOUT: str(timeout)}
    return _apply(scope, manifest, verdict, depends_on, annotations, anchor=True)


def _apply(
    scope: Scope,
    manifest: Manifest,
    verdict: Verdict,
    depends_on: Sequence[pulumi.Resource],
    annotations: dict[str, str] | None = None,
    *,
    anchor: bool = False,
) -> pulumi.CustomResource:
    from pulumi_kubernetes.apiextensions import CustomResource

    metadata = manifest["metadata"]
    added = gitops_annotations(verdict) | (annotations or {})
    if added:
        metadata = metadata | {"annotations": metadata.get("annotations", {}) | added}
    kind, name = manifest["kind"], metadata["name"]
    return CustomResource(
        scope.resource_name(f"{kind.lower()}-{name}"),
        api_version=manifest["apiVersion"],
        kind=kind,
        metadata=metadata,
        spec=manifest["spec"],
        opts=gitops(scope, verdict, f"{names.FLUX_NAMESPACE}/{name}", depends_on, anchor=anchor),
    )
