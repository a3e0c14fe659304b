"""What the command of a kind cluster runs, as its provider runs it, with a `kind` that only records.

With the real kind: tests/sandbox/test_kind.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.checkout import KIND, REPOSITORY, Checkout
from tests.reader import Reader

FAKE_KIND: Final = f"""\
#!{sys.executable}
import json, os, pathlib, signal, stat, sys
arguments, root = sys.argv[1:], pathlib.Path(os.environ["RECORD"])
clusters = root / "clusters"
verb = " ".join(arguments[:2])
name = arguments[arguments.index("--name") + 1] if "--name" in arguments else ""
private = None
if "--kubeconfig" in arguments:
    place = pathlib.Path(arguments.pop(arguments.index("--kubeconfig") + 1))
    private = stat.S_IMODE(place.parent.stat().st_mode)
    place.write_text("KUBECONFIG of a file")
elif verb in ("create cluster", "delete cluster"):
    place = pathlib.Path.home() / ".kube" / "config"
    place.parent.mkdir(exist_ok=True)
    place.write_text("KUBECONFIG")
given = sys.stdin.read() if "--config" in arguments else ""
with (root / "calls").open("a") as file:
    file.write(json.dumps([arguments, given, private]) + "\\n")
there = set(clusters.read_text().split()) if clusters.exists() else set()
if os.environ.get("FAIL") == verb:
    print("kind says no", file=sys.stderr)
    sys.exit(1)
if verb == "create cluster":
    print("chatter on standard output", flush=True)
    print("chatter on standard error", file=sys.stderr)
    clusters.write_text("\\n".join(there | {{name}}))
    if os.environ.get("SLOW"):
        (root / "waiting").write_text(str(os.getpid()))
        signal.pause()
elif verb == "delete cluster":
    clusters.write_text("\\n".join(there - {{name}}))
elif verb == "get clusters":
    print("\\n".join(sorted(there)))
elif verb == "get nodes":
    print(f"{{name}}-control-plane\\n{{name}}-worker")
elif verb == "get kubeconfig":
    print("KUBECONFIG")
"""
"""Like the real one, it writes a kubeconfig whatever it does: to the given place, or below the home folder."""
FAKE_DOCKER: Final = f"""\
#!{sys.executable}
import json, os, pathlib, sys
with (pathlib.Path(os.environ["RECORD"]) / "docker").open("a") as file:
    file.write(json.dumps([sys.argv[1:], sys.stdin.read()]) + "\\n")
sys.exit(os.environ.get("FAIL") == "docker")
"""
AT_MOST: Final = 30.0
"""Seconds until a test that waits for something that does not happen fails."""


class Script:
    """The commands of one resource, in a place of their own."""

    def __init__(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        self.inputs, self.root = inputs, folder / "record"
        self.home, self.scratch, programs = folder / "user", folder / "scratch", folder / "bin"
        for made in (self.root, self.home, self.scratch, programs):
            made.mkdir()
        for name, text in (("kind", FAKE_KIND), ("docker", FAKE_DOCKER)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self._own = {
            "PATH": f"{programs}{os.pathsep}{os.defpath}",
            "HOME": str(self.home),
            "TMPDIR": str(self.scratch),
            "RECORD": str(self.root),
        }

    def start(self, verb: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/sh", "-c", self.inputs[verb]],
            cwd=REPOSITORY,
            env=self._own | dict(self.inputs["environment"]) | environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, verb: str, **environment: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        with self.start(verb, **environment) as process:
            out, err = process.communicate(timeout=AT_MOST)
        return process.returncode, out, err

    def calls(self, program: str = "calls") -> list[Any]:
        path = self.root / program
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def verbs(self) -> list[str]:
        return [" ".join(arguments[:2]) for arguments, *_ in self.calls()]

    @property
    def clusters(self) -> list[str]:
        path = self.root / "clusters"
        return path.read_text().split() if path.exists() else []

    def have(self, *clusters: str) -> None:
        (self.root / "clusters").write_text("\n".join(clusters))

    @property
    def left(self) -> list[Path]:
        return [*self.home.rglob("*"), *self.scratch.rglob("*")]


@pytest.fixture
def keys() -> dict[str, Any]:
    """Of the cluster in the stack's configuration."""
    return {}


@pytest.fixture
def script(checkout: Checkout, reader: Reader, keys: dict[str, Any]) -> Script:
    run = checkout.run("staging", clusters={"staging": {"kind": "kind", **keys}})
    return Script(checkout.root, run.resources[f"{KIND}::staging-kind"].inputs)


def test_create_prints_the_kubeconfig_and_nothing_else(script: Script) -> None:
    """What it prints is what the stack keeps; the folder of the file that kind wrote was private, and is gone."""
    code, out, err = script.run("create")
    assert (code, out) == (0, "KUBECONFIG\n")
    assert err.splitlines() == ["chatter on standard output", "chatter on standard error"]
    environment = script.inputs["environment"]
    options = ["--config", "-", "--image", environment["KIND_IMAGE"], "--kubeconfig", "--wait", "5m"]
    assert script.calls() == [
        [["get", "clusters"], "", None],
        [["create", "cluster", "--name", "staging", *options], f"{environment['KIND_CONFIG']}\n", 0o700],
        [["get", "kubeconfig", "--name", "staging"], "", None],
    ]
    assert script.clusters == ["staging"]
    assert script.left == []


