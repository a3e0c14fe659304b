"""Pushing a tree: the same content is the same artifact and is sent once."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fleet.errors import ToolError
from sandbox.sources import registry
from sandbox.sources.registry import LAYER_TYPE, MANIFEST_TYPE, make_artifact, push, read_folder
from tests.fake_registry import FakeRegistry, connect, sha256

FILES = {"b/two.yaml": b"2", "a.yaml": b"1"}
ABOUT = {"source": "https://example.com", "revision": "main@sha1:abc", "created": "2026-01-01T00:00:00Z"}


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def client(fake: FakeRegistry) -> Iterator[httpx2.Client]:
    with connect(fake) as client:
        yield client


def test_a_pushed_tree_can_be_read_back(fake: FakeRegistry, client: httpx2.Client) -> None:
    digest = push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    manifest = json.loads(fake.manifests["latest"])
    assert digest == sha256(fake.manifests["latest"])
    assert manifest["mediaType"] == MANIFEST_TYPE
    assert {key.rpartition(".")[2]: value for key, value in manifest["annotations"].items()} == ABOUT
    (layer,) = manifest["layers"]
    packed = fake.blobs[layer["digest"]]
    assert (layer["mediaType"], layer["size"]) == (LAYER_TYPE, len(packed))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
        assert {m.name: archive.extractfile(m).read() for m in archive} == FILES  # type: ignore[union-attr]


def test_the_digest_follows_from_the_content_alone() -> None:
    first = make_artifact(FILES, **ABOUT)
    assert make_artifact(dict(reversed(FILES.items())), **ABOUT) == first
    assert make_artifact(FILES | {"a.yaml": b"3"}, **ABOUT).digest != first.digest
    assert make_artifact(FILES, **ABOUT | {"revision": "main@sha1:def"}).digest != first.digest


def test_an_unchanged_tree_is_not_sent_again(fake: FakeRegistry, client: httpx2.Client) -> None:
    first = push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    fake.written.clear()
    assert push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT) == first
    assert fake.written == []


def test_a_second_tag_sends_the_manifest_only(fake: FakeRegistry, client: httpx2.Client) -> None:
    push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    fake.written.clear()
    push(client, "acme/fleet", FILES, tags=["latest", "stable"], **ABOUT)
    assert fake.written == ["PUT /v2/acme/fleet/manifests/stable"]


def test_a_tag_moves_to_the_new_content_and_back(fake: FakeRegistry, client: httpx2.Client) -> None:
    first = push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    second = push(client, "acme/fleet", {}, tags=["latest"], **ABOUT)
    assert sha256(fake.manifests["latest"]) == second != first
    fake.written.clear()
    assert push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT) == first
    assert sha256(fake.manifests["latest"]) == first
    assert fake.written == ["PUT /v2/acme/fleet/manifests/latest"]


def test_an_upload_place_without_query_works_too() -> None:
    fake = FakeRegistry(place="1")
    with connect(fake) as client:
        push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    assert "latest" in fake.manifests


def test_a_refusal_says_what_and_why() -> None:
    with (
        connect(lambda _: httpx2.Response(500, text="disk full")) as client,
        pytest.raises(ToolError) as caught,
    ):
        push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    (problem,) = caught.value.problems
    assert "http://registry/v2/acme/fleet" in problem.path
    assert problem.message == "answered 500: disk full"


def test_a_registry_that_is_away_is_named() -> None:
    with registry.connect("127.0.0.1:1") as client, pytest.raises(ToolError) as caught:
        push(client, "acme/fleet", FILES, tags=["latest"], **ABOUT)
    assert "127.0.0.1:1" in caught.value.problems[0].path


def test_a_folder_is_read_whole_without_links(tmp_path: Path) -> None:
    (tmp_path / "flux").mkdir()
    (tmp_path / "flux" / "a.yaml").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "link").symlink_to("b")
    assert read_folder(tmp_path) == {"b": b"2", "flux/a.yaml": b"1"}
