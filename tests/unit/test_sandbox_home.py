"""The sandbox's folder: ports that stay, a lock with an owner, files that nobody else can read."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.errors import ToolError
from sandbox.cluster.credentials import IDENTITIES, ensure_credentials
from sandbox.cluster.home import LOOPBACK, Home, check_ports, choose_ports, lock, open_home, read_json, write_file


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        yield other.getsockname()[1]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_ports_are_remembered(home: Home) -> None:
    first = choose_ports(home, ["staging"])
    assert choose_ports(home, ["staging"]) == first


def test_a_new_cluster_gets_its_own_ports_and_moves_no_other(home: Home) -> None:
    first = choose_ports(home, ["staging"])
    both = choose_ports(home, ["staging", "production"])
    assert first.items() < both.items()
    assert len(set(both.values())) == len(both)


def test_a_cluster_that_comes_back_has_its_old_ports(home: Home) -> None:
    both = choose_ports(home, ["staging", "production"])
    assert "production/api" not in choose_ports(home, ["staging"])
    assert choose_ports(home, ["staging", "production"]) == both


def test_a_taken_port_is_named_with_its_owner(taken: int) -> None:
    with pytest.raises(ToolError) as caught:
        check_ports({"registry": taken})
    (problem,) = caught.value.problems
    assert problem.path == f"port {taken} (`registry`)"
    assert f"(pid {os.getpid()})" in problem.message
    assert "make down" in problem.hint


def test_every_taken_port_is_reported(taken: int, home: Home) -> None:
    free = choose_ports(home, [])["registry"]
    with pytest.raises(ToolError) as caught:
        check_ports({"a": taken, "b": free, "c": taken})
    assert [problem.path for problem in caught.value.problems] == [
        f"port {taken} (`a`)",
        f"port {taken} (`c`)",
    ]


def test_a_second_owner_is_told_the_first(home: Home) -> None:
    with lock(home), pytest.raises(ToolError, match=rf"pid {os.getpid()}\)"), lock(home):
        pass


def test_the_lock_of_a_dead_owner_is_none(home: Home) -> None:
    (home.root / "up.lock").write_text("4194304000")
    with lock(home):
        assert (home.root / "up.lock").read_text() == str(os.getpid())
    with lock(home):
        pass


def test_files_and_folders_are_private(home: Home) -> None:
    path = home.cluster("staging").credentials / "secret"
    write_file(path, b"1")
    write_file(path, b"2")
    assert path.read_bytes() == b"2"
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(home.root) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_a_file_that_is_not_ours_reads_as_nothing(home: Home) -> None:
    (home.root / "broken").write_text('{"half":')
    assert read_json(home.root / "broken") is None
    assert read_json(home.root / "absent") is None


def test_credentials_are_made_once_and_are_private(home: Home) -> None:
    cluster = home.cluster("staging")
    ensure_credentials(cluster, api_port=1)
    first = {path.name: path.read_bytes() for path in cluster.credentials.iterdir()}
    ensure_credentials(cluster, api_port=1)
    assert {path.name: path.read_bytes() for path in cluster.credentials.iterdir()} == first
    assert {mode(path) for path in cluster.credentials.iterdir()} == {0o600}


def test_every_identity_has_its_own_token_and_follows_the_port(home: Home) -> None:
    cluster = home.cluster("staging")
    ensure_credentials(cluster, api_port=1)
    ensure_credentials(cluster, api_port=2)
    tokens = set()
    for identity in IDENTITIES:
        kubeconfig = read_json(cluster.kubeconfig_of(identity.name))
        assert isinstance(kubeconfig, dict)
        assert kubeconfig["clusters"][0]["cluster"]["server"] == f"https://{LOOPBACK}:2"
        tokens.add(kubeconfig["users"][0]["user"]["token"])
    assert len(tokens) == len(IDENTITIES)


def test_credentials_that_were_cut_short_are_made_again(home: Home) -> None:
    cluster = home.cluster("staging")
    ensure_credentials(cluster, api_port=1)
    (cluster.credentials / "tokens.csv").unlink()
    old = (cluster.credentials / "ca.crt").read_bytes()
    ensure_credentials(cluster, api_port=1)
    assert (cluster.credentials / "ca.crt").read_bytes() != old
    assert (cluster.credentials / "tokens.csv").is_file()


@pytest.mark.parametrize(
    ("server", "client", "accepted"),
    [
        ("etcd", "etcd-client", True),
        ("etcd", None, False),
        ("etcd", "kube-apiserver", False),
        ("etcd", "etcd", True),
    ],
)
def test_etcd_takes_only_a_client_certificate(home: Home, server: str, client: str | None, accepted: bool) -> None:
    cluster = home.cluster("staging")
    ensure_credentials(cluster, api_port=1)
    keys = cluster.credentials
    listens = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(keys / "ca.crt"))
    listens.load_cert_chain(keys / f"{server}.crt", keys / f"{server}.key")
    listens.verify_mode = ssl.CERT_REQUIRED
    calls = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    calls.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        calls.load_cert_chain(keys / f"{client}.crt", keys / f"{client}.key")
    assert shake_hands(listens, calls) is accepted


def shake_hands(listens: ssl.SSLContext, calls: ssl.SSLContext) -> bool:
    """Whether both sides finish a TLS handshake in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        calls.wrap_bio(back, there, server_hostname=LOOPBACK),
        listens.wrap_bio(there, back, server_side=True),
    ]
    done = [False, False]
    for _ in range(10):
        for index, side in enumerate(sides):
            try:
                side.do_handshake()
                done[index] = True
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return all(done)
