"""One sandbox with one cluster, run for real: a fleet becomes ready, and stays so when its processes are killed.

Left out on purpose: the Pulumi program and the rendered trees; a handful of objects stands for them.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

import httpx2
import psutil
import pytest

from fleet.errors import ClusterError
from fleet.names import (
    ANNOTATION_RECONCILE_AT,
    FLUX_NAMESPACE,
    HELM_API,
    KUSTOMIZATION_API,
    OPERATOR_API,
    SOURCE_API,
)
from sandbox.build import Parts
from sandbox.cluster import control
from sandbox.cluster.home import LOOPBACK, SHARED, Home, open_home
from sandbox.cluster.objects import FAULT
from sandbox.cluster.plan import Plan
from sandbox.program.api import Api, Ref
from sandbox.sources import registry

pytestmark = pytest.mark.sandbox

T = TypeVar("T")
CLUSTER = "staging"
PATIENCE = 120
"""Seconds; only a failure takes that long."""
MANIFESTS = "flux/manifests"
FLEET = "acme/fleet"
PROCESSES = (
    *SHARED,
    *(
        f"{CLUSTER}/{name}"
        for name in (
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kwok",
            "source-stand-in",
            "flux-operator",
            "kustomize-controller",
        )
    ),
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Sandbox]:
    """A running sandbox with the operator's chart, a FluxInstance, and one artifact that it syncs."""
    home = open_home(tmp_path_factory.mktemp("home"))
    try:
        plan = control.start(home, parts, [CLUSTER])
        running = Sandbox(home, plan)
        running.push(MANIFESTS, registry.read_folder(parts.flux_manifests))
        running.release(0)
        running.install_operator()
        running.apply(OPERATOR_API, "FluxInstance", "flux", running.instance())
        running.await_ready(OPERATOR_API, "FluxInstance", "flux")
        yield running
        running.api.close()
    finally:
        control.stop(home)


class Sandbox:
    """What the tests do with it."""

    def __init__(self, home: Home, plan: Plan) -> None:
        self.home = home
        self.plan = plan
        self.api = Api(home.cluster(CLUSTER).kubeconfig.read_text())
        self.address = f"{LOOPBACK}:{plan.ports['registry']}"
        self._releases = count(1)

    def push(self, repository: str, files: dict[str, bytes], revision: str = "main@sha1:0") -> str:
        with registry.connect(self.address) as connection:
            return registry.push(
                connection,
                repository,
                files,
                tags=["latest"],
                source="https://example.com",
                revision=revision,
                created="2026-01-01T00:00:00Z",
            )

    def release(self, number: int) -> str:
        """A new fleet artifact, whose ConfigMap says `number`."""
        content = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "release", "namespace": FLUX_NAMESPACE},
            "data": {"number": str(number)},
        }
        files = {"clusters/staging/release.yaml": json.dumps(content).encode()}
        return self.push(FLEET, files, revision=f"main@sha1:{number:040x}")

    def deliver(self) -> None:
        """Pushes a release and waits until Flux has applied it."""
        number = next(self._releases)
        self.release(number)
        eventually(lambda: self.live("v1", "ConfigMap", "release")["data"]["number"] == str(number), "delivery")

    def install_operator(self) -> None:
        parts, kubeconfig = self.plan.parts, self.home.cluster(CLUSTER).kubeconfig
        command = ["upgrade", "--install", "flux-operator", str(parts.chart), "--namespace", FLUX_NAMESPACE]
        flags = ["--create-namespace", "--wait", "--set", "multitenancy.enabled=true"]
        environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(self.home.tmp("helm"))}
        subprocess.run([str(parts.helm), *command, *flags], env=environment, check=True, capture_output=True)

    def instance(self) -> dict[str, Any]:
        components = ["source", "kustomize", "helm", "notification"]
        return {
            "distribution": {
                "version": "2.x",
                "registry": "ghcr.io/fluxcd",
                "artifact": f"oci://{self.address}/{MANIFESTS}:latest",
            },
            "components": [f"{name}-controller" for name in components],
            "cluster": {"size": "medium", "multitenant": True, "tenantDefaultServiceAccount": "flux"},
            "sync": {
                "kind": "OCIRepository",
                "url": f"oci://{self.address}/{FLEET}",
                "ref": "latest",
                "path": "clusters/staging",
            },
        }

    def apply(
        self,
        version: str,
        kind: str,
        name: str,
        spec: dict[str, Any],
        annotations: dict[str, str] | None = None,
    ) -> None:
        metadata = {"name": name, "namespace": FLUX_NAMESPACE, "annotations": annotations or {}}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        self.api.apply(_ref(version, kind, name), body, manager="test", force=True)

    def live(self, version: str, kind: str, name: str) -> dict[str, Any]:
        return self.api.get(_ref(version, kind, name)) or {}

    def ready(self, version: str, kind: str, name: str) -> dict[str, Any]:
        """The condition Ready, of the present generation."""
        live = self.live(version, kind, name)
        for condition in live.get("status", {}).get("conditions", ()):
            if condition["type"] == "Ready" and condition["observedGeneration"] == live["metadata"]["generation"]:
                return dict(condition)
        return {}

    def await_ready(self, version: str, kind: str, name: str, status: str = "True") -> dict[str, Any]:
        def condition() -> dict[str, Any] | None:
            found = self.ready(version, kind, name)
            return found if found.get("status") == status else None

        return eventually(condition, f"{kind} {name} Ready={status}")

    def process(self, name: str) -> control.ProcessStatus:
        return next(p for p in control.status(self.home).processes if p.name == name)

    def await_replaced(self, name: str, pid: int | None) -> None:
        def replaced() -> bool:
            now = self.process(name)
            return now.phase == "ready" and now.pid not in (None, pid)

        eventually(replaced, f"{name} replaced")


