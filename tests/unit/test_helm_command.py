"""Running helm, with scripts in its place that show what it is given."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import ToolError
from sandbox.program import helm_command
from sandbox.program.helm_command import Helm

Make = Callable[[str], Helm]


@pytest.fixture
def helm(tmp_path: Path) -> Make:
    """Makes a `Helm` out of the body of a shell script."""

    def make(body: str) -> Helm:
        binary = tmp_path / "helm"
        binary.write_text(f"#!/bin/sh\n{body}\n")
        binary.chmod(0o700)
        return Helm(
            binary=binary,
            kubeconfig="the kubeconfig",
            folder=tmp_path / "work",
            cluster="127.0.0.1:1",
            stopped=threading.Event(),
        )

    return make


def run(helm: Helm, *arguments: str, values: str = "", seconds: int = 5) -> None:
    with helm.turn("r", "ns", seconds) as turn:
        turn.run(*arguments, values=values)


def test_arguments_and_values_arrive(helm: Make, tmp_path: Path) -> None:
    """Values as a file: an argument would show them to every user of the machine."""
    made = helm(f'echo "$@" > {tmp_path}/arguments\nfor last in "$@"; do :; done\ncp "$last" {tmp_path}/values')
    run(made, "upgrade", "r", values='{"a": "s3cret"}')
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:-1] == ["upgrade", "r", "--namespace", "ns", "--timeout", "5s", "--values"]
    assert json.loads((tmp_path / "values").read_text()) == {"a": "s3cret"}


def test_what_is_secret_is_private_and_short_lived(helm: Make, tmp_path: Path) -> None:
    made = helm(f'ls -ld "$HOME" "$HOME"/* > {tmp_path}/seen\ncat "$KUBECONFIG" > {tmp_path}/kubeconfig')
    run(made, "upgrade", values="{}")
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    modes = {Path(fields[-1]).name: fields[0][:10] for fields in seen[1:]}
    assert modes == {"kubeconfig": "-rw-------", "values.json": "-rw-------"}
    assert seen[0][0][:10] == "drwx------"
    assert (tmp_path / "kubeconfig").read_text() == "the kubeconfig"
    assert [path.suffix for path in (tmp_path / "work").iterdir()] == [".lock"]


def test_a_helm_slower_than_a_look_is_waited_for(helm: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_command, "POLL", 0.01)
    run(helm(f"sleep 0.1; touch {tmp_path}/done"), "upgrade", values="{}")
    assert (tmp_path / "done").exists()


def test_nothing_of_the_users_reaches_helm(helm: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_DRIVER", "memory")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    run(helm(f"env > {tmp_path}/seen"), "status")
    names = set(re.findall(r"^(\w+)=", (tmp_path / "seen").read_text(), re.MULTILINE))
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "HOME", "TMPDIR", "KUBECONFIG"}


def test_the_last_line_is_the_error(helm: Make) -> None:
    with pytest.raises(ToolError, match="helm upgrade: chart not found\n"):
        run(helm("echo warning >&2; echo 'Error: chart not found' >&2; exit 1"), "upgrade")


def test_an_interrupted_run_ends_helm(helm: Make) -> None:
    made = helm("exec sleep 600")
    made.stopped.set()
    with pytest.raises(ToolError):
        run(made, "upgrade", seconds=300)


def test_releases_and_clusters_do_not_wait_for_each_other(helm: Make) -> None:
    first = helm("true")
    second = Helm(**{**vars(first), "cluster": "127.0.0.1:2"})
    with first.turn("r", "ns", 1), first.turn("other", "ns", 1), second.turn("r", "ns", 1):
        pass


def test_a_release_that_stays_taken_is_an_error(helm: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_command, "GRACE_SECONDS", 0)
    made = helm("true")
    with made.turn("r", "ns", 1), pytest.raises(ToolError, match="still at work"), made.turn("r", "ns", 0):
        pass


KILLED = """
import sys, threading
from pathlib import Path
from sandbox.program.helm_command import Helm
binary, folder = map(Path, sys.argv[1:])
helm = Helm(binary=binary, kubeconfig="", folder=folder, cluster="127.0.0.1:1", stopped=threading.Event())
with helm.turn("r", "ns", 60) as turn:
    turn.run("upgrade")
"""


def test_a_helm_whose_run_was_killed_is_waited_for(helm: Make, tmp_path: Path) -> None:
    """Else the next run would uninstall what it is still installing."""
    for pipe in ("started", "go"):
        os.mkfifo(tmp_path / pipe)
    made = helm(f"echo > {tmp_path}/started\nread _ < {tmp_path}/go\ntouch {tmp_path}/done")
    arguments = [sys.executable, "-c", KILLED, str(made.binary), str(made.folder)]
    with subprocess.Popen(arguments, cwd=Path(__file__).parents[2]) as killed:
        (tmp_path / "started").read_text()
        killed.send_signal(signal.SIGKILL)
    (lock,) = made.folder.glob("*.lock")
    with lock.open("w") as file:
        assert not helm_command._is_ours(file)
    (tmp_path / "go").write_text("\n")
    with made.turn("r", "ns", 60):
        assert (tmp_path / "done").exists()
