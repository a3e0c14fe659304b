"""A kind cluster with the real Pulumi engine: what only it can show, replacement, refresh, interruption, destroy.

`kind` is a program of the tests that leads to API servers of the sandbox. ConfigMaps stand in for Flux and its
operator: nothing runs on these clusters.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.model.clusters.node_images import NODE_IMAGES
from sandbox.build import Parts
from sandbox.program.api import Api
from tests.sandbox.control_plane import control_plane

pytestmark = [pytest.mark.sandbox, pytest.mark.engine]

REPOSITORY: Final = Path(__file__).parents[2]
PATIENCE: Final = 300
"""Seconds for one command; a bound against hanging, not an expectation."""
OBJECTS: Final = 6
"""Namespace, registry secret, variables, the two that stand for operator and FluxInstance, and their component."""
PROGRAM: Final = '''
from pathlib import Path

import pulumi

from fleet import config, resources
from fleet.errors import FleetError
from fleet.resources import handover, operator, options


def config_map(scope, name, depends_on):
    from pulumi_kubernetes.core.v1 import ConfigMap

    metadata = {"name": name, "namespace": "flux-system"}
    return ConfigMap(scope.resource_name(name), metadata=metadata, opts=options.managed(scope, depends_on))


operator.install = lambda scope, *_: config_map(scope, "operator", _[-1])
handover.resource_sets = lambda *_: []
handover.flux_instance = lambda scope, *_: config_map(scope, "instance", _[-1])


async def main():
    """The program without Flux."""
    try:
        made = await resources.deploy(config.load(Path(__file__).parent))
        made.check()
    except FleetError as error:
        raise pulumi.RunError(str(error)) from error
    return {"kubeconfigs": {name: one.kubeconfig for name, one in made.clusters.items()}}


pulumi.run(main)
'''
KIND: Final = f"""\
#!{sys.executable} -SE
import json, os, pathlib, signal, sys
root, arguments = pathlib.Path(os.environ["FAKE_KIND"]), sys.argv[1:]
with (root / "calls").open("a") as file:
    file.write(json.dumps(arguments) + "\\n")
name = arguments[arguments.index("--name") + 1] if "--name" in arguments else ""
match arguments[:2]:
    case ["get", "clusters"]:
        print("\\n".join(each.name for each in (root / "clusters").iterdir()))
    case ["create", "cluster"]:
        sys.stdin.read()
        (root / "clusters" / name).write_text((root / "next").read_text())
        if (root / "slow").exists():
            signal.pause()
    case ["get", "kubeconfig"]:
        print((root / "clusters" / name).read_text())
    case ["delete", "cluster"]:
        (root / "clusters" / name).unlink(missing_ok=True)
