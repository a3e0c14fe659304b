"""Pushes a tree of files to an OCI registry as a Flux artifact, as the repositories' workflows would.

Called by `up` for the rendered trees and for the operator's manifests, and by tests. The bytes follow from the content
alone: the same files, source, revision and time give the same digest on each machine with the same zlib, and then
nothing is sent. Give the commit's time as `created`; the present would make every push a new revision.
Left out on purpose: signing (nobody in the sandbox verifies) and authentication (the registry is on loopback).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fleet.errors import Problem, ToolError
from sandbox.sources.packing import pack

if TYPE_CHECKING:
    import httpx2

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.cncf.flux.config.v1+json"
LAYER_TYPE: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"
ANNOTATION: Final = "org.opencontainers.image"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A tree in the form in which a registry keeps it: manifest bytes, and blobs by digest."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


def connect(address: str) -> httpx2.Client:
    """One connection for any number of pushes to the registry at `address` (host:port), to be closed by the caller."""
    import httpx2

    return httpx2.Client(base_url=f"http://{address}", timeout=30, trust_env=False)


def push(
    registry: httpx2.Client, repository: str, files: Mapping[str, bytes], *,
    tags: Sequence[str], source: str, revision: str, created: str,
) -> str:  # fmt: skip
    """Makes every tag point at `files` (path → content) and returns the digest; what is there is not sent again.

    `revision` is `<branch>@sha1:<commit>`, `created` RFC 3339. Raises ToolError when the registry refuses.
    """
    artifact = make_artifact(files, source=source, revision=revision, created=created)
    stale = [tag for tag in tags if _tagged(registry, repository, tag) != artifact.digest]
    if stale and not _head(registry, f"/v2/{repository}/manifests/{artifact.digest}").is_success:
        for digest, content in artifact.blobs.items():
            _upload(registry, repository, digest, content)
    for tag in stale:
        url = f"/v2/{repository}/manifests/{tag}"
        _send(registry, "PUT", url, content=artifact.manifest, headers={"Content-Type": MANIFEST_TYPE})
    return artifact.digest


def make_artifact(files: Mapping[str, bytes], *, source: str, revision: str, created: str) -> Artifact:
    """`files` as OCI image manifest with one layer; pure."""
    config, layer = b"{}", pack(files)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _describe(CONFIG_TYPE, config),
        "layers": [_describe(LAYER_TYPE, layer)],
        "annotations": {
            f"{ANNOTATION}.created": created,
            f"{ANNOTATION}.revision": revision,
            f"{ANNOTATION}.source": source,
        },
    }
    blobs = {_digest(config): config, _digest(layer): layer}
    return Artifact(manifest=json.dumps(manifest, separators=(",", ":")).encode(), blobs=blobs)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by its relative path; links are followed by nobody and left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _describe(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _tagged(registry: httpx2.Client, repository: str, tag: str) -> str:
    """The digest that `tag` points at, empty when there is none."""
    answer = _head(registry, f"/v2/{repository}/manifests/{tag}")
    return answer.headers.get("Docker-Content-Digest", "") if answer.is_success else ""


def _upload(registry: httpx2.Client, repository: str, digest: str, content: bytes) -> None:
    if _head(registry, f"/v2/{repository}/blobs/{digest}").is_success:
        return
    place = _send(registry, "POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
    # The place may have a query of its own (the upload's state), which must stay.
    url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
    _send(registry, "PUT", url, content=content, headers={"Content-Type": "application/octet-stream"})


def _head(registry: httpx2.Client, url: str) -> httpx2.Response:
    return _request(registry, "HEAD", url, headers={"Accept": MANIFEST_TYPE})


def _send(
    registry: httpx2.Client, method: str, url: str, *,
    content: bytes = b"", headers: Mapping[str, str] | None = None,
) -> httpx2.Response:  # fmt: skip
    answer = _request(registry, method, url, content=content, headers=headers)
    if not answer.is_success:
        said = f"answered {answer.status_code}: {answer.text[:300]}"
        raise ToolError([Problem(f"`{method} {answer.url}`", said, "see `registry.log` of the sandbox")])
    return answer


def _request(
    registry: httpx2.Client, method: str, url: str, *,
    content: bytes = b"", headers: Mapping[str, str] | None = None,
) -> httpx2.Response:  # fmt: skip
    import httpx2

    try:
        return registry.request(method, url, content=content, headers=headers)
    except httpx2.HTTPError as error:
        problem = Problem(f"`{registry.base_url}`", f"the registry does not answer: {error}", "run `make up`")
        raise ToolError([problem]) from error
