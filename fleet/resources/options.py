"""The only builder of resource options: the policy follows from a word, never from the call site.

*managed*: ours for ever; drift is corrected, with force, since a hand edit would otherwise be a conflict.
*gitops*: ours until Flux adopts it, then Flux's; never forced. The verdict on the live object decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from fleet import names
from fleet.ownership import Verdict


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Where resources of one cluster belong."""

    cluster: str
    provider: pulumi.ProviderResource
    parent: pulumi.Resource

    def resource_name(self, name: str) -> str:
        """Unique within the stack: the same object exists on every cluster."""
        return f"{self.cluster}-{name}"


def children(parent: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=parent)


def managed(scope: Scope, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=scope.parent, provider=scope.provider, depends_on=list(depends_on))


def managed_annotations() -> dict[str, str]:
    return {names.ANNOTATION_PATCH_FORCE: "true"}


def gitops(
    scope: Scope, verdict: Verdict, identity: str, depends_on: Sequence[pulumi.Resource] = ()
) -> pulumi.ResourceOptions:
    """Options of an object with a `spec`; `identity` is `namespace/name`.

    adopted: imported, so that lost state finds it again, and its spec is no longer looked at.
    unknown: planned without touching; importing would need the cluster.
    """
    return pulumi.ResourceOptions(
        parent=scope.parent,
        provider=scope.provider,
        depends_on=list(depends_on),
        import_=identity if verdict.state == "adopted" else None,
        ignore_changes=None if verdict.is_ours_to_write else ["spec"],
    )


def gitops_annotations(verdict: Verdict) -> dict[str, str]:
    """The manager name that Flux strips on taking over; never on an adopted object, where it would put us back."""
    return {names.ANNOTATION_FIELD_MANAGER: names.FIELD_MANAGER} if verdict.is_ours_to_write else {}
