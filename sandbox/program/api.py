"""A Kubernetes API server over plain HTTP: find a kind, get, list, apply, and say in words why it refused.

Used by `apply`, `conditions` and `helm`, one `Api` a provider, from many threads at once.
lightkube gives the connection (kubeconfig, certificates); its typed client is left out because the monitor must see
exactly what the server says: managers and fields of a conflict, resourceVersion, managedFields.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fleet.errors import ClusterError, Problem

if TYPE_CHECKING:
    import httpx2

KIND_PATIENCE: Final = 30.0
"""Seconds to wait for a kind that is not served: a definition made a moment ago needs time to be established."""
BUSY_TRIES: Final = 10
"""As Kubernetes' own clients: "too many requests" is also what a kind answers while its storage is set up."""
POLL: Final = 0.25
"""Seconds between two looks at an object that is waited for."""

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ref:
    """Names one object; `namespace` is empty for a cluster-wide kind."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind} `{self.namespace}/{self.name}`" if self.namespace else f"{self.kind} `{self.name}`"


class Refusal(ClusterError):
    """The API server answered, but not with what was asked for; `status` is its own account."""

    title = "the API server refused"

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.status = status
        super().__init__([Problem("API server", str(status.get("message") or f"HTTP status {code}"))])


class Api:
    """One API server; thread-safe."""

    def __init__(self, kubeconfig: str) -> None:
        self._client = _connect(kubeconfig)
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}
        self.stopped = threading.Event()
        """Set when the run is interrupted: whoever waits here, gives up."""

    @property
    def address(self) -> str:
        """Host and port, for messages and names."""
        return self._client.base_url.netloc.decode()

    def close(self) -> None:
        self._client.close()

    def ref(self, api_version: str, kind: str, name: str, namespace: str) -> Ref:
        """A `Ref` with `namespace` only where the kind has one; waits a bounded time for an unserved kind."""
        _, namespaced = self._kind(api_version, kind)
        return Ref(api_version=api_version, kind=kind, name=name, namespace=namespace if namespaced else "")

    def get(self, ref: Ref) -> Object | None:
        """The live object, or None if there is none."""
        try:
            return self._send("GET", self._path(ref))
        except Refusal as refusal:
            if refusal.code == 404:
                return None
            raise

    def secrets(self, namespace: str, labels: str) -> list[Object]:
        """The Secrets of a namespace that match a label selector."""
        answer = self._send("GET", f"/api/v1/namespaces/{namespace}/secrets", params={"labelSelector": labels})
        return list(answer["items"])

    def list_all(self, api_version: str, plural: str) -> list[Object]:
        """Every object of a kind in all namespaces; none when the kind is not served."""
        try:
            return list(self._send("GET", f"{_group_path(api_version)}/{plural}")["items"])
        except Refusal as refusal:
            if refusal.code == 404:
                return []
            raise

    def apply(self, ref: Ref, body: Object, *, manager: str, force: bool) -> Object:
        """Server-side apply; a conflict is a `Refusal` with code 409."""
        params = {"fieldManager": manager, "force": str(force).lower()}
        return self._patch(ref, body, "apply-patch+yaml", params)

    def annotate(self, ref: Ref, key: str, value: str | None) -> Object:
        """Set one annotation by merge patch; None takes it away."""
        return self._patch(ref, {"metadata": {"annotations": {key: value}}}, "merge-patch+json", {})

    def groups(self) -> frozenset[str]:
        """The API groups that are served, without the core group."""
        return frozenset(group["name"] for group in self._send("GET", "/apis")["groups"])

    def _kind(self, api_version: str, kind: str) -> tuple[str, bool]:
        """Plural name of a kind and whether it lives in namespaces."""
        deadline = time.monotonic() + KIND_PATIENCE
        while (api_version, kind) not in self._kinds:
            self._discover(api_version)
            if (api_version, kind) in self._kinds:
                break
            if time.monotonic() > deadline or self.stopped.wait(POLL):
                hint = "what brings its CustomResourceDefinition must be applied before: add it to `depends_on`"
                raise ClusterError([Problem(kind, f"`{api_version}` does not serve `{kind}`", hint)])
        return self._kinds[api_version, kind]

    def _discover(self, api_version: str) -> None:
        try:
            answer = self._send("GET", _group_path(api_version))
        except Refusal as refusal:
            if refusal.code != 404:
                raise
            return
        for item in answer["resources"]:
            if "/" not in item["name"]:  # a subresource repeats the kind
                self._kinds[api_version, item["kind"]] = (item["name"], item["namespaced"])

    def _path(self, ref: Ref) -> str:
        plural, _ = self._kind(ref.api_version, ref.kind)
        middle = f"/namespaces/{ref.namespace}" if ref.namespace else ""
        return f"{_group_path(ref.api_version)}{middle}/{plural}/{ref.name}"

    def _patch(self, ref: Ref, body: Object, form: str, params: Mapping[str, str]) -> Object:
        headers = {"Content-Type": f"application/{form}"}
        return self._send("PATCH", self._path(ref), content=json.dumps(body), params=params, headers=headers)

    def _send(self, method: str, path: str, **request: Any) -> Object:
        import httpx2

        try:
            for _ in range(BUSY_TRIES):
                answer = self._client.request(method, path, **request)
                if answer.status_code != 429 or self.stopped.wait(float(answer.headers.get("Retry-After", 1))):
                    break
        except httpx2.HTTPError as error:
            problem = Problem(self.address, f"no answer from the API server: {error}", "is it up?")
            raise ClusterError([problem]) from error
        if answer.is_success:
            return dict(answer.json())
        raise Refusal(answer.status_code, _status(answer))


def _connect(kubeconfig: str) -> httpx2.Client:
    """A client for the current context; errors never show the text, which holds credentials."""
    import httpx2
    import yaml
    from lightkube.config.client_adapter import Client, ConnectionParams
    from lightkube.config.kubeconfig import KubeConfig

    try:
        config = KubeConfig.from_dict(yaml.safe_load(kubeconfig)).get()
        assert config is not None, "there is a current context, or `get` has raised"
        # An HTTP proxy of the environment must not come between us and a loopback address.
        return Client(config, ConnectionParams(timeout=httpx2.Timeout(30), trust_env=False))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it must not be shown
        raise ClusterError([Problem("kubeconfig", "it cannot be read", "give the text of a kubeconfig file")]) from None


def _group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _status(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        status = answer.json()
    except ValueError:
        return {"message": answer.text[:500]}
    return status if isinstance(status, dict) else {}
