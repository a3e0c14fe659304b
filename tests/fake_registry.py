"""A registry in memory, behind an HTTP client that never leaves the process; for tests of whoever pushes or pulls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import httpx2


class FakeRegistry:
    """The part of the distribution API that a push needs, with its rules: no blob, no manifest."""

    def __init__(self, place: str = "{repository}/uploads/1?_state=xyz") -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.written: list[str] = []
        self._place = place

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if request.method in {"POST", "PUT"}:
            self.written.append(f"{request.method} {path}")
        if path.endswith("/blobs/uploads/"):
            place = "/upload/" + self._place.format(repository=path.removesuffix("/blobs/uploads/"))
            return httpx2.Response(202, headers={"Location": place})
        if path.startswith("/upload/"):
            return self._finish_upload(request)
        key = path.rpartition("/")[2]
        if request.method == "PUT":
            return self._put_manifest(key, request.content)
        found = (self.blobs if "/blobs/" in path else self.manifests).get(key)
        if found is None:
            return httpx2.Response(404)
        return httpx2.Response(200, headers={"Docker-Content-Digest": sha256(found)}, content=found)

    def _finish_upload(self, request: httpx2.Request) -> httpx2.Response:
        digest = request.url.params["digest"]
        state_is_lost = "_state" in self._place and "_state" not in request.url.params
        if state_is_lost or sha256(request.content) != digest:
            return httpx2.Response(400, text="digest or state is wrong")
        self.blobs[digest] = request.content
        return httpx2.Response(201)

    def _put_manifest(self, tag: str, content: bytes) -> httpx2.Response:
        manifest = json.loads(content)
        if not {part["digest"] for part in [manifest["config"], *manifest["layers"]]} <= self.blobs.keys():
            return httpx2.Response(404, text="MANIFEST_BLOB_UNKNOWN")
        self.manifests[tag] = self.manifests[sha256(content)] = content
        return httpx2.Response(201)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def connect(answer: Callable[[httpx2.Request], httpx2.Response]) -> httpx2.Client:
    return httpx2.Client(base_url="http://registry", transport=httpx2.MockTransport(answer))
