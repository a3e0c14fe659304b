"""What a machine says of its kind clusters: `kind` and `docker` are programs that answer as the real ones do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from fleet.errors import Problem
from fleet.resources.clusters.kind import host

NO_DAEMON: Final = """\
echo 'ERROR: failed to list clusters: command "docker ps -a" failed with error: exit status 1' >&2
echo >&2
echo 'Command Output: failed to connect to the docker API at unix:///var/run/docker.sock;' >&2
echo '  check that the daemon is running' >&2
exit 1
"""
NO_DOCKER: Final = """\
echo 'ERROR: failed to list clusters: command "docker ps -a" failed with error: exec: "docker": not found' >&2
exit 1
"""
EMPTY: Final = "echo 'No kind clusters found.' >&2\n"
OURS: Final = {"prod": "made-as"}


class Machine:
    """Its programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, program: str, text: str) -> None:
        path = self.folder / program
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    return Machine(tmp_path)


def problem() -> Problem:
    with pytest.raises(host.HostError) as raised:
        host.look(OURS)
    (found,) = raised.value.problems
    return found


def test_clusters(machine: Machine) -> None:
    machine.has("kind", '[ "$*" = "get clusters" ] && echo b && echo a')
    assert host.look({}) == (frozenset({"a", "b"}), [])


def test_no_cluster(machine: Machine) -> None:
    """kind says so in a sentence, which is no cluster's name."""
    machine.has("kind", EMPTY)
    assert host.look(OURS) == (frozenset(), [])


def test_stopped_nodes_of_ours(machine: Machine) -> None:
    """Docker's own words are not needed for clusters that are gone, or of others."""
    machine.has("kind", "echo made-as; echo other")
    machine.has("docker", 'case "$*" in *=made-as*status=exited*) echo one; echo two;; *) exit 1;; esac')
    hint = "`docker start one two`, then again"
    assert host.look(OURS | {"gone": "gone"})[1] == [Problem("clusters.prod", "stopped: `one`, `two`", hint)]


@pytest.mark.parametrize(
    ("programs", "chosen", "used"),
    [
        (("docker", "podman"), "", "docker"),
        (("podman",), "", "podman"),
        (("nerdctl", "podman"), "", "nerdctl"),
        (("docker", "podman"), "podman", "podman"),
    ],
)
def test_the_runtime_is_the_one_that_kind_takes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, programs: tuple[str, ...], chosen: str, used: str
) -> None:
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", chosen)
    machine.has("kind", "echo made-as")
    for program in programs:
        machine.has(program, f"echo {program}-node")
    assert host.look(OURS)[1][0].hint == f"`{used} start {used}-node`, then again"


def test_kind_is_missing(machine: Machine) -> None:
    found = problem()
    assert (found.path, found.message) == ("kind", "not found on `PATH`")
    assert "https://kind.sigs.k8s.io" in found.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            NO_DAEMON,
            "failed to connect to the docker API at unix:///var/run/docker.sock; check that the daemon is running",
        ),
        (
            NO_DOCKER,
            'ERROR: failed to list clusters: command "docker ps -a" failed with error: exec: "docker": not found',
        ),
        ("exit 1", ""),
    ],
)
def test_docker_does_not_run(machine: Machine, text: str, told: str) -> None:
    """In its own words, which kind puts last."""
    machine.has("kind", text)
    found = problem()
    assert found.message == f"`kind get clusters` failed: {told}"
    assert "docker ps" in found.hint


def test_long_words_are_cut(machine: Machine) -> None:
    machine.has("kind", f"echo {'x' * 5000} >&2; exit 1")
    assert len(problem().message) < 400


def test_a_program_that_cannot_be_run(machine: Machine) -> None:
    (machine.folder / "kind").write_text("")
    (machine.folder / "kind").chmod(0o755)
    assert "kind" in problem().message


def test_a_program_that_hangs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PATIENCE", 0.2)
    monkeypatch.setenv("PATH", f"{machine.folder}{os.pathsep}{os.defpath}")
    machine.has("kind", "exec sleep 60")
    assert "timed out" in problem().message
