"""The few questions that the supervisor asks an API server, over one connection.

Called by `watcher` and `supervisor` alone. `sandbox.program.api` is for the monitor, which wants to know of each
refusal; here an answer that does not come is asked for again a second later, and mostly discovery is asked for.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fleet.names import FLUX_NAMESPACE

if TYPE_CHECKING:
    import httpx2

_DISCOVERY: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_COLLECTIONS: Final = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Node": "/api/v1/nodes",
    "Stage": "/apis/kwok.x-k8s.io/v1alpha1/stages",
}


class ClusterApi:
    """A connection with the identity of one of our kubeconfig files; raises `httpx2.HTTPError`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = _connect(kubeconfig)
        self._etag = ""
        self._kinds: frozenset[str] = frozenset()

    def is_ready(self) -> bool:
        import httpx2

        try:
            return self._client.get("/readyz").is_success
        except httpx2.HTTPError:
            return False

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Server-side apply of a cluster-scoped object of the kinds that the supervisor lays down."""
        self._client.patch(
            f"{_COLLECTIONS[manifest['kind']]}/{manifest['metadata']['name']}",
            params={"fieldManager": "sandbox", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        ).raise_for_status()

    def served_definitions(self) -> frozenset[str]:
        """The kinds that are served, each as `<plural>.<group>`; the server sends the list only when it changed."""
        headers = {"Accept": _DISCOVERY, "If-None-Match": self._etag}
        answer = self._client.get("/apis", headers=headers)
        if answer.status_code != HTTPStatus.NOT_MODIFIED:
            groups = answer.raise_for_status().json()["items"]
            self._kinds = frozenset(
                f"{resource['resource']}.{group['metadata']['name']}"
                for group in groups
                for version in group["versions"]
                for resource in version.get("resources", ())
            )
            self._etag = answer.headers.get("ETag", "")
        return self._kinds

    def describes(self, group: str, version: str, plural: str) -> bool:
        """Whether the server's OpenAPI document has a kind; that of a new definition comes later than the kind."""
        answer = self._client.get(f"/openapi/v3/apis/{group}/{version}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return False
        return any(path.endswith(f"/{plural}") for path in answer.raise_for_status().json()["paths"])

    def deployments(self) -> dict[str, Mapping[str, Any]]:
        """Name → Deployment, of Flux's namespace."""
        path = f"/apis/apps/v1/namespaces/{FLUX_NAMESPACE}/deployments"
        answer = self._client.get(path, params={"resourceVersion": "0"})
        items = answer.raise_for_status().json()["items"]
        return {item["metadata"]["name"]: item for item in items if "deletionTimestamp" not in item["metadata"]}


def _connect(kubeconfig: Path) -> httpx2.Client:
    import httpx2

    content = json.loads(kubeconfig.read_bytes())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return httpx2.Client(
        base_url=cluster["server"],
        verify=ssl.create_default_context(cadata=authority),
        headers={"Authorization": f"Bearer {user['token']}"},
        timeout=5,
        trust_env=False,
    )