"""
"""The next cluster that it makes is the one whose kubeconfig is in `next`; with `slow`, it never ends."""


class Project:
    """The staging stack in a folder of its own, with its state, its machine, and the clusters that kind makes there."""

    def __init__(self, root: Path, parts: Parts, clusters: ExitStack) -> None:
        self.root, self.machine, self.output = root / "project", root / "machine", ""
        self._folder, self._parts, self._clusters = root, parts, clusters
        (self.machine / "bin").mkdir(parents=True)
        (self.machine / "clusters").mkdir()
        for name, text in (("kind", KIND), ("docker", "#!/bin/sh\n")):
            (self.machine / "bin" / name).write_text(text)
            (self.machine / "bin" / name).chmod(0o755)
        (self.root / "state").mkdir(parents=True)
        (self.root / "fleet").symlink_to(REPOSITORY / "fleet")
        (self.root / "__main__.py").write_text(PROGRAM)
        runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
        project = {"name": "fleet", "runtime": runtime, "options": {"refresh": "always"}}
        (self.root / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        fleet = yaml.safe_load((REPOSITORY / "fleet.yaml").read_text()) | {"github": {}}
        (self.root / "fleet.yaml").write_text(yaml.safe_dump(fleet, sort_keys=False))
        self.run("stack", "init", "staging")
        self.run("config", "set", "--secret", "registryToken", "none")
        self.configure()

    def configure(self, **keys: Any) -> None:
        """Another description of the cluster."""
        path = self.root / "Pulumi.staging.yaml"
        stack = yaml.safe_load(path.read_text())
        stack["config"] |= {
            "fleet:environment": "staging",
            "fleet:clusters": {"staging": {"kind": "kind", **keys}},
            "pulumi:disable-default-providers": ["*"],
        }
        path.write_text(yaml.safe_dump(stack))

    def start_cluster(self, name: str) -> str:
        """The kubeconfig of a new API server, which the next cluster of kind will be."""
        kubeconfig = self._clusters.enter_context(control_plane(self._folder / name, self._parts))
        (self.machine / "next").write_text(kubeconfig)
        return kubeconfig

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PATH": f"{self.machine / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "FAKE_KIND": str(self.machine),
            "PULUMI_BACKEND_URL": f"file://{self.root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(REPOSITORY),
        }
        chosen = () if arguments[:2] == ("stack", "init") else ("--stack", "staging")
        return subprocess.Popen(
            [shutil.which("pulumi") or "pulumi", *arguments, *chosen, "--non-interactive"],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """What the CLI printed when it succeeded."""
        with self.start(*arguments) as process:
            self.output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, self.output
        return self.output

    def up(self) -> dict[str, int]:
        self.run("up", "--yes", "--skip-preview")
        return self.counted

    @property
    def counted(self) -> dict[str, int]:
        """The summary of the latest command: `{"created": 3}`."""
        summary = self.output.rpartition("Resources:")[2]
        return {word: int(number) for number, word in re.findall(r"(\d+) (?:to )?([a-z]+)$", summary, re.MULTILINE)}

    @property
    def calls(self) -> list[str]:
        """What `kind` was told to do, without questions."""
        found = [json.loads(line) for line in (self.machine / "calls").read_text().splitlines()]
        return [words[0] for words in found if words[1] == "cluster"]

    @property
    def clusters(self) -> list[str]:
        return sorted(path.name for path in (self.machine / "clusters").iterdir())


def content(kubeconfig: str) -> set[str]:
    """Names of the ConfigMaps and Secrets that the program has put onto a cluster."""
    api = Api(kubeconfig)
    try:
        found = [*api.list_all("v1", "configmaps"), *api.list_all("v1", "secrets")]
    finally:
        api.close()
    return {item["metadata"]["name"] for item in found if item["metadata"]["namespace"] == "flux-system"}


@pytest.fixture
def project(tmp_path: Path, parts: Parts) -> Iterator[Project]:
    with ExitStack() as clusters:
        yield Project(tmp_path, parts, clusters)


def test_from_the_first_run_to_the_last(project: Project) -> None:
    first = project.start_cluster("first")
    assert project.up()["created"] == OBJECTS + 4, project.output  # and the stack, the command, both providers
    assert project.up().keys() == {"unchanged"}
    project.run("preview", "--expect-no-changes")
    assert {"ghcr-auth", "flux-runtime-info", "instance"} <= content(first)
    assert project.calls == ["create"]

    # No credential of the cluster is in the state, or shown.
    tokens = re.findall(r'"token": *"([^"]+)"', first)
    assert tokens
    exported = project.run("stack", "export") + project.run("stack", "output")
    assert not [token for token in tokens if token in exported]

    # Another version: the plan says what it costs, and nothing is done yet.
    project.configure(kubernetes="1.36")
    plan = project.run("preview", "--diff")
    assert NODE_IMAGES["1.36"] in plan
    assert project.counted["replace"] == OBJECTS + 2, plan
    assert project.calls == ["create"]

    # Everything dies with the cluster: nobody waits for namespaces that nothing would end here.
    project.run("destroy", "--yes", "--skip-preview")
    assert project.calls == ["create", "delete"]
    assert project.clusters == []


def test_another_version_makes_it_anew(project: Project) -> None:
    project.start_cluster("first")
    project.up()
    second = project.start_cluster("second")
    project.configure(kubernetes="1.36")
    assert project.up()["replaced"] == OBJECTS + 2, project.output
    assert project.calls == ["create", "delete", "create"]
    assert "instance" in content(second)
    project.configure()
    assert project.up().keys() == {"unchanged"}, "a cluster whose version is not asked for any more stays"


def test_a_cluster_deleted_behind_our_back_comes_back_with_everything_on_it(project: Project, parts: Parts) -> None:
    """In one run, with a refresh that finds nobody there; the run after it changes nothing."""
    with ExitStack() as gone:
        project._clusters, kept = gone, project._clusters
        project.start_cluster("first")
        project.up()
    project._clusters = kept
    (project.machine / "clusters" / "staging").unlink()
    second = project.start_cluster("second")
    assert project.up()["replaced"] == OBJECTS + 2, project.output
    assert {"ghcr-auth", "flux-runtime-info", "instance"} <= content(second)
    assert project.clusters == ["staging"]
    assert project.up().keys() == {"unchanged"}


def test_an_interrupted_run_leaves_no_cluster(project: Project) -> None:
    """As with Ctrl-C; the next run goes on where this one was cut off."""
    first = project.start_cluster("first")
    (project.machine / "slow").touch()
    with project.start("up", "--yes", "--skip-preview") as process:
        deadline = time.monotonic() + PATIENCE
        while not project.clusters:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0, output
    assert project.clusters == []
    (project.machine / "slow").unlink()
    project.up()
    assert "instance" in content(first)


def test_a_taken_name_stops_the_run_before_anything_is_made(project: Project) -> None:
    kubeconfig = project.start_cluster("first")
    (project.machine / "clusters" / "staging").write_text(kubeconfig)
    with project.start("up", "--yes", "--skip-preview") as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "there is a kind cluster `staging` already" in output
    project.configure(takeOver=True)
    project.up()
    assert "create" not in project.calls
    assert "instance" in content(kubeconfig)
    project.configure()
    assert project.up().keys() == {"unchanged"}