def test_the_configuration_survives_the_shell(script: Script) -> None:
    """Neither `$`, backslashes nor quotes mean anything in it."""
    odd = """{"a": "$HOME `id` \\\\n '%s' EOF"}"""
    script.run("create", KIND_CONFIG=odd)
    assert script.calls()[1][1] == f"{odd}\n"


def test_an_update_shows_the_kubeconfig_again(script: Script) -> None:
    assert script.run("update")[:2] == (0, "KUBECONFIG\n")
    assert script.verbs == ["get kubeconfig"]


def test_delete_leaves_the_users_kubeconfig_alone(script: Script) -> None:
    script.have("other", "staging")
    assert script.run("delete")[:2] == (0, "")
    assert script.calls() == [[["delete", "cluster", "--name", "staging", "--kubeconfig"], "", 0o700]]
    assert script.clusters == ["other"]
    assert script.left == []


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_a_missing_kind_fails_the_command(script: Script, verb: str) -> None:
    code, out, err = script.run(verb, PATH=os.defpath)
    assert (code, out) == (127, "")
    assert "kind" in err
    assert script.left == []


@pytest.mark.parametrize(
    ("verb", "failing", "calls"),
    [
        ("create", "get clusters", ["get clusters"]),
        ("create", "create cluster", ["get clusters", "create cluster"]),
        ("create", "get kubeconfig", ["get clusters", "create cluster", "get kubeconfig", "delete cluster"]),
        ("update", "get kubeconfig", ["get kubeconfig"]),
        ("delete", "delete cluster", ["delete cluster"]),
    ],
)
def test_a_failure_of_kind_fails_the_command(script: Script, verb: str, failing: str, calls: list[str]) -> None:
    """kind removes itself what it could not make: a cluster of that name may be another's. One whose kubeconfig cannot
    be had would be lost to the state."""
    code, out, err = script.run(verb, FAIL=failing)
    assert (code, out) == (1, "")
    assert "kind says no" in err
    assert script.verbs == calls
    assert script.left == []


# --- a name that is taken --------------------------------------------------------------------------------------------
def test_the_cluster_of_somebody_else_is_never_touched(script: Script) -> None:
    """Also when it came up after the program had looked."""
    script.have("staging")
    code, out, err = script.run("create")
    assert (code, out) == (1, "")
    assert err == "there is a kind cluster `staging` already, which this stack did not make\n"
    assert script.verbs == ["get clusters"]
    assert script.clusters == ["staging"]


def test_a_name_that_contains_it_is_another(script: Script) -> None:
    script.have("my-staging", "staging-2")
    assert script.run("create")[0] == 0


@pytest.mark.parametrize("keys", [{"takeOver": True}])
def test_it_is_taken_over_if_asked(script: Script) -> None:
    script.have("staging")
    assert script.run("create")[:2] == (0, "KUBECONFIG\n")
    assert script.verbs == ["get clusters", "get kubeconfig"]
    script.have()
    script.run("create")
    assert script.verbs[2:] == ["get clusters", "create cluster", "get kubeconfig"]


# --- nothing half-made stays -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "kill"),
    [
        *((how, os.kill) for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)),
        *((how, os.killpg) for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", "")),
)
def test_an_interrupted_create_leaves_nothing(
    script: Script, how: signal.Signals, kill: Callable[[int, int], None]
) -> None:
    """However the script ends: the engine kills it outright when its user presses Ctrl-C, a terminal tells the whole
    group. Its output stays open until kind has ended and the cluster is removed, which the provider waits for."""
    with script.start("create", SLOW="1") as process:
        waiting = script.root / "waiting"
        deadline = time.monotonic() + AT_MOST
        while not waiting.exists() or not waiting.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert script.clusters == ["staging"]
        kill(process.pid, how)
        out, _ = process.communicate(timeout=AT_MOST)
    assert process.returncode != 0
    assert out == ""
    assert script.clusters == []
    assert script.left == []


@pytest.mark.parametrize("keys", [{"mirrors": {"docker.io": ["https://m"]}}])
def test_nodes_that_cannot_be_set_up_leave_nothing(script: Script) -> None:
    assert script.run("create", FAIL="docker")[:2] == (1, "")
    assert script.verbs == ["get clusters", "create cluster", "get nodes", "delete cluster"]
    assert script.clusters == []
    assert script.left == []


# --- nodes -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("keys", [{"mirrors": {"docker.io": ["https://m"]}}])
def test_each_node_runs_the_script_of_nodes(script: Script) -> None:
    assert script.run("create")[:2] == (0, "KUBECONFIG\n")
    text = f"{script.inputs['environment']['KIND_NODE_SETUP']}\n"
    nodes = ("staging-control-plane", "staging-worker")
    assert script.calls("docker") == [[["exec", "-i", node, "sh"], text] for node in nodes]


@pytest.mark.parametrize("keys", [{"mirrors": {"docker.io": ["https://m"]}}])
def test_the_container_runtime_can_be_another(script: Script) -> None:
    """kind is told by the same variable."""
    docker = next(Path(folder) / "docker" for folder in script._own["PATH"].split(os.pathsep))
    docker.rename(docker.with_name("podman"))
    assert script.run("create", KIND_EXPERIMENTAL_PROVIDER="podman")[0] == 0
    assert len(script.calls("docker")) == 2


def test_the_script_is_valid_for_every_shell() -> None:
    """Of POSIX: it may be dash, bash or zsh that answers to `sh`."""
    path = REPOSITORY / "fleet/resources/clusters/kind/kind.sh"
    checked = subprocess.run(["/bin/sh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert not re.search(r"\[\[|\blocal\b|\bpipefail\b|\$'", path.read_text())
