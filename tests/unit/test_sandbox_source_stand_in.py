"""The stand-in for source-controller: what it writes into a status, what it serves, and what it leaves alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from lightkube import Client, KubeConfig

from fleet.names import ANNOTATION_RECONCILE_AT
from sandbox.sources.artifact_server import KEEP, ArtifactStore, EventLog, serve
from sandbox.sources.kinds import OciRepository, is_local
from sandbox.sources.registry import push
from sandbox.sources.stand_in import StandIn
from tests.checkout import kubeconfig
from tests.fake_registry import FakeRegistry, connect
from tests.kubernetes_api import serve as serve_api

URL = "oci://127.0.0.1:5000/acme/fleet"
KEY = ("OCIRepository", "flux-system", "fleet")
SERVER = "http://127.0.0.1:6000"


class FakeCluster:
    """Takes status patches as the API server would, and hands out the object."""

    def __init__(self, **spec: Any) -> None:
        self.refuses = False
        self.patches = 0
        self.source: dict[str, Any] = {
            "metadata": {"name": KEY[2], "namespace": KEY[1], "generation": 1, "annotations": {}},
            "spec": {"url": URL, "ref": {"tag": "latest"}, **spec},
            "status": {"observedGeneration": -1},
        }

    def patch(self, resource: Any, name: str, body: dict[str, Any], *, namespace: str, **_: Any) -> None:
        assert (namespace, name) == KEY[1:]
        self.patches += 1
        if self.refuses:
            raise httpx2.ConnectError("away")
        self.source["status"] |= body["status"]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.source["status"]
        return status

    def ready(self) -> tuple[str, str]:
        condition = next(c for c in self.status["conditions"] if c["type"] == "Ready")
        return condition["status"], condition["message"]


class Scene:
    """A registry, a cluster with one source, and the stand-in between them."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.registry = FakeRegistry()
        self.client = connect(self.registry)
        self.cluster = FakeCluster(**spec)
        self.store = ArtifactStore(folder)
        kinds = [OciRepository(self.client)]
        self.log = folder / "events"
        events = EventLog(self.log)
        self.stand_in = StandIn(self.cluster, kinds, self.store, events, SERVER)  # type: ignore[arg-type]

    def push(self, text: str = "1", tag: str = "latest") -> str:
        about = {
            "source": "https://example.com",
            "revision": f"main@sha1:{text}",
            "created": "2026-01-01T00:00:00Z",
        }
        return push(self.client, "acme/fleet", {"a": text.encode()}, tags=[tag], **about)

    def look(self) -> None:
        self.stand_in._take(KEY[0], "MODIFIED", copy.deepcopy(self.cluster.source))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.client.close()


def test_a_tag_becomes_an_artifact_that_flux_can_fetch(scene: Scene) -> None:
    digest = scene.push()
    scene.look()
    artifact = scene.cluster.status["artifact"]
    packed = scene.store.get(artifact["path"])
    assert packed is not None
    assert artifact["revision"] == f"latest@{digest}"
    assert artifact["url"] == f"{SERVER}/{artifact['path']}" == scene.cluster.status["url"]
    assert artifact["digest"] in scene.registry.blobs
    assert packed == scene.registry.blobs[artifact["digest"]]
    assert artifact["size"] == len(packed)
    assert artifact["metadata"]["org.opencontainers.image.revision"] == "main@sha1:1"
    assert artifact["lastUpdateTime"].endswith("Z")


def test_health_checks_see_the_present_generation(scene: Scene) -> None:
    scene.push()
    scene.look()
    status = scene.cluster.status
    assert status["observedGeneration"] == 1
    assert {c["type"]: (c["status"], c["observedGeneration"]) for c in status["conditions"]} == {
        "Ready": ("True", 1),
        "ArtifactInStorage": ("True", 1),
    }
    assert scene.cluster.ready()[1].startswith("stand-in:")


def test_nothing_new_writes_nothing(scene: Scene) -> None:
    scene.push()
    scene.look()
    scene.look()
    assert scene.cluster.patches == 1


def test_a_moved_tag_is_a_new_revision(scene: Scene) -> None:
    scene.push("1")
    scene.look()
    first = scene.cluster.status["artifact"]
    digest = scene.push("2")
    scene.look()
    assert scene.cluster.status["artifact"]["revision"] == f"latest@{digest}"
    assert scene.store.has(first["path"]), "somebody may be downloading it"


def test_each_new_revision_is_an_event_and_nothing_else_is(scene: Scene) -> None:
    """One that could not be written is told when it is."""
    first = scene.push("1")
    scene.look()
    scene.look()
    second = scene.push("2")
    scene.cluster.refuses = True
    scene.look()
    scene.cluster.refuses = False
    scene.look()
    events = [json.loads(line) for line in scene.log.read_text().splitlines()]
    assert [e["metadata"]["source.toolkit.fluxcd.io/revision"] for e in events] == [
        f"latest@{first}",
        f"latest@{second}",
    ]
    assert {event["involvedObject"]["kind"] for event in events} == {"OCIRepository"}


def test_a_request_is_handled_though_nothing_changed(scene: Scene) -> None:
    scene.push()
    scene.look()
    scene.cluster.source["metadata"]["annotations"] = {ANNOTATION_RECONCILE_AT: "now"}
    scene.look()
    assert scene.cluster.status["lastHandledReconcileAt"] == "now"


