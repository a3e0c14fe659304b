"""Clusters of a stack: several side by side, and one that the kind CLI makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fleet.resources import live
from sandbox.program.registration import reveal
from tests.checkout import KIND, Checkout
from tests.reader import ADOPTED, FRESH, Reader, found

AT_MOST = 30.0
"""Seconds until a test that waits for something that does not happen fails."""


# --- several clusters ------------------------------------------------------------------------------------------------
def test_clusters_are_read_at_the_same_time(checkout: Checkout, reader: Reader) -> None:
    """Neither read ends before both have begun."""
    both = threading.Barrier(2, timeout=AT_MOST)

    def answer(kubeconfig: str) -> live.Verdicts:
        both.wait()
        return FRESH

    reader.answer = answer
    checkout.run("production")
    assert sorted(reader.asked) == sorted((checkout.kubeconfig(name), None) for name in ("prod-eu", "prod-us"))


@pytest.mark.parametrize("first", ["prod-eu", "prod-us"])
def test_it_does_not_matter_which_cluster_answers_first(checkout: Checkout, reader: Reader, first: str) -> None:
    """Each verdict goes to its own cluster, and the text that names the clusters keeps the order of the file."""
    answered = threading.Event()

    def answer(kubeconfig: str) -> live.Verdicts:
        if kubeconfig == checkout.kubeconfig(first):
            answered.set()
            return found("instance", ADOPTED, ADOPTED)
        assert answered.wait(AT_MOST)
        return FRESH

    reader.answer = answer
    run = checkout.run("production")
    adopted = {name: run.of(name, "instance").import_id for name in ("prod-eu", "prod-us")}
    assert adopted == {"prod-eu": "", "prod-us": ""} | {first: "flux-system/flux"}
    assert "production runs on: prod-eu, prod-us" in run.outputs["onboarding"]


# --- kind ------------------------------------------------------------------------------------------------------------
FAKE_KIND = f"""\
#!{sys.executable}
import json, os, pathlib, stat, sys
arguments = sys.argv[1:]
place = pathlib.Path.home() / ".kube" / "config"
if "--kubeconfig" in arguments:
    place = pathlib.Path(arguments[arguments.index("--kubeconfig") + 1])
place.parent.mkdir(exist_ok=True)
mode = stat.S_IMODE(place.stat().st_mode) if place.exists() else None
pathlib.Path(os.environ["RECORD"]).write_text(json.dumps([[a for a in arguments if a != str(place)], mode]))
print("chatter on standard output", flush=True)
print("chatter on standard error", file=sys.stderr)
if os.environ.get("FAIL"):
    sys.exit(3)
place.write_text("KUBECONFIG\\n")
"""
"""Like the real one, it touches a kubeconfig whatever it does: the given one, or the one in the home folder."""


class Kind:
    """The text of the command's create and delete, run as its provider runs it, with a `kind` that only records."""

    def __init__(self, folder: Path, inputs: dict[str, Any]) -> None:
        self.inputs = inputs
        self.home, self.scratch = folder / "user", folder / "scratch"
        self._bin, self._record = folder / "bin", folder / "record.json"
        for made in (self.home, self.scratch, self._bin):
            made.mkdir()
        (self._bin / "kind").write_text(FAKE_KIND)
        (self._bin / "kind").chmod(0o755)

    def run(self, verb: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._bin}{os.pathsep}{os.defpath}"
        own = {"PATH": path, "HOME": str(self.home), "TMPDIR": str(self.scratch), "RECORD": str(self._record)}
        return subprocess.run(
            ["/bin/sh", "-c", self.inputs[verb]],
            env=own | self.inputs["environment"] | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def recorded(self) -> tuple[list[str], int | None]:
        """The arguments without the path of the kubeconfig, and the mode that the file had."""
        arguments, mode = json.loads(self._record.read_text())
        return arguments, mode

    @property
    def left(self) -> list[Path]:
        return [*self.home.rglob("*"), *self.scratch.rglob("*")]


@pytest.fixture
def kind(checkout: Checkout, reader: Reader) -> Kind:
    return Kind(checkout.root, dict(checkout.run("staging").resources[f"{KIND}::staging-kind"].inputs))


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_the_commands_are_valid_shell(kind: Kind, verb: str) -> None:
    checked = subprocess.run(["/bin/sh", "-n"], input=kind.inputs[verb], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_create_prints_the_kubeconfig_and_nothing_else(kind: Kind) -> None:
    """What it prints is what the stack keeps; the file that kind wrote is private and gone."""
    done = kind.run("create")
    assert (done.returncode, done.stdout) == (0, "KUBECONFIG\n")
    assert done.stderr.splitlines() == ["chatter on standard output", "chatter on standard error"]
    arguments = ["create", "cluster", "--name", "staging", "--kubeconfig", "--wait", "5m"]
    assert kind.recorded == (arguments, 0o600)
    assert kind.left == []


def test_delete_leaves_the_users_kubeconfig_alone(kind: Kind) -> None:
    done = kind.run("delete")
    assert done.returncode == 0
    assert kind.recorded[0] == ["delete", "cluster", "--name", "staging", "--kubeconfig"]
    assert kind.left == []


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_a_failure_of_kind_fails_the_command(kind: Kind, verb: str) -> None:
    done = kind.run(verb, FAIL="1")
    assert done.returncode == 3
    assert "KUBECONFIG" not in done.stdout
    assert "chatter on standard error" in done.stderr
    assert kind.left == []


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_a_missing_kind_fails_the_command(kind: Kind, verb: str) -> None:
    done = kind.run(verb, PATH=os.defpath)
    assert done.returncode == 127
    assert "kind" in done.stderr


def test_the_node_image_is_passed_on(checkout: Checkout, reader: Reader) -> None:
    image = f"kindest/node@sha256:{'0' * 64}"
    run = checkout.run("staging", clusters={"staging": {"kind": "kind", "nodeImage": image}})
    kind = Kind(checkout.root, dict(run.resources[f"{KIND}::staging-kind"].inputs))
    assert kind.inputs["environment"] == {"KIND_NAME": "staging", "KIND_IMAGE": image}
    kind.run("create")
    assert kind.recorded[0][5:] == ["--image", image, "--wait", "5m"]


def test_a_kind_cluster_is_read_with_the_kubeconfig_that_it_printed(checkout: Checkout, reader: Reader) -> None:
    run = checkout.run("staging")
    assert reader.asked == [(checkout.kubeconfig("staging"), None)]
    provider = run.resources["pulumi:providers:kubernetes::staging"].inputs
    assert reveal(provider["kubeconfig"]) == checkout.kubeconfig("staging")
