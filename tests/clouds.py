"""Clouds for tests of the clusters in them: functions that providers answer, and commands that sign in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pulumi.runtime.proto import resource_pb2 as proto

from sandbox.program.registration import UNKNOWN, Registration, Secret, reveal
from tests.checkout import REPOSITORY, Run
from tests.recording import RecordingMonitor

TOKEN: Final = "token-of-the-cloud-0123456789"  # noqa: S105 made up
API: Final = "client.authentication.k8s.io/v1beta1"
AUTHORITY: Final = "Y2VydGlmaWNhdGU="
"""A certificate authority in base64."""
EXISTING: Final = {"kind": "existing", "kubeconfigSecret": "prodUsKubeconfig"}
"""The cluster prod-us as the repository has it."""

PLANNED: Final = """
import json, sys
from pathlib import Path
from fleet.resources import live
from tests.checkout import Checkout
from tests.clouds import Cloud
from tests.reader import Reader
live.read = reader = Reader()
live.ask = reader.ask
clusters, answers = json.loads(sys.argv[2])
monitor = Cloud(**answers)
checkout = Checkout(Path(sys.argv[1]))
checkout.change_fleet(flux={"multitenant": False})
checkout.run("production", preview=True, monitor=monitor, clusters=clusters)
assert len(monitor.of_type("fleet:index:FluxCluster")) == 2
print(json.dumps(sorted(sys.modules.keys() & {"pulumi_aws", "pulumi_azure_native", "pulumi_gcp"})))
"""


class Cloud(RecordingMonitor):
    """Answers functions by token too, and keeps who was asked: token, arguments, URN of the provider."""

    def __init__(self, *, functions: Mapping[str, Mapping[str, Any]], outputs: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(outputs=outputs)
        self.functions = functions
        self.asked: list[tuple[str, dict[str, Any], str]] = []

    def Invoke(self, request: proto.ResourceInvokeRequest) -> proto.ResourceInvokeResponse:  # noqa: N802 gRPC's name
        self.asked.append((request.tok, {}, request.provider.rpartition("::")[0]))
        return super().Invoke(request)

    def invoke(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        assert UNKNOWN not in arguments.values(), "a function is not asked before its arguments are known"
        self.asked[-1][1].update(arguments)
        return self.functions[token]


def parts(made: Run, component: str) -> dict[str, Registration]:
    """What is below the component, given as `type::name`, by the end of its type and its name."""
    urn = made.resources[f"fleet:index:{component}"].urn
    found = [asked for asked in made.monitor.registrations if asked.parent == urn]
    labelled = {f"{asked.type.rpartition(':')[2]} {asked.name}": asked for asked in found}
    assert len(labelled) == len(found)
    return labelled


def kubeconfig(made: Run, cluster: str) -> Any:
    """That of the cluster's provider as it was registered, secret or not."""
    return made.resources[f"pulumi:providers:kubernetes::{cluster}"].inputs["kubeconfig"]


def signs_in_by_command(made: Run, server: str) -> str:
    """Checks the kubeconfig of prod-eu: secret, that of the server, and without a credential. Gives its text."""
    secret = kubeconfig(made, "prod-eu")
    assert isinstance(secret, Secret)
    document = yaml.safe_load(reveal(secret))
    entry = {"server": server, "certificate-authority-data": AUTHORITY}
    assert document["clusters"] == [{"name": "prod-eu", "cluster": entry}]
    (user,) = document["users"]
    assert user["user"].keys() == {"exec"}
    return str(reveal(secret))


def over_http(made: Run, cluster: str) -> str:
    """The kubeconfig for a server on loopback, without the made-up certificate."""
    document = yaml.safe_load(reveal(kubeconfig(made, cluster)))
    entry = document["clusters"][0]["cluster"]
    del entry["certificate-authority-data"]
    entry["server"] = entry["server"].replace("https://", "http://")
    return json.dumps(document)


def put_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, command: str, *arguments: str) -> None:
    """A command that gives a token when it is called with just these arguments, and fails otherwise."""
    credential = {"apiVersion": API, "kind": "ExecCredential", "status": {"token": TOKEN}}
    check = f"sys.argv[1:] == {[*arguments]} or sys.exit(f'called with {{sys.argv[1:]}}')"
    text = f"#!{sys.executable}\nimport sys\n{check}\nprint({json.dumps(credential)!r})\n"
    folder.mkdir(exist_ok=True)
    (folder / command).write_text(text)
    (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def loaded_for(folder: Path, spec: Mapping[str, Any], **answers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The clouds' packages that a fresh interpreter loads to plan a production stack with such a cluster."""
    given = json.dumps([{"prod-eu": spec, "prod-us": EXISTING}, answers])
    fresh = folder / "fresh"
    fresh.mkdir()
    command = [sys.executable, "-c", PLANNED, str(fresh), given]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))
