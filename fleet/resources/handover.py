"""What the program applies first and Flux then takes over: the ResourceSets and the FluxInstance.

The same objects lie in the fleet repository. The ResourceSets come before the instance: once that syncs, they are
Flux's, and a second write at the same moment could only conflict.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from fleet import names
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.instance import flux_instance as instance_manifest
from fleet.manifests.runtime import runtime_info, substituted
from fleet.model import Fleet
from fleet.model.base import Manifest
from fleet.ownership import Verdict
from fleet.resources.live import Verdicts
from fleet.resources.options import Scope, gitops, gitops_annotations


def resource_sets(
    scope: Scope, fleet: Fleet, verdicts: Verdicts, depends_on: Sequence[pulumi.Resource]
) -> list[pulumi.Resource]:
    """The ResourceSets with the cluster's variables filled in, as Flux will fill them in."""
    variables = runtime_info(fleet, scope.cluster)
    return [
        _apply(scope, substituted(manifest, variables), verdicts.resource_set(name), depends_on)
        for name, manifest in resource_sets_of(fleet, scope.cluster).items()
    ]


def flux_instance(
    scope: Scope, fleet: Fleet, verdict: Verdict, timeout: int, depends_on: Sequence[pulumi.Resource]
) -> pulumi.CustomResource:
    """The FluxInstance; while it is ours, waits until it is Ready, at most `timeout` seconds."""
    waiting = {names.ANNOTATION_WAIT_FOR: "condition=Ready", names.ANNOTATION_TIMEOUT: str(timeout)}
    return _apply(
        scope, instance_manifest(fleet, scope.cluster), verdict, depends_on, waiting if verdict.is_ours_to_write else {}
    )


def _apply(
    scope: Scope,
    manifest: Manifest,
    verdict: Verdict,
    depends_on: Sequence[pulumi.Resource],
    annotations: dict[str, str] | None = None,
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
        opts=gitops(scope, verdict, f"{names.FLUX_NAMESPACE}/{name}", depends_on),
    )
