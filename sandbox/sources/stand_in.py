"""A stand-in for source-controller, which cannot be built from what is public: serves local sources to Flux.

`python -m sandbox.sources.stand_in`, run by the supervisor with the identity of source-controller. It follows the
source objects of the cluster, asks every two seconds what they point at, serves the content over HTTP on loopback,
and writes the status that source-controller would; its messages begin with `stand-in:`.
Left out on purpose: signatures, pull secrets, intervals, semver; and sources that are not on loopback (KWOK's).
"""

from __future__ import annotations

import argparse
import datetime
import json
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sandbox.cluster.home import LOOPBACK
from sandbox.sources.artifact_server import ArtifactStore, EventLog, serve
from sandbox.sources.git_kind import GitRepository, make_pool
from sandbox.sources.kinds import OciRepository, SourceKind, Unavailable, is_local, report_failed, report_ready

if TYPE_CHECKING:
    from lightkube import Client

GROUP: Final = ("source.toolkit.fluxcd.io", "v1")
POLL: Final = 2.0
"""Seconds between two questions about what a source points at."""
RETRY: Final = 1.0
"""Seconds until a cluster that did not answer, or does not know the kind yet, is asked again."""

Key = tuple[str, str, str]
"""Kind, namespace and name."""
Event = tuple[str, str, Mapping[str, Any]]
"""Kind, type of the watch event, and the object; type `RESTART` says that what was known of the kind is stale."""


def main() -> None:
    import httpx2
    from lightkube import Client, KubeConfig

    options = _parse_options()
    store = ArtifactStore(options.artifacts)
    client = Client(KubeConfig.from_file(options.kubeconfig), trust_env=False)
    kinds = (OciRepository(httpx2.Client(timeout=10, trust_env=False)), GitRepository(make_pool()))
    events = EventLog(options.events)
    serve(store, events, options.port)
    StandIn(client, kinds, store, events, f"http://{LOOPBACK}:{options.port}").run()


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="source_stand_in", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--artifacts", type=Path, required=True, help="folder of the artifacts")
    parser.add_argument("--events", type=Path, required=True, help="file that posted events are appended to")
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args()


class StandIn:
    """Brings the status of every local source up to date: at each event, and every `POLL` seconds."""

    def __init__(
        self, client: Client, kinds: Sequence[SourceKind], store: ArtifactStore, events: EventLog, address: str
    ) -> None:
        from lightkube.generic_resource import create_namespaced_resource

        self._client = client
        self._kinds = {kind.kind: kind for kind in kinds}
        self._resources = {k.kind: create_namespaced_resource(*GROUP, k.kind, k.plural) for k in kinds}
        self._store = store
        self._events = events
        self._address = address
        self._inbox: queue.Queue[Event] = queue.Queue()
        self._sources: dict[Key, Mapping[str, Any]] = {}

    def run(self) -> None:
        for kind in self._kinds:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()
        due = time.monotonic()
        while True:
            try:
                self._take(*self._inbox.get(timeout=max(0.0, due - time.monotonic())))
            except queue.Empty:
                for key in list(self._sources):
                    self._reconcile(key)
                due = time.monotonic() + POLL

    def _follow(self, kind: str) -> None:
        """Hands on every change of one kind, for ever; a watch without a version begins with all that exists."""
        import httpx2

        while True:
            self._inbox.put((kind, "RESTART", {}))
            try:
                # lightkube never lets go of the connection of a watch that is refused: ask first.
                next(iter(self._client.list(self._resources[kind], namespace="*", chunk_size=1)), None)
                for change, source in self._client.watch(self._resources[kind], namespace="*"):
                    self._inbox.put((kind, change, source))
            except (httpx2.HTTPError, ValueError):  # ValueError: a line cut off in the middle
                time.sleep(RETRY)

    def _take(self, kind: str, change: str, source: Mapping[str, Any]) -> None:
        if change == "RESTART":
            self._sources = {key: value for key, value in self._sources.items() if key[0] != kind}
            return
        key = (kind, source["metadata"]["namespace"], source["metadata"]["name"])
        if change == "DELETED":
            self._sources.pop(key, None)
        elif change in {"ADDED", "MODIFIED"}:
            self._sources[key] = source
            self._reconcile(key)

    def _reconcile(self, key: Key) -> None:
        source = self._sources[key]
        spec = source["spec"]
        if spec.get("suspend") or "deletionTimestamp" in source["metadata"] or not is_local(spec):
            return
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            status = report_ready(source, self._artifact(key, source), now)
        except Unavailable as why:
            status = report_failed(source, why, now)
        before = source.get("status", {})
        changed = any(before.get(name) != value for name, value in status.items())
        revision = (status.get("artifact") or {}).get("revision")
        known = (before.get("artifact") or {}).get("revision")
        if changed and self._write_status(key, status) and revision and revision != known:
            self._tell(key, revision)

    def _tell(self, key: Key, revision: str) -> None:
        """The event of a new revision, as a controller reports it."""
        kind, namespace, name = key
        event = {
            "involvedObject": {"apiVersion": "/".join(GROUP), "kind": kind, "namespace": namespace, "name": name},
            "severity": "info",
            "reason": "NewArtifact",
            "message": f"stand-in: stored artifact for revision '{revision}'",
            "metadata": {f"{GROUP[0]}/revision": revision},
            "reportingController": "source-stand-in",
        }
        self._events.keep(json.dumps(event).encode())

    def _artifact(self, key: Key, source: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the source points at now, fetched and stored unless it is there."""
        kind = self._kinds[key[0]]
        revision = kind.resolve(source["spec"])
        known = source.get("status", {}).get("artifact") or {}
        if known.get("revision") == revision and self._store.has(known["path"]):
            known = {name: value for name, value in known.items() if name != "lastUpdateTime"}
            return {**known, "url": f"{self._address}/{known['path']}"}
        content = kind.fetch(source["spec"], revision)
        path = "/".join([*key, f"{content.digest.removeprefix('sha256:')}.tar.gz"]).lower()
        self._store.put(path, content.packed)
        return {
            "path": path,
            "url": f"{self._address}/{path}",
            "revision": revision,
            "digest": content.digest,
            "size": len(content.packed),
            "metadata": dict(content.metadata),
        }

    def _write_status(self, key: Key, status: Mapping[str, Any]) -> bool:
        """Whether it was written. A refusal or an outage is no loss: the next poll compares and writes again."""
        import httpx2
        from lightkube.types import PatchType

        kind, namespace, name = key
        try:
            self._client.patch(
                self._resources[kind].Status,
                name,
                {"status": status},
                namespace=namespace,
                patch_type=PatchType.MERGE,
                field_manager="sandbox-source-stand-in",
            )
        except httpx2.HTTPError as error:
            print(f"{kind} {namespace}/{name}: status not written: {error}", flush=True)
            return False
        return True


if __name__ == "__main__":
    main()
