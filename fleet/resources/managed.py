"""What stays ours for ever on a cluster: the registry secret and the variables that only the stack knows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import pulumi

from fleet import names
from fleet.manifests.runtime import runtime_config_map
from fleet.model import Fleet
from fleet.resources.options import Scope, managed, managed_annotations


def registry_secret(
    scope: Scope, fleet: Fleet, token: pulumi.Output[str], depends_on: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """The pull secret of the artifacts; secret like the `token` that it is made of.

    Its watch label makes a rotated token reach the tenants' copies at once.
    """
    from pulumi_kubernetes.core.v1 import Secret

    return Secret(
        scope.resource_name(names.REGISTRY_SECRET),
        metadata={
            "name": names.REGISTRY_SECRET,
            "namespace": names.FLUX_NAMESPACE,
            "labels": {names.LABEL_WATCH: "Enabled"},
            "annotations": managed_annotations(),
        },
        type="kubernetes.io/dockerconfigjson",
        string_data={".dockerconfigjson": token.apply(lambda value: _docker_config(fleet, value))},
        opts=managed(scope, depends_on),
    )


def _docker_config(fleet: Fleet, token: str) -> str:
    host, user = fleet.registry.partition("/")[0], fleet.bot.name
    auth = base64.b64encode(f"{user}:{token}".encode()).decode()
    return json.dumps({"auths": {host: {"username": user, "password": token, "auth": auth}}})


def runtime_info(scope: Scope, data: Mapping[str, str], depends_on: Sequence[pulumi.Resource]) -> pulumi.Resource:
    """Our keys of `flux-runtime-info`; the keys of Git come with the sync and are merged into the same object."""
    from pulumi_kubernetes.core.v1 import ConfigMap

    manifest = runtime_config_map(data)
    metadata = manifest["metadata"]
    metadata["annotations"] = metadata["annotations"] | managed_annotations()
    return ConfigMap(
        scope.resource_name(names.RUNTIME_INFO),
        metadata=metadata,
        data=manifest["data"],
        opts=managed(scope, depends_on),
    )
