"""The real kind, run by the command of a cluster as its provider runs it: against a `docker` that records, and, where
there is one, the real Docker.

Left out on purpose: what a failing kind leads to, which tests/unit/test_kind_script.py shows quicker.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.model import KindCluster
from fleet.model.clusters.node_images import NEWEST, NODE_IMAGES
from fleet.ownership import ABSENT
from fleet.resources import live
from fleet.resources.clusters.kind import host
from fleet.resources.clusters.kind.command import SCRIPT, _environment, authority
from sandbox.build import Parts
from sandbox.parts import recipe
from tests import fake_docker

pytestmark = pytest.mark.sandbox

REPOSITORY: Final = Path(__file__).parents[2]
AT_MOST: Final = 300.0
"""Seconds until a command that hangs fails a test."""
CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def source(**keys: Any) -> KindCluster:
    return KindCluster.model_validate({"kind": "kind"} | keys)


class Machine:
    """One that has kind, and Docker as the tests have it."""

    def __init__(self, folder: Path, parts: Parts) -> None:
        self.docker, self.home, self.scratch, programs = (folder / name for name in ("docker", "user", "tmp", "bin"))
        for made in (self.docker, self.home, self.scratch, programs):
            made.mkdir()
        (programs / "kind").symlink_to(parts.kind)
        (programs / "docker").write_text(f"#!{sys.executable} -SE\n{Path(fake_docker.__file__).read_text()}")
        (programs / "docker").chmod(0o755)
        self.environment = {
            "PATH": f"{programs}{os.pathsep}{os.defpath}",
            "HOME": str(self.home),
            "TMPDIR": str(self.scratch),
            "FAKE_DOCKER": str(self.docker),
        }

    def start(self, verb: str, **keys: Any) -> subprocess.Popen[str]:
        cluster = source(**keys)
        return subprocess.Popen(
            ["/bin/sh", "-c", f"{SCRIPT} {verb}"],
            cwd=REPOSITORY,
            env=self.environment | _environment("staging", cluster, cluster.image),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, verb: str, **keys: Any) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        with self.start(verb, **keys) as process:
            out, err = process.communicate(timeout=AT_MOST)
        return process.returncode, out, err

    def calls(self, *verbs: str) -> list[list[str]]:
        """What was asked of Docker with one of these verbs."""
        return [arguments for arguments, _ in fake_docker.calls(self.docker) if arguments[0] in verbs]

    @property
    def nodes(self) -> list[str]:
        return sorted(path.parent.name for path in self.docker.glob("nodes/*/labels"))

    @property
    def left(self) -> list[Path]:
        return [*self.home.rglob("*"), *self.scratch.rglob("*")]

    def file(self, node: str, path: str) -> str:
        return (self.docker / "nodes" / node / path.lstrip("/")).read_text()


@pytest.fixture
def machine(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path, parts)
    for key, value in found.environment.items():
        monkeypatch.setenv(key, value)
    return found


# --- the pinned release ----------------------------------------------------------------------------------------------
def test_the_newest_image_is_the_default_of_the_pinned_release() -> None:
    """In its source, which go.sum has checked."""
    module = f"sigs.k8s.io/kind@{recipe.module_version('sigs.k8s.io/kind')}"
    told = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True).stdout
    text = (Path(json.loads(told)["Dir"]) / "pkg/apis/config/defaults/image.go").read_text()
    assert re.findall(r'Image = "(.+)"', text) == [NODE_IMAGES[NEWEST]]


# --- a `docker` that records -----------------------------------------------------------------------------------------
def test_create_and_delete(machine: Machine) -> None:
    """The program sees the cluster come and go, and its kubeconfig is written to no file that stays."""
    code, out, err = machine.run("create", kubernetes="1.36")
    assert code == 0, err
    kubeconfig = yaml.safe_load(out)
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:40123"
    assert authority(out)
    assert host.look({"staging": "staging"}) == (frozenset({"staging"}), [])
    (run,) = machine.calls("run")
    assert run[-1] == NODE_IMAGES["1.36"]
    assert machine.run("show", kubernetes="1.36")[:2] == (0, out)
    assert machine.run("delete")[:2] == (0, "")
    assert machine.nodes == []
    assert host.look({}) == (frozenset(), [])
    assert machine.left == []


def test_nodes_ports_and_mirrors(machine: Machine) -> None:
    keys: dict[str, Any] = {
        "controlPlanes": 2,
        "workers": 1,
        "ingress": {"https": 8443},
        "ports": [{"host": 5432, "node": 30432, "protocol": "UDP", "address": "0.0.0.0"}],  # noqa: S104
        "mirrors": {"docker.io": ["https://a.example/v2/x", "http://b:5000"], "_default": ["https://a.example"]},
        "mirrorCa": CERTIFICATE,
    }
    code, _, err = machine.run("create", **keys)
    assert code == 0, err
    nodes = ["staging-control-plane", "staging-control-plane2", "staging-worker"]
    assert machine.nodes == sorted([*nodes, "staging-external-load-balancer"])
    (first,) = [run for run in machine.calls("run") if run[2] == nodes[0]]
    published = {option.removeprefix("--publish=") for option in first if option.startswith("--publish=")}
    assert {"127.0.0.1:80:30080/TCP", "127.0.0.1:8443:30443/TCP", "0.0.0.0:5432:30432/UDP"} < published
    assert "ingress-ready=true" in machine.file(nodes[0], "/kind/kubeadm.conf")
    for node in nodes:
        config = tomllib.loads(machine.file(node, "/etc/containerd/config.toml"))
        assert config["plugins"]["io.containerd.grpc.v1.cri"]["registry"] == {"config_path": "/etc/containerd/certs.d"}
        trusted = f"{machine.docker}/nodes/{node}/etc/containerd/certs.d/docker.io/ca.crt"
        assert Path(trusted).read_text() == CERTIFICATE
        each = {"capabilities": ["pull", "resolve"], "ca": trusted}
        mirrored = tomllib.loads(machine.file(node, "/etc/containerd/certs.d/docker.io/hosts.toml"))["host"]
        assert [*mirrored.items()] == [("https://a.example/v2/x", each), ("http://b:5000", each)]
        others = tomllib.loads(machine.file(node, "/etc/containerd/certs.d/_default/hosts.toml"))["host"]
        assert others.keys() == {"https://a.example"}
    assert machine.run("delete")[0] == 0
    assert machine.nodes == []


def test_the_cluster_of_somebody_else_is_never_touched(machine: Machine) -> None:
    assert machine.run("create")[0] == 0
    code, out, err = machine.run("create")
    assert (code, out) == (1, "")
    assert "there is a kind cluster `staging` already" in err
    assert machine.nodes == ["staging-control-plane"]
    assert machine.run("create", takeOver=True)[0] == 0
    assert len(machine.calls("run")) == 1


def test_what_kind_cannot_make_it_removes(machine: Machine) -> None:
    (machine.docker / "fail").write_text("kubeadm")
    code, out, err = machine.run("create")
    assert (code, out) == (1, "")
    assert "the daemon says no" in err
    assert machine.nodes == []
    assert machine.left == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_create_leaves_no_node(machine: Machine, how: signal.Signals) -> None:
    """While kind waits for a node: it is ended, and what it has made is removed."""
    (machine.docker / "slow").write_text("kubeadm")
    with machine.start("create") as process:
        slow = machine.docker / "slow.pid"
        deadline = time.monotonic() + AT_MOST
        while not slow.exists() or not slow.read_text():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        assert machine.nodes == ["staging-control-plane"]
        process.send_signal(how)
        process.communicate(timeout=AT_MOST)
    os.kill(int(slow.read_text()), signal.SIGKILL)  # what kind had started in the node, which a container's end ends
    assert machine.nodes == []
    assert machine.left == []


def test_docker_does_not_run(machine: Machine) -> None:
    (machine.docker / "fail").write_text("ps")
    with pytest.raises(host.HostError, match="`kind get clusters` failed: the daemon says no"):
        host.look({})


def test_stopped_nodes(machine: Machine) -> None:
    assert machine.run("create")[0] == 0
    (machine.docker / "stopped").write_text("staging-control-plane")
    ((problem),) = host.look({"staging": "staging"})[1]
    assert problem.message == "stopped: `staging-control-plane`"


# --- the real Docker -------------------------------------------------------------------------------------------------
@pytest.mark.docker
def test_a_cluster_that_answers(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, read as the program reads it, and removed; its kubeconfig is written to no file."""
    programs, scratch = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    scratch.mkdir()
    (programs / "kind").symlink_to(parts.kind)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(scratch))
    name = f"fleet-test-{os.getpid()}"
    cluster = source(mirrors={"registry.example.com": ["https://mirror.example.com"]})
    environment = os.environ | _environment(name, cluster, cluster.image)

    def run(verb: str) -> str:
        command = ["/bin/sh", "-c", f"{SCRIPT} {verb}"]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        kubeconfig = run("create")
        found = live.read(kubeconfig)
        assert (found.operator, found.instance) == (ABSENT, ABSENT)
        assert found.uid
        assert authority(kubeconfig) == authority(run("show"))
        assert name in host.look({name: name})[0]
        hosts = "/etc/containerd/certs.d/registry.example.com/hosts.toml"
        command = ["docker", "exec", f"{name}-control-plane", "cat", hosts]
        assert "mirror.example.com" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        run("delete")
    assert name not in host.look({})[0]
    assert [*scratch.rglob("*")] == []
