"""What the components of managed clusters share: the options of their parts, names within the clouds' limits, and
kubeconfigs without a credential.

Left out on purpose: anything of one cloud.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

READERS: Final = ("source-controller", "image-reflector-controller")
"""Flux's controllers that ask registries."""
DECRYPTERS: Final = ("kustomize-controller",)
"""Flux's controllers that open what SOPS has sealed."""
SLOW: Final = pulumi.CustomTimeouts(create="60m", update="3h", delete="60m")
"""For clusters and node pools: an upgrade replaces the nodes one by one, and the providers' own limits are shorter."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where the resources of one component belong."""

    name: str
    """The name that the cluster was made by."""
    protect: bool
    """Whether the anchors are protected: the cluster and its keys."""
    provider: pulumi.ProviderResource
    parent: pulumi.Resource

    def options(
        self,
        *,
        anchor: bool = False,
        depends_on: Sequence[pulumi.Resource] = (),
        deleted_with: pulumi.Resource | None = None,
        ignore_changes: Sequence[str] = (),
        fixed_name: bool = False,
        slow: bool = False,
    ) -> pulumi.ResourceOptions:
        """`fixed_name`: it cannot be there twice, so that it goes before its successor comes."""
        return pulumi.ResourceOptions(
            parent=self.parent,
            provider=self.provider,
            protect=self.protect if anchor else None,
            depends_on=list(depends_on),
            deleted_with=deleted_with,
            ignore_changes=list(ignore_changes) or None,
            delete_before_replace=fixed_name or None,
            custom_timeouts=SLOW if slow else None,
        )

    def reading(self) -> pulumi.InvokeOutputOptions:
        """Options of a provider's function."""
        return pulumi.InvokeOutputOptions(parent=self.parent, provider=self.provider)


def digest(text: str) -> str:
    """Eight characters that tell this text from others."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def short(name: str, limit: int) -> str:
    """The name, or its beginning and a digest of all of it, in at most `limit` characters."""
    return name if len(name) <= limit else f"{name[: limit - 9].rstrip('-')}-{digest(name)}"


def unique(identity: str) -> str:
    """The last part of a path, with a digest of all of it: two paths may end alike."""
    return f"{identity.rpartition('/')[2]}-{digest(identity)}"


def kubeconfig(name: str, *, server: str, authority: str, plugin: Mapping[str, Any]) -> str:
    """A kubeconfig (JSON is YAML) whose user is a plug-in: it asks the cloud for a token that soon ends.

    `authority` is the server's certificate authority in base64, `plugin` the `exec` section without its version, the
    latest that lightkube knows.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", **plugin}}}],
    }
    return json.dumps(document)