def test_a_missing_tag_is_named_and_the_old_artifact_stays(scene: Scene) -> None:
    scene.push()
    scene.look()
    artifact = scene.cluster.status["artifact"]
    scene.cluster.source["spec"]["ref"] = {"tag": "nope"}
    scene.cluster.source["metadata"]["generation"] = 2
    scene.look()
    status, message = scene.cluster.ready()
    assert status == "False"
    assert "`nope`" in message
    assert f"`{URL}`" in message
    assert scene.cluster.status["artifact"] == artifact
    assert scene.cluster.status["observedGeneration"] == 2


def test_a_missing_tag_that_comes_makes_the_source_ready(scene: Scene) -> None:
    scene.look()
    assert scene.cluster.ready()[0] == "False"
    scene.push()
    scene.look()
    assert scene.cluster.ready()[0] == "True"


def test_a_registry_that_is_away_is_reported_and_recovers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.push()
    scene.look()
    with monkeypatch.context() as patch:
        patch.setattr(scene.client, "request", _refuse)
        scene.look()
    assert scene.cluster.ready()[0] == "False"
    assert "does not answer" in scene.cluster.ready()[1]
    scene.look()
    assert scene.cluster.ready()[0] == "True"


def _refuse(*_: Any, **__: Any) -> httpx2.Response:
    raise httpx2.ConnectError("refused")


def test_a_lost_file_is_fetched_again_under_the_same_revision(scene: Scene) -> None:
    scene.push()
    scene.look()
    artifact = dict(scene.cluster.status["artifact"])
    (scene.store.folder / artifact["path"]).unlink()
    scene.look()
    assert scene.store.has(artifact["path"])
    assert scene.cluster.status["artifact"] == artifact


def test_a_digest_needs_no_tag(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    digest = scene.push(tag="other")
    scene.cluster.source["spec"]["ref"] = {"digest": digest}
    scene.look()
    assert scene.cluster.status["artifact"]["revision"] == digest
    scene.client.close()


def test_an_outage_of_the_cluster_is_survived(scene: Scene) -> None:
    scene.push()
    scene.cluster.refuses = True
    scene.look()
    scene.cluster.refuses = False
    scene.look()
    assert scene.cluster.ready()[0] == "True"


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"url": "oci://ghcr.io/acme/fleet"}},
        {"spec": {"url": URL, "suspend": True}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
)
def test_a_source_that_is_not_ours_is_left_alone(scene: Scene, change: dict[str, dict[str, Any]]) -> None:
    scene.push()
    for section, fields in change.items():
        scene.cluster.source[section] |= fields
    scene.look()
    assert scene.cluster.patches == 0


class Enough(BaseException):
    """Ends what goes on for ever."""


def test_waiting_for_a_kind_that_comes_late_holds_no_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flux may come minutes after the cluster; with a hundred of them held, the client would wait for ever."""
    tries = iter(range(20))

    def pause(seconds: float) -> None:
        if next(tries, None) is None:
            raise Enough

    monkeypatch.setattr("time.sleep", pause)
    with serve_api() as api, httpx2.Client() as registry:
        config = KubeConfig.from_dict(yaml.safe_load(kubeconfig("late", api.url)))
        with Client(config, trust_env=False) as client:
            store, events = ArtifactStore(tmp_path), EventLog(tmp_path / "events")
            waiting = StandIn(client, [OciRepository(registry)], store, events, SERVER)
            with pytest.raises(Enough):
                waiting._follow("OCIRepository")
    assert (len(api.connections), len(api.requests)) == (1, 21)


def test_a_deleted_source_is_forgotten(scene: Scene) -> None:
    scene.look()
    scene.stand_in._take(KEY[0], "DELETED", scene.cluster.source)
    assert not scene.stand_in._sources


def test_a_watch_that_starts_over_forgets_what_it_knew(scene: Scene) -> None:
    scene.look()
    scene.stand_in._take("GitRepository", "RESTART", {})
    assert scene.stand_in._sources
    scene.stand_in._take(KEY[0], "RESTART", {})
    assert not scene.stand_in._sources


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("oci://127.0.0.1:5000/a", True),
        ("http://localhost:80/a.git", True),
        ("oci://ghcr.io/127.0.0.1", False),
        ("ssh://git@github.com/a", False),
        ("https://[broken", False),
        ("", False),
    ],
)
def test_only_loopback_is_local(url: str, expected: bool) -> None:
    assert is_local({"url": url}) is expected


def test_the_store_keeps_the_newest_and_the_one_before(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for number in range(4):
        store.put(f"k/n/s/{number}.tar.gz", b"x")
    assert len(list((tmp_path / "k/n/s").iterdir())) == KEEP
    assert store.has("k/n/s/3.tar.gz")


def test_the_server_serves_what_is_stored_and_nothing_else(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    store.put("k/n/s/1.tar.gz", b"packed")
    (tmp_path / "secret").write_text("no")
    server = serve(store, EventLog(tmp_path / "events"), 0)
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
        assert client.get("/k/n/s/1.tar.gz").content == b"packed"
        assert client.get("/k/n/s/2.tar.gz").status_code == 404
        assert client.get("/k").status_code == 404
        assert client.request("GET", httpx2.URL("/../secret")).status_code == 404
        assert client.get("/%2e%2e/secret").status_code == 404
        assert client.post("/", content=json.dumps({"reason": "Test"})).status_code == 202
        assert client.post("/", content=b"no json").status_code == 400
        assert client.post("/", content=json.dumps({"reason": "Second"})).status_code == 202
    server.shutdown()
    server.server_close()
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [event["reason"] for event in events] == ["Test", "Second"]
