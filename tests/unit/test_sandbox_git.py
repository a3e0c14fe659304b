"""Git in the sandbox: commits that follow from the content, a server to read them from, and what Flux is given."""

from __future__ import annotations

import hashlib
import io
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.sources import git
from sandbox.sources.artifact_server import ArtifactStore, EventLog
from sandbox.sources.git_kind import GitRepository, make_pool
from sandbox.sources.git_server import make_server
from sandbox.sources.kinds import Content, Unavailable
from sandbox.sources.stand_in import StandIn

AUTHOR = "bot <bot@example.com>"
PATIENCE = 30
"""Seconds for one command; a bound against hanging, not an expectation."""
FILES = {"a.yaml": b"1\n", "components/web/base/app.yaml": b"app\n", "scripts/validate.sh": b"#!/usr/bin/env bash\n"}


def commit(folder: Path, files: Mapping[str, bytes] = FILES, *branches: str) -> str:
    return git.commit(folder, files, branches=branches or ("main",), author=AUTHOR)


def run_git(folder: Path, *arguments: str) -> str:
    """What the real Git says."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_same_files_are_the_same_commit_anywhere(tmp_path: Path) -> None:
    first = commit(tmp_path / "one.git")
    assert commit(tmp_path / "two.git", dict(reversed(FILES.items()))) == first
    assert commit(tmp_path / "three.git", FILES | {"a.yaml": b"2\n"}) != first
    told = run_git(tmp_path / "one.git", "log", "--format=%an <%ae> %at, %cn <%ce> %ct", "main")
    assert told == f"{AUTHOR} 0, {AUTHOR} 0"


def test_an_unchanged_tree_stays_its_commit_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "one.git"
    first = commit(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert commit(folder) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_changed_tree_is_a_commit_on_top(tmp_path: Path) -> None:
    """There and back is a history of three, as it would be with merges; the real Git finds nothing wrong with it."""
    folder = tmp_path / "one.git"
    commits = [commit(folder), commit(folder, {"a.yaml": b"2\n"}), commit(folder)]
    assert run_git(folder, "log", "--format=%H", "--reverse", "main").split() == commits
    assert run_git(folder, "diff", commits[0], commits[2]) == ""
    assert run_git(folder, "ls-tree", "-r", "--name-only", commits[1]) == "a.yaml"
    run_git(folder, "fsck", "--strict")


def test_scripts_are_executable_and_nothing_else(tmp_path: Path) -> None:
    commit(tmp_path / "one.git")
    listed = run_git(tmp_path / "one.git", "ls-tree", "-r", "--format=%(objectmode) %(path)", "main").splitlines()
    assert [line for line in listed if line.startswith("100755")] == ["100755 scripts/validate.sh"]


def test_every_branch_follows_the_first_also_when_it_comes_later(tmp_path: Path) -> None:
    folder = tmp_path / "one.git"
    first = commit(folder)
    assert commit(folder, FILES, "main", "production") == first
    assert run_git(folder, "rev-parse", "production") == first
    second = commit(folder, {"a.yaml": b"2\n"}, "main", "production")
    assert run_git(folder, "rev-parse", "main", "production").split() == [second, second]
    assert run_git(folder, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_repository_that_was_begun_and_not_finished_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".one.git.new" / "objects").mkdir(parents=True)
    first = commit(tmp_path / "one.git")
    assert run_git(tmp_path / "one.git", "rev-parse", "main") == first
    assert [path.name for path in tmp_path.iterdir()] == ["one.git"]


# --- the server ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Server:
    """A server of its own, and the folder that it serves."""

    root: Path
    address: str

    @property
    def folder(self) -> Path:
        return self.root / "acme" / "fleet.git"

    @property
    def url(self) -> str:
        return f"{self.address}/acme/fleet.git"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "git"
    root.mkdir()
    listening = make_server(root, 0)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Server(root, f"http://127.0.0.1:{listening.server_port}")
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_git_clones_what_was_committed(server: Server, tmp_path: Path) -> None:
    commit(server.folder, {"old": b""})
    commit(server.folder)
    run_git(tmp_path, "clone", "--quiet", server.url, "clone")
    found = {path: (tmp_path / "clone" / path).read_bytes() for path in run_git(tmp_path / "clone", "ls-files").split()}
    assert found == FILES
    assert run_git(tmp_path / "clone", "rev-list", "--count", "HEAD") == "2"


def test_nobody_pushes(server: Server, tmp_path: Path) -> None:
    first = commit(server.folder)
    run_git(tmp_path, "clone", "--quiet", server.url, "clone")
    run_git(tmp_path / "clone", "commit", "--quiet", "--allow-empty", "--message=mine")
    with pytest.raises(AssertionError, match="403"):
        run_git(tmp_path / "clone", "push", "origin", "HEAD:main")
    assert run_git(server.folder, "rev-parse", "main") == first


@pytest.mark.parametrize("path", ["acme/none.git", "acme", "", "../other.git", "acme/../../other.git", "%2e%2e/other"])
@pytest.mark.parametrize("file", ["info/refs?service=git-upload-pack", "HEAD", "objects/info/packs"])
def test_only_what_is_below_the_folder_is_found(server: Server, tmp_path: Path, path: str, file: str) -> None:
    commit(server.folder)
    commit(tmp_path / "other.git")
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as connection:
        connection.sendall(f"GET /{path}/{file} HTTP/1.0\r\n\r\n".encode())  # a client would normalise the path
        answer = connection.makefile("rb").readline()
    assert b" 404 " in answer


def test_an_address_is_found_with_and_without_its_suffix(server: Server) -> None:
    first = commit(server.folder)
    for url in (server.url, server.url.removesuffix(".git")):
        assert run_git(server.root, "ls-remote", url, "main").startswith(first)


def test_a_client_that_says_nothing_holds_up_nobody(server: Server) -> None:
    first = commit(server.folder)
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))):
        assert run_git(server.root, "ls-remote", server.url, "main").startswith(first)


# --- the kind --------------------------------------------------------------------------------------------------------
@pytest.fixture
def kind() -> Iterator[GitRepository]:
    with make_pool() as pool:
        yield GitRepository(pool)


def unpack(content: Content) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content.packed)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ref", "shown"),
    [
        ({"branch": "main"}, "main"),
        ({"branch": "none", "tag": "v1"}, "v1"),
        ({"tag": "annotated"}, "annotated"),
        ({"name": "refs/heads/main"}, "refs/heads/main"),
        ({"name": "refs/tags/v1", "branch": "none", "tag": "none", "semver": "*"}, "refs/tags/v1"),
    ],
)
def test_a_ref_becomes_a_revision(server: Server, kind: GitRepository, ref: Mapping[str, str], shown: str) -> None:
    """In the form of each kind of ref, and always of a commit, though an annotated tag is an object of its own."""
    first = commit(server.folder)
    run_git(server.folder, "tag", "v1", "main")
    run_git(server.folder, "tag", "--annotate", "--message=x", "annotated", "main")
    spec = {"url": server.url, "ref": ref}
    assert kind.resolve(spec) == f"{shown}@sha1:{first}"
    assert unpack(kind.fetch(spec, kind.resolve(spec))) == FILES


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ({"branch": "nope"}, "refs/heads/nope"),
        ({"tag": "nope"}, "refs/tags/nope"),
        ({"name": "refs/nope"}, "refs/nope"),
        ({}, "refs/heads/master"),  # Flux's default
    ],
)
def test_an_unknown_ref_is_named(server: Server, kind: GitRepository, ref: Mapping[str, str], name: str) -> None:
    commit(server.folder)
    with pytest.raises(Unavailable) as caught:
        kind.resolve({"url": server.url, "ref": ref})
    assert caught.value.reason == "GitOperationFailed"
    told = f"failed to checkout and determine revision: unable to clone '{server.url}'"
    assert str(caught.value) == f'{told}: couldn\'t find remote ref "{name}"'


@pytest.mark.parametrize("ref", [{"commit": "0" * 40}, {"semver": "*", "branch": "main"}])
def test_a_ref_that_is_left_out_is_refused(server: Server, kind: GitRepository, ref: Mapping[str, str]) -> None:
    commit(server.folder)
    with pytest.raises(Unavailable, match=next(iter(ref))):
        kind.resolve({"url": server.url, "ref": ref})


def test_a_repository_that_is_not_there_is_named(server: Server, kind: GitRepository) -> None:
    with pytest.raises(Unavailable, match=f"'{server.url}': repository not found"):
        kind.resolve({"url": server.url, "ref": {"branch": "main"}})


def test_a_server_that_is_away_or_no_git_server_is_told(kind: GitRepository, server: Server) -> None:
    for url in ("http://127.0.0.1:1/acme/fleet.git", f"{server.address}/nothing"):
        with pytest.raises(Unavailable, match=f"unable to clone '{url}': .") as caught:
            kind.resolve({"url": url})
        assert caught.value.reason == "GitOperationFailed"


def test_a_branch_that_moved_in_between_is_no_wrong_content(server: Server, kind: GitRepository) -> None:
    spec = {"url": server.url, "ref": {"branch": "main"}}
    commit(server.folder)
    revision = kind.resolve(spec)
    shutil.rmtree(server.folder)
    commit(server.folder, {"a.yaml": b"2\n"})
    with pytest.raises(Unavailable, match="unable to clone"):
        kind.fetch(spec, revision)


def fetch(server: Server, kind: GitRepository, files: Mapping[str, bytes], **spec: Any) -> Content:
    commit(server.folder, files)
    given = {"url": server.url, "ref": {"branch": "main"}, **spec}
    return kind.fetch(given, kind.resolve(given))


def test_the_bytes_follow_from_the_content(server: Server, kind: GitRepository) -> None:
    """The same files from other commits are the same artifact: no times, no owners, a fixed order, two modes."""
    first = fetch(server, kind, FILES)
    fetch(server, kind, {})
    again = fetch(server, kind, FILES)
    assert (again.packed, again.digest) == (first.packed, first.digest)
    with tarfile.open(fileobj=io.BytesIO(first.packed)) as archive:
        entries = archive.getmembers()
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in entries} == {(0, 0, 0, "", "")}
    assert [e.name for e in entries] == sorted(FILES)
    assert first.packed[4:8] == bytes(4), "the time in gzip's header"
    assert {e.name: e.mode for e in entries if e.mode != 0o644} == {"scripts/validate.sh": 0o755}


def test_links_are_left_out(server: Server, kind: GitRepository, tmp_path: Path) -> None:
    commit(server.folder)
    run_git(tmp_path, "clone", "--quiet", str(server.folder), "clone")
    (tmp_path / "clone" / "link").symlink_to("a.yaml")
    run_git(tmp_path / "clone", "add", "link")
    run_git(tmp_path / "clone", "commit", "--quiet", "--message=link")
    run_git(tmp_path / "clone", "push", "--quiet", "origin", "main")
    spec = {"url": server.url, "ref": {"branch": "main"}}
    assert unpack(kind.fetch(spec, kind.resolve(spec))) == FILES


LEFT_OUT = (
    ".gitignore",
    "sub/.gitattributes",
    "a.png",
    "x/y/a.tar.gz",
    ".github/workflows/validate.yaml",
    ".sops.yaml",
)
KEPT = ("a.yaml", "github/a.yaml", "a.png.yaml", ".sourceignore")


def test_what_flux_leaves_out_by_default_is_left_out(server: Server, kind: GitRepository) -> None:
    content = fetch(server, kind, dict.fromkeys([*LEFT_OUT, *KEPT], b""))
    assert unpack(content).keys() == set(KEPT)


def test_patterns_of_the_source_and_of_the_repository_add_to_that(server: Server, kind: GitRepository) -> None:
    """The source has the last word, and may take in again what was left out."""
    files = dict.fromkeys(["a.yaml", "docs/a.md", "notes/a.md", "notes/b.md", "a.png"], b"")
    files[".sourceignore"] = b"# what people read\n/docs/\nnotes/*.md\n"
    content = fetch(server, kind, files, ignore="!notes/b.md\n!a.png\n")
    assert unpack(content).keys() == {".sourceignore", "a.yaml", "notes/b.md", "a.png"}


@pytest.mark.parametrize("folder", ["components/web", "./components/web/"])
def test_a_sparse_checkout_holds_its_folders_only(server: Server, kind: GitRepository, folder: str) -> None:
    files = FILES | {"components/web-two/a.yaml": b""}
    content = fetch(server, kind, files, sparseCheckout=[folder, "scripts"])
    assert unpack(content).keys() == {"components/web/base/app.yaml", "scripts/validate.sh"}


def test_a_sparse_checkout_of_everything(server: Server, kind: GitRepository) -> None:
    assert unpack(fetch(server, kind, FILES, sparseCheckout=["."])) == FILES


def test_a_folder_that_is_not_there_is_named(server: Server, kind: GitRepository) -> None:
    with pytest.raises(Unavailable, match="`components/none/` does not exist"):
        fetch(server, kind, FILES, sparseCheckout=["components/web", "components/none"])


# --- the stand-in ----------------------------------------------------------------------------------------------------
class FakeCluster:
    """One GitRepository, and the patches of its status."""

    def __init__(self, url: str) -> None:
        metadata = {"name": "infra", "namespace": "shop", "generation": 1}
        spec = {"url": url, "ref": {"branch": "main"}, "sparseCheckout": ["components/web"]}
        self.source: dict[str, Any] = {"metadata": metadata, "spec": spec, "status": {}}

    def patch(self, resource: Any, name: str, body: dict[str, Any], *, namespace: str, **_: Any) -> None:
        self.source["status"] |= body["status"]

    @property
    def ready(self) -> str:
        """Status, reason and message."""
        found = next(c for c in self.source["status"]["conditions"] if c["type"] == "Ready")
        return f"{found['status']} {found['reason']}: {found['message']}"


def test_the_stand_in_serves_the_commit_that_a_branch_points_at(
    server: Server, kind: GitRepository, tmp_path: Path
) -> None:
    """From a repository that is not there yet to a new commit; health checks and kustomize-controller are told."""
    cluster, store = FakeCluster(server.url), ArtifactStore(tmp_path / "artifacts")
    events = EventLog(tmp_path / "events")
    stand_in = StandIn(cluster, [kind], store, events, "http://127.0.0.1:2")  # type: ignore[arg-type]

    def see() -> dict[str, Any]:
        stand_in._take("GitRepository", "MODIFIED", cluster.source)
        return dict(cluster.source["status"].get("artifact") or {})

    assert see() == {}
    assert cluster.ready == (
        "False GitOperationFailed: stand-in: failed to checkout and determine revision: "
        f"unable to clone '{server.url}': repository not found"
    )
    first = commit(server.folder)
    artifact = see()
    assert cluster.ready.startswith("True ")
    assert artifact["revision"] == f"main@sha1:{first}"
    packed = store.get(artifact["path"]) or b""
    assert artifact["digest"] == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert artifact["path"].startswith("gitrepository/shop/infra/")
    second = commit(server.folder, FILES | {"a.yaml": b"2\n"})
    assert see()["revision"] == f"main@sha1:{second}"