def _ref(version: str, kind: str, name: str) -> Ref:
    return Ref(api_version=version, kind=kind, name=name, namespace=FLUX_NAMESPACE)


def eventually(look: Callable[[], T | None], what: str) -> T:
    """The first answer of `look` that is true; an API server that is away for a moment is no answer."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except (ClusterError, KeyError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"not in {PATIENCE} s: {what}")


def test_a_release_reaches_the_cluster(sandbox: Sandbox) -> None:
    sandbox.deliver()
    status = sandbox.live(KUSTOMIZATION_API, "Kustomization", FLUX_NAMESPACE)["status"]
    assert status["lastAppliedOriginRevision"].startswith("main@sha1:")
    assert status["lastAppliedRevision"].startswith("latest@sha256:")


def test_every_process_runs_and_none_died(sandbox: Sandbox) -> None:
    found = {p.name: (p.phase, p.restarts) for p in control.status(sandbox.home).processes}
    assert found == dict.fromkeys(PROCESSES, ("ready", 0))


def test_a_second_start_changes_nothing(sandbox: Sandbox) -> None:
    before = control.status(sandbox.home)
    assert control.start(sandbox.home, sandbox.plan.parts, [CLUSTER]).ports == sandbox.plan.ports
    assert control.status(sandbox.home) == before


def test_everything_listens_on_loopback(sandbox: Sandbox) -> None:
    pids = [p.pid for p in control.status(sandbox.home).processes if p.pid]
    addresses = {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {LOOPBACK}


def test_the_api_server_takes_nobody_without_a_token(sandbox: Sandbox) -> None:
    authority = sandbox.home.cluster(CLUSTER).credentials / "ca.crt"
    trusted = ssl.create_default_context(cafile=str(authority))
    url = f"https://{LOOPBACK}:{sandbox.plan.ports[f'{CLUSTER}/api']}"
    with httpx2.Client(base_url=url, verify=trusted, trust_env=False) as stranger:
        assert stranger.get("/api").status_code == 401
        assert stranger.get("/version").status_code == 401


def test_etcd_takes_nobody_without_its_certificate(sandbox: Sandbox) -> None:
    keys = sandbox.home.cluster(CLUSTER).credentials
    url = f"https://{LOOPBACK}:{sandbox.plan.ports[f'{CLUSTER}/etcd']}/health"
    trusted = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    with httpx2.Client(verify=trusted, trust_env=False) as stranger, pytest.raises(httpx2.TransportError):
        stranger.get(url)
    trusted.load_cert_chain(keys / "etcd-client.crt", keys / "etcd-client.key")
    with httpx2.Client(verify=trusted, trust_env=False) as known:
        assert known.get(url).json()["health"] == "true"


def test_nobody_else_can_read_the_home(sandbox: Sandbox) -> None:
    root = sandbox.home.root
    assert root.stat().st_mode & 0o077 == 0
    private = [*root.rglob("*.key"), *root.rglob("*.kubeconfig"), *root.rglob("*.csv"), *root.rglob("*.log")]
    assert private
    assert not [path for path in private if path.stat().st_mode & 0o077]


def test_a_missing_tag_is_named(sandbox: Sandbox) -> None:
    url = f"oci://{sandbox.address}/{FLEET}"
    sandbox.apply(SOURCE_API, "OCIRepository", "untagged", {"url": url, "interval": "1m", "ref": {"tag": "nope"}})
    message = sandbox.await_ready(SOURCE_API, "OCIRepository", "untagged", "False")["message"]
    assert message == f"stand-in: tag `nope` of `{url}` is not in the registry; was it pushed?"
    sandbox.apply(SOURCE_API, "OCIRepository", "untagged", {"url": url, "interval": "1m", "ref": {"tag": "latest"}})
    sandbox.await_ready(SOURCE_API, "OCIRepository", "untagged")


def test_a_request_to_reconcile_is_answered(sandbox: Sandbox) -> None:
    source = _ref(SOURCE_API, "OCIRepository", FLUX_NAMESPACE)
    sandbox.api.annotate(source, ANNOTATION_RECONCILE_AT, "now")

    def handled() -> bool:
        return bool((sandbox.api.get(source) or {})["status"]["lastHandledReconcileAt"] == "now")

    eventually(handled, "lastHandledReconcileAt")


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        (SOURCE_API, "OCIRepository", {"url": "oci://ghcr.io/acme/charts/app", "interval": "1m"}),
        (SOURCE_API, "HelmRepository", {"url": "https://charts.example.com", "interval": "1m"}),
        (HELM_API, "HelmRelease", {"interval": "1m", "chartRef": {"kind": "OCIRepository", "name": "app"}}),
    ],
)
def test_what_is_simulated_says_so_and_fails_on_demand(
    sandbox: Sandbox, version: str, kind: str, spec: dict[str, Any]
) -> None:
    sandbox.apply(version, kind, "app", spec)
    assert sandbox.await_ready(version, kind, "app")["message"].startswith("stand-in:")
    sandbox.apply(version, kind, "app", spec, annotations={FAULT: "the chart is broken"})
    assert sandbox.await_ready(version, kind, "app", "False")["message"] == "stand-in: the chart is broken"
    sandbox.apply(version, kind, "app", spec | {"interval": "2m"})
    sandbox.await_ready(version, kind, "app")


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_comes_back_and_releases_flow(sandbox: Sandbox, name: str) -> None:
    pid = sandbox.process(name).pid
    assert pid
    psutil.Process(pid).kill()
    sandbox.await_replaced(name, pid)
    sandbox.deliver()
    sandbox.await_ready(OPERATOR_API, "FluxInstance", "flux")


def test_the_controllers_are_replaced_after_the_api_server(sandbox: Sandbox) -> None:
    names = [f"{CLUSTER}/{name}" for name in ("flux-operator", "kustomize-controller")]
    before = {name: sandbox.process(name).pid for name in names}
    server = sandbox.process(f"{CLUSTER}/kube-apiserver").pid
    assert server
    psutil.Process(server).kill()
    for name, pid in before.items():
        sandbox.await_replaced(name, pid)


def test_a_controller_takes_the_arguments_of_its_deployment(sandbox: Sandbox) -> None:
    name = f"{CLUSTER}/kustomize-controller"
    pid = sandbox.process(name).pid
    assert pid
    assert "--default-service-account=flux" in psutil.Process(pid).cmdline()
    spec = sandbox.instance()
    spec["cluster"]["tenantDefaultServiceAccount"] = "tenant"
    sandbox.apply(OPERATOR_API, "FluxInstance", "flux", spec)
    sandbox.await_replaced(name, pid)
    now = sandbox.process(name).pid
    assert now
    assert "--default-service-account=tenant" in psutil.Process(now).cmdline()


def test_after_a_killed_supervisor_the_next_start_takes_over(sandbox: Sandbox) -> None:
    before = control.status(sandbox.home)
    assert before.supervisor
    supervisor = psutil.Process(before.supervisor)
    supervisor.kill()
    supervisor.wait()
    old = [psutil.Process(p.pid) for p in before.processes if p.pid]
    assert all(process.is_running() for process in old)
    assert control.status(sandbox.home).supervisor is None
    assert control.start(sandbox.home, sandbox.plan.parts, [CLUSTER]).ports == sandbox.plan.ports
    assert not [process for process in old if process.is_running()]
    for name in PROCESSES:
        sandbox.await_replaced(name, None)
    sandbox.deliver()


def test_stop_ends_everything_and_can_be_repeated(sandbox: Sandbox) -> None:
    pids = [p.pid for p in control.status(sandbox.home).processes if p.pid]
    assert control.stop(sandbox.home)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not control.stop(sandbox.home)
    assert control.status(sandbox.home) == control.Status(supervisor=None, processes=())
    assert control.start(sandbox.home, sandbox.plan.parts, [CLUSTER]).ports == sandbox.plan.ports
    sandbox.deliver()
