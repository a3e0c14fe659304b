"""The Flux Operator: its namespace and its Helm release, until Flux upgrades that release itself."""

from __future__ import annotations

import pulumi

from fleet import names
from fleet.config import Settings
from fleet.manifests.operator import operator_values
from fleet.ownership import Verdict
from fleet.resources.options import Scope, managed, managed_annotations


def install(scope: Scope, settings: Settings, verdict: Verdict) -> list[pulumi.Resource]:
    """The namespace and the release; what comes later depends on both.

    An adopted release is only read: ignore_changes does not survive a refresh and would roll Flux's upgrade back.
    With an unknown verdict it is planned like ours, which touches nothing in a preview.
    """
    from pulumi_kubernetes.core.v1 import Namespace
    from pulumi_kubernetes.helm.v3 import Release

    namespace = Namespace(
        scope.resource_name(names.FLUX_NAMESPACE),
        metadata={"name": names.FLUX_NAMESPACE, "annotations": managed_annotations()},
        opts=managed(scope),
    )
    name, options = scope.resource_name(names.OPERATOR), managed(scope, [namespace])
    if verdict.state == "adopted":
        return [namespace, Release.get(name, f"{names.FLUX_NAMESPACE}/{names.OPERATOR}", opts=options)]
    release = Release(
        name,
        name=names.OPERATOR,
        namespace=names.FLUX_NAMESPACE,
        chart=settings.stack.operator_chart,
        version=settings.stack.operator_version or settings.fleet.operator.version,
        values=operator_values(settings.fleet),
        timeout=300,
        opts=options,
    )
    return [namespace, release]
