"""How a fleet is: every Flux object of a cluster, whether it is ready on what was published, and if not, why.

Called by `sandbox.up` (waits) and `status` (looks once). Reads only, but for the request to try again at once what has
failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from fleet import names
from fleet.model import Fleet, repositories_of
from sandbox.program.api import Api, Object, Ref
from sandbox.sources.publish import Published

KINDS: Final = (
    (names.OPERATOR_API, "FluxInstance", "fluxinstances"),
    (names.OPERATOR_API, "ResourceSet", "resourcesets"),
    (names.SOURCE_API, "GitRepository", "gitrepositories"),
    (names.SOURCE_API, "OCIRepository", "ocirepositories"),
    (names.KUSTOMIZATION_API, "Kustomization", "kustomizations"),
    (names.HELM_API, "HelmRelease", "helmreleases"),
)
"""API version, kind and plural of what makes a fleet ready, causes before what waits for them."""

SOURCES: Final = frozenset({"GitRepository", "OCIRepository"})

DEPENDENT: Final = "DependencyNotReady"
WAITING: Final = frozenset({DEPENDENT, "Progressing", "ProgressingWithRetry", "ReconciliationInProgress"})
"""Reasons of Ready=False or Unknown behind which another object's fault stands, or none."""

POLL: Final = 0.3
QUIET: Final = 40.0
"""Seconds without any news after which waiting is given up; a retry of Flux that matters comes sooner."""
SETTLED: Final = 12.0
"""The same, once nothing is under way any more and what is not ready says itself why."""
AGAIN: Final = 4.0
"""Likewise, until what failed is asked to try once more: it may have come before what it needs, such as the policy
that allows a new source."""

Revisions = Mapping[tuple[str, str, str], str]
"""Kind, namespace and name of a source → revision of its artifact."""


@dataclass(frozen=True, kw_only=True)
class State:
    """One Flux object as it is now."""

    kind: str
    ref: Ref
    ready: bool
    reason: str
    message: str
    revision: str = ""

    @property
    def label(self) -> str:
        return f"{self.kind} {self.ref.namespace}/{self.ref.name}"

    @property
    def is_cause(self) -> bool:
        """Whether the fault is its own."""
        return not self.ready and bool(self.message) and self.reason not in WAITING


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All of a cluster at one moment."""

    cluster: str
    states: Sequence[State] = ()
    missing: Sequence[str] = ()
    """What was published or declared and is not there yet, and what should be gone and is not."""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """Namespaces of components and tenants → role."""

    @property
    def ready(self) -> bool:
        return bool(self.states) and not self.missing and all(state.ready for state in self.states)

    @property
    def settled(self) -> bool:
        """Whether all that is not ready has a fault of its own, or waits for something that has."""
        waiting = [state for state in self.states if not state.ready]
        faults = any(state.is_cause for state in waiting)
        return faults and all(state.is_cause or state.reason == DEPENDENT for state in waiting)

    def of(self, kind: str) -> list[State]:
        return [state for state in self.states if state.kind == kind]

    def causes(self) -> list[State]:
        """Objects whose own fault keeps the fleet from being ready; with none, all that are not ready."""
        waiting = [state for state in self.states if not state.ready]
        return [state for state in waiting if state.is_cause] or waiting


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Namespaces by name: those of components and tenants, and all that have a source of what is published."""

    namespaces: frozenset[str]
    sources: frozenset[str]


def look(api: Api, cluster: str, fleet: Fleet, published: Published | None = None) -> Picture:
    """A picture of a cluster; with `published`, an object is ready only on what was published."""
    objects = [
        # items of a list carry neither kind nor version
        (kind, item | {"apiVersion": version})
        for version, kind, plural in KINDS
        for item in api.list_all(version, plural)
    ]
    sources = {(kind, *_name(item)): _artifact(item) for kind, item in objects if kind in SOURCES}
    states = [_state(kind, item, sources, published or {}) for kind, item in objects]
    fed = {_name(item)[0] for kind, item in objects if kind in SOURCES and item["spec"].get("url") in (published or {})}
    wanted = _wanted(fleet, cluster)
    spaces = {item["metadata"]["name"]: _role(item) for item in api.list_all("v1", "namespaces") if _role(item)}
    return Picture(
        cluster=cluster,
        states=states,
        namespaces=spaces,
        missing=[
            *(f"namespace {name} has no source yet" for name in sorted(wanted.sources - fed) if published),
            *(f"namespace {name} is not gone yet" for name in spaces if name not in wanted.namespaces),
        ],
    )


