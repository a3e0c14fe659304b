"""The only builder of resource options: the policy follows from a word, never from the call site.

*managed*: ours for ever; drift is corrected, with force, since a hand edit would otherwise be a conflict.
*gitops*: ours until Flux adopts it, then Flux's; never forced. The verdict on the live object decides.
*anchor*: managed or gitops, and all of a cluster hangs on it; its removal is refused where the stack protects.
*precious*: people's work hangs on it; the program lets go of it and never deletes it.
*attached*: around a repository on GitHub, and left alone where that goes.

What is on GitHub already but not in the state is imported and then brought into line, in one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi

from fleet import names
from fleet.ownership import Verdict

IGNORED: Final = {"adopted": ["spec"], "unknown": ["spec", "metadata.annotations"]}
"""Parts of a gitops object that are not looked at, by verdict."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Where resources of one cluster belong."""

    cluster: str
    made_as: str
    """The name that the cluster was made by, which a rename leaves in the state."""
    renamed: bool
    """Whether the cluster may have had another name in Git."""
    protect: bool
    """Whether the anchors are protected."""
    lasting: bool
    """Whether others made the cluster, so that it stays when the stack lets go of it."""
    provider: pulumi.ProviderResource
    parent: pulumi.Resource

    def resource_name(self, name: str) -> str:
        """Unique within the stack: the same object exists on every cluster."""
        return f"{self.made_as}-{name}"


@dataclass(frozen=True, kw_only=True)
class GitHubScope:
    """Where the resources around one repository, or those of the whole organisation, belong."""

    name: str
    provider: pulumi.ProviderResource
    parent: pulumi.Resource
    held: frozenset[str]
    """What the stack's state holds already, as `Kind::name`."""

    def resource_name(self, name: str) -> str:
        """Unique within the stack."""
        return f"{self.name}-{name}"

    def taken_over(self, kind: type[pulumi.Resource], name: str, identity: str | None) -> str | None:
        """The id to import by: that on GitHub, unless the state has the resource.

        Some ids to import by are no ids of the state, where they would mean another object: the held one would go.
        """
        return None if f"{kind.__name__}::{self.resource_name(name)}" in self.held else identity


def children(parent: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=parent)


def managed(
    scope: Scope, depends_on: Sequence[pulumi.Resource] = (), *, anchor: bool = False, kept: bool = False
) -> pulumi.ResourceOptions:
    """`kept`: stays on a cluster that lasts, for what Git has put there and only the operator can finish."""
    return pulumi.ResourceOptions(
        parent=scope.parent,
        provider=scope.provider,
        depends_on=list(depends_on),
        protect=scope.protect if anchor else None,
        retain_on_delete=(kept and scope.lasting) or None,
    )


def managed_annotations() -> dict[str, str]:
    return {names.ANNOTATION_PATCH_FORCE: "true"}


def gitops(
    scope: Scope,
    verdict: Verdict,
    identity: str,
    depends_on: Sequence[pulumi.Resource] = (),
    *,
    anchor: bool = False,
) -> pulumi.ResourceOptions:
    """Options of an object with a `spec`; `identity` is `namespace/name`.

    adopted: imported, so that lost state finds it again, and its spec is no longer looked at.
    unknown: planned without touching; importing would need the cluster, and annotations follow from the verdict.
    """
    return pulumi.ResourceOptions(
        parent=scope.parent,
        provider=scope.provider,
        depends_on=list(depends_on),
        import_=identity if verdict.state == "adopted" else None,
        ignore_changes=IGNORED.get(verdict.state),
        protect=scope.protect if anchor else None,
    )


def gitops_annotations(verdict: Verdict) -> dict[str, str]:
    """The manager name that Flux strips on taking over; never on an adopted object, where it would put us back."""
    return {names.ANNOTATION_FIELD_MANAGER: names.FIELD_MANAGER} if verdict.is_ours_to_write else {}


def precious(
    scope: GitHubScope,
    *,
    identity: str | None = None,
    left: Sequence[str] = (),
    depends_on: Sequence[pulumi.Resource] = (),
    archived: bool = False,
) -> pulumi.ResourceOptions:
    """`left` names the properties that are people's own: set when the object is made, and never again.

    `archived`: the provider archives the object instead of deleting it, so it may have it back.
    """
    return pulumi.ResourceOptions(
        parent=scope.parent,
        provider=scope.provider,
        depends_on=list(depends_on),
        import_=identity,
        ignore_changes=list(left) or None,
        retain_on_delete=not archived,
    )


def attached(
    scope: GitHubScope,
    repository: pulumi.Resource,
    *,
    identity: str | None = None,
    left: Sequence[str] = (),
    depends_on: Sequence[pulumi.Resource] = (),
) -> pulumi.ResourceOptions:
    """Deleted before it is replaced: what a repository has by one name, it cannot have twice."""
    return pulumi.ResourceOptions(
        parent=scope.parent,
        provider=scope.provider,
        depends_on=[repository, *depends_on],
        import_=identity,
        ignore_changes=list(left) or None,
        deleted_with=repository,
        delete_before_replace=True,
    )
