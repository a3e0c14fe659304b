"""The Flux Operator: its namespace and its Helm release, until Flux upgrades that release itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi

from fleet import names
from fleet.config import Settings
from fleet.manifests.operator import operator_values
from fleet.ownership import Verdict
from fleet.resources.options import Scope, managed, managed_annotations

if TYPE_CHECKING:
    from pulumi_kubernetes.helm.v3 import RepositoryOptsArgs

MIRROR_TOKEN = "mirrorToken"  # noqa: S105 the key of a secret


def namespace(scope: Scope) -> pulumi.Resource:
    """Where Flux, its operator and their secrets are."""
    from pulumi_kubernetes.core.v1 import Namespace

    return Namespace(
        scope.resource_name(names.FLUX_NAMESPACE),
        metadata={"name": names.FLUX_NAMESPACE, "annotations": managed_annotations()},
        opts=managed(scope, anchor=True, kept=True),
    )


def install(
    scope: Scope, settings: Settings, verdict: Verdict, depends_on: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """The release. It comes after the secrets, which a mirror may ask its pod for.

    An adopted release is only read: ignore_changes does not survive a refresh and would roll Flux's upgrade back.
    With an unknown verdict it is planned like ours, which touches nothing in a preview.
    """
    from pulumi_kubernetes.helm.v3 import Release

    fleet, stack = settings.fleet, settings.stack
    name, options = scope.resource_name(names.OPERATOR), managed(scope, depends_on, kept=True)
    if verdict.state == "adopted":
        return Release.get(name, f"{names.FLUX_NAMESPACE}/{names.OPERATOR}", opts=options)
    chart = stack.operator_chart or fleet.operator.chart
    return Release(
        name,
        name=names.OPERATOR,
        namespace=names.FLUX_NAMESPACE,
        chart=chart,
        version=stack.operator_version or fleet.operator.version,
        values=operator_values(fleet),
        repository_opts=_signed_in(settings, chart),
        timeout=300,
        opts=options,
    )


def _signed_in(settings: Settings, chart: str) -> RepositoryOptsArgs | None:
    """How the chart is pulled from a mirror; by default as `helm registry login` has signed in whoever runs this."""
    from pulumi_kubernetes.helm.v3 import RepositoryOptsArgs

    mirror = settings.fleet.mirror
    if mirror is None or mirror.user is None or not mirror.serves(chart):
        return None
    return RepositoryOptsArgs(username=mirror.user, password=settings.secrets[MIRROR_TOKEN])
