"""What a source object points at: one class a kind, and the status that tells Flux of it.

Used by `stand_in` alone. A kind resolves a spec to a revision, cheaply and often, and fetches the content of
a revision, once. `report` is pure and holds what kustomize-controller and health checks read from a source.
Left out on purpose: watching, storing and serving (`stand_in`, `artifact_server`), and Git (`git_kind`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from fleet.names import ANNOTATION_RECONCILE_AT
from sandbox.sources.registry import MANIFEST_TYPE

if TYPE_CHECKING:
    import httpx2

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost"})


class Unavailable(Exception):
    """A source that cannot be served now; `reason` as source-controller gives it."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Content:
    """A packed tree (tar+gzip), its digest, and what its maker wrote on it."""

    packed: bytes
    digest: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class SourceKind(Protocol):
    """One kind of source.toolkit.fluxcd.io/v1; both methods raise `Unavailable`."""

    kind: str
    plural: str

    def resolve(self, spec: Mapping[str, Any]) -> str:
        """The revision that the spec points at now."""

    def fetch(self, spec: Mapping[str, Any], revision: str) -> Content:
        """The content of a revision that `resolve` gave."""


class OciRepository:
    """Artifacts of the local registry, by tag or digest; one connection for as long as this object lives."""

    kind = "OCIRepository"
    plural = "ocirepositories"

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def resolve(self, spec: Mapping[str, Any]) -> str:
        ref = spec.get("ref") or {}
        if digest := ref.get("digest"):
            return str(digest)
        if "semver" in ref:
            raise Unavailable("Unsupported", f"`ref.semver` of `{spec['url']}`: only tags and digests are resolved")
        tag = ref.get("tag", "latest")
        answer = self._ask("HEAD", _manifest_url(spec, tag), what=f"tag `{tag}` of `{spec['url']}`")
        return f"{tag}@{answer.headers['Docker-Content-Digest']}"

    def fetch(self, spec: Mapping[str, Any], revision: str) -> Content:
        digest = revision.rpartition("@")[2]
        what = f"`{digest}` of `{spec['url']}`"
        manifest = self._ask("GET", _manifest_url(spec, digest), what=what).json()
        layer = manifest["layers"][0]["digest"]
        blob = self._ask("GET", f"{_base_url(spec)}/blobs/{layer}", what=what)
        return Content(packed=blob.content, digest=layer, metadata=manifest.get("annotations") or {})

    def _ask(self, method: str, url: str, *, what: str) -> httpx2.Response:
        import httpx2

        try:
            answer = self._client.request(method, url, headers={"Accept": MANIFEST_TYPE})
        except httpx2.HTTPError as error:
            raise Unavailable("OCIArtifactPullFailed", f"{what}: the registry does not answer ({error})") from error
        if answer.status_code == 404:
            raise Unavailable("OCIArtifactPullFailed", f"{what} is not in the registry; was it pushed?")
        if not answer.is_success:
            raise Unavailable("OCIArtifactPullFailed", f"{what}: the registry answered {answer.status_code}")
        return answer


def is_local(spec: Mapping[str, Any]) -> bool:
    """Whether the source is on a loopback address; all others are left alone."""
    try:
        return urlsplit(spec.get("url", "")).hostname in LOOPBACK_HOSTS
    except ValueError:
        return False


def report_ready(source: Mapping[str, Any], artifact: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The status of a source whose content is served; health checks want observedGeneration, Flux the artifact."""
    old = source.get("status", {}).get("artifact") or {}
    same = all(old.get(key) == value for key, value in artifact.items())
    message = f"stand-in: stored artifact for revision '{artifact['revision']}'"
    artifact = {**artifact, "lastUpdateTime": old["lastUpdateTime"] if same else now}
    types = {"Ready": "True", "ArtifactInStorage": "True"}
    status = _report(source, types, "Succeeded", message, now)
    return {**status, "url": artifact["url"], "artifact": artifact}


def report_failed(source: Mapping[str, Any], why: Unavailable, now: str) -> dict[str, Any]:
    """The status of a source that cannot be had; the artifact of before, if any, stays."""
    return _report(source, {"Ready": "False"}, why.reason, f"stand-in: {why}", now)


def _report(source: Mapping[str, Any], types: Mapping[str, str], reason: str, message: str, now: str) -> dict[str, Any]:
    metadata = source["metadata"]
    before = {condition["type"]: condition for condition in source.get("status", {}).get("conditions") or ()}
    conditions = []
    for type_, value in types.items():
        old = before.get(type_, {})
        conditions.append(
            {
                "type": type_,
                "status": value,
                "reason": reason,
                "message": message,
                "observedGeneration": metadata["generation"],
                "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == value else now,
            }
        )
    status: dict[str, Any] = {"observedGeneration": metadata["generation"], "conditions": conditions}
    if asked := (metadata.get("annotations") or {}).get(ANNOTATION_RECONCILE_AT):
        status["lastHandledReconcileAt"] = asked
    return status


def _base_url(spec: Mapping[str, Any]) -> str:
    """`oci://host:port/name` → the repository in the registry's HTTP API; a registry on loopback speaks plain HTTP."""
    parts = urlsplit(spec["url"])
    return f"http://{parts.netloc}/v2{parts.path.rstrip('/')}"


def _manifest_url(spec: Mapping[str, Any], reference: str) -> str:
    return f"{_base_url(spec)}/manifests/{reference}"
