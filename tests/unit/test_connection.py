"""A client of a live cluster: what lightkube leaves out, and what is never told."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.resources import connection
from tests.checkout import REPOSITORY, kubeconfig
from tests.kubernetes_api import KubernetesApi

THINGS = connection.path_of("test.example.com/v1", "things", namespace="flux-system")
SECRET = "token-of-a-plug-in"  # noqa: S105
PLUGIN = f"""\
#!{sys.executable}
import json, os, sys
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
with open(os.environ["RECORD"], "w") as record:
    json.dump({{"arguments": sys.argv[1:], "own": os.environ.get("OWN"), "asked": asked}}, record)
print(os.environ["SAYS"])
print("chatter", file=sys.stderr)
print(os.environ.get("FAULT", ""), file=sys.stderr)
sys.exit(int(os.environ.get("STATUS", "0")))
"""


class Plugin:
    """An exec plug-in that records, and the kubeconfig that signs in with it."""

    def __init__(self, folder: Path, url: str, patch: pytest.MonkeyPatch) -> None:
        self.command = folder / "login"
        self.command.write_text(PLUGIN)
        self.command.chmod(0o755)
        self._record = folder / "record.json"
        patch.setenv("RECORD", str(self._record))
        self.says({"token": SECRET}, patch)
        self.exec: dict[str, Any] = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(self.command),
            "args": ["get", "token"],
            "env": [{"name": "OWN", "value": "mine"}],
        }
        self._url = url

    def says(self, status: object, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("SAYS", json.dumps({"kind": "ExecCredential", "status": status}))

    @property
    def kubeconfig(self) -> str:
        document = yaml.safe_load(kubeconfig("c", self._url))
        document["users"][0]["user"] = {"exec": self.exec}
        return yaml.safe_dump(document)

    @property
    def record(self) -> Any:
        return json.loads(self._record.read_text())


@pytest.fixture
def plugin(tmp_path: Path, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    return Plugin(tmp_path, api.url, monkeypatch)


def ask(text: str) -> None:
    with connection.connect(text) as client:
        client.get(THINGS)


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_exec_plug_in_of_any_version_signs_in(plugin: Plugin, api: KubernetesApi, version: str) -> None:
    """It is run as kubectl runs it, but that it cannot ask a person."""
    plugin.exec["apiVersion"] = f"client.authentication.k8s.io/{version}"
    api.objects[THINGS] = {"metadata": {}, "items": []}
    ask(plugin.kubeconfig)
    assert [authorization for _, authorization in api.requests] == [f"Bearer {SECRET}"]
    asked = {"apiVersion": plugin.exec["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    assert plugin.record == {"arguments": ["get", "token"], "own": "mine", "asked": asked}


def test_a_plug_in_that_asks_for_the_cluster_is_told(plugin: Plugin) -> None:
    plugin.exec["provideClusterInfo"] = True
    with connection.connect(plugin.kubeconfig):
        assert plugin.record["asked"]["spec"]["cluster"].keys() == {"server"}


def test_a_plug_in_may_give_a_certificate(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """As text, where a kubeconfig has base64."""
    plugin.says({"clientCertificateData": "CERT", "clientKeyData": "KEY"}, monkeypatch)
    found = connection._ask_plugin(plugin.exec, {})
    assert {key: base64.b64decode(value) for key, value in found.items()} == {
        "client-certificate-data": b"CERT",
        "client-key-data": b"KEY",
    }


FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "fails": ({"STATUS": "1", "FAULT": "log in first"}, "failed: log in first"),
    "says nothing": ({"SAYS": ""}, "gave no credential"),
    "no status": ({"SAYS": "{}"}, "gave no credential"),
    "no token": ({"SAYS": '{"status": {}}'}, "gave no credential"),
    "a list": ({"SAYS": "[]"}, "gave no credential"),
    "not JSON": ({"SAYS": f"token {SECRET}"}, "gave no credential"),
}


@pytest.mark.parametrize(("environment", "message"), FAULTS.values(), ids=FAULTS)
def test_a_plug_in_without_a_credential_is_told_by_its_name(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="exec plug-in") as raised:
        ask(plugin.kubeconfig)
    assert str(raised.value) == f"the exec plug-in `{plugin.command}` {message}"
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_plug_in_that_is_not_there_is_told(plugin: Plugin) -> None:
    plugin.command.unlink()
    with pytest.raises(ValueError, match="cannot be run: No such file or directory"):
        ask(plugin.kubeconfig)


def test_a_plug_in_that_waits_is_ended(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PLUGIN_TIMEOUT", 0.05)
    plugin.command.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    with pytest.raises(ValueError, match="gave no answer within"):
        ask(plugin.kubeconfig)


def test_the_proxy_of_a_kubeconfig_is_used(api: KubernetesApi) -> None:
    """Nothing listens at the server's own address."""
    document = yaml.safe_load(kubeconfig("c"))
    document["clusters"][0]["cluster"]["proxy-url"] = api.url
    api.objects[f"http://127.0.0.1:1/c{THINGS}"] = {"items": []}
    ask(yaml.safe_dump(document | {"x": 1}))
    assert [path for path, _ in api.requests] == [f"http://127.0.0.1:1/c{THINGS}"]


THREADS = """
import sys, threading
from fleet.resources import live
kubeconfigs = sys.stdin.read().split("---")
sys.setswitchinterval(1e-6)
start, read = threading.Barrier(len(kubeconfigs)), []
def run(kubeconfig):
    start.wait()
    read.append(live.read(kubeconfig).instance.state)
threads = [threading.Thread(target=run, args=[each]) for each in kubeconfigs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(read)
"""


@pytest.mark.parametrize("refusal", [None, 403])
def test_clusters_read_at_once_do_not_crash_the_process(api: KubernetesApi, refusal: int | None) -> None:
    """lightkube's models do, nearly each time; in a process of its own, where nothing was used before."""
    api.refusal = refusal
    given = "---".join(kubeconfig(f"c{number}", api.url) for number in range(4))
    command = [sys.executable, "-c", THREADS]
    done = subprocess.run(command, input=given, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("[]\n" if refusal else "['absent', 'absent', 'absent', 'absent']\n")
    assert ("the tests refuse this" in done.stderr) is (refusal is not None)