def wait(
    api: Api, cluster: str, fleet: Fleet, published: Published, *, seconds: float, progress: Callable[[Picture], None]
) -> Picture:
    """The picture once all is ready, or when nothing can change any more: no news for a while, or out of time."""
    deadline = time.monotonic() + seconds
    picture = look(api, cluster, fleet, published)
    _retry_failed(api, picture)
    news_at, told, again = time.monotonic(), _news(picture), False
    while not picture.ready and time.monotonic() < min(deadline, news_at + (SETTLED if picture.settled else QUIET)):
        if api.stopped.wait(POLL):
            break
        picture = look(api, cluster, fleet, published)
        if _news(picture) != told:
            news_at, told = time.monotonic(), _news(picture)
            progress(picture)
        elif picture.settled and not again and time.monotonic() > news_at + AGAIN:
            _retry_failed(api, picture)
            again = True
    return picture


def _retry_failed(api: Api, picture: Picture) -> None:
    """What failed may wait minutes for Flux's next try; ask for it now."""
    now = datetime.now(UTC).isoformat()
    for state in picture.states:
        if state.is_cause:
            api.annotate(state.ref, names.ANNOTATION_RECONCILE_AT, now)


def _news(picture: Picture) -> object:
    """What counts as news: any change but in the words of what is ready."""
    states = [(s.label, s.ready, "" if s.ready else f"{s.reason} {s.message}", s.revision) for s in picture.states]
    return states, list(picture.missing)


def _state(kind: str, item: Object, sources: Revisions, published: Published) -> State:
    status = item.get("status") or {}
    ready: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    generation = item["metadata"].get("generation", 1)
    current = ready.get("observedGeneration", status.get("observedGeneration", generation)) == generation
    namespace, name = _name(item)
    revision = _artifact(item) if kind in SOURCES else str(status.get("lastAppliedRevision", ""))
    behind = _behind(kind, item, revision, sources, published)
    return State(
        kind=kind,
        ref=Ref(api_version=item["apiVersion"], kind=kind, name=name, namespace=namespace),
        ready=ready.get("status") == "True" and current and not behind,
        reason=str(ready.get("reason", "")) if current else "Progressing",
        message=str(ready.get("message", "")) if not behind or ready.get("status") != "True" else behind,
        revision=revision,
    )


def _behind(kind: str, item: Object, revision: str, sources: Revisions, published: Published) -> str:
    """Why an object that reports Ready is not: it speaks of an older artifact."""
    if kind in SOURCES and not revision.endswith(published.get(item["spec"].get("url", ""), "")):
        return "has not fetched what was published last"
    if kind == "Kustomization":
        reference = item["spec"]["sourceRef"]
        source = (reference["kind"], reference.get("namespace", _name(item)[0]), reference["name"])
        if revision != sources.get(source, revision):
            return "has not applied what its source fetched last"
    return ""


def _wanted(fleet: Fleet, cluster: str) -> Wanted:
    """The namespaces of a cluster: components and tenants of its environment, and those of image automation."""
    environment = fleet.clusters[cluster].environment
    workloads = {**fleet.components, **fleet.tenants}
    namespaces = frozenset(name for name, workload in workloads.items() if environment in fleet.overlays_of(workload))
    automates = fleet.automates(cluster) or environment in fleet.updating
    automated = {r.update_namespace for r in repositories_of(fleet).values() if r.automated and automates}
    return Wanted(namespaces=namespaces, sources=namespaces | automated | {names.FLUX_NAMESPACE})


def _artifact(item: Object) -> str:
    return str(((item.get("status") or {}).get("artifact") or {}).get("revision", ""))


def _name(item: Object) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _role(item: Object) -> str:
    return str((item["metadata"].get("labels") or {}).get(names.LABEL_ROLE, ""))
