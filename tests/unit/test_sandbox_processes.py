"""What the sandbox starts: the order holds, nothing is shared, nothing secret is on a command line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest

from sandbox.build import Parts
from sandbox.cluster import objects
from sandbox.cluster.cluster_api import ClusterApi
from sandbox.cluster.credentials import ensure_credentials
from sandbox.cluster.home import CLUSTER_PORTS, LOOPBACK, Home, choose_ports, open_home, read_json
from sandbox.cluster.plan import Plan, read_plan, write_plan
from sandbox.cluster.process import Process, deployment_arguments
from sandbox.cluster.processes import describe_processes
from sandbox.cluster.watcher import Watcher

CLUSTERS = ("staging", "production")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def plan(home: Home) -> Plan:
    fields = {f.name: True if f.name == "web" else Path("/parts") / f.name for f in dataclasses.fields(Parts)}
    return Plan(parts=Parts(**fields), clusters=CLUSTERS, ports=choose_ports(home, CLUSTERS))  # type: ignore[arg-type]


@pytest.fixture
def processes(home: Home, plan: Plan) -> Mapping[str, Process]:
    described = describe_processes(home, plan.parts, plan.ports, plan.clusters)
    return {process.name: process for process in described}


def test_the_plan_survives_its_file(home: Home, plan: Plan) -> None:
    write_plan(home, plan)
    assert read_plan(home) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parts": {"etcd": "/a"}, "clusters": [], "ports": {}}'])
def test_a_plan_of_another_version_is_none(home: Home, text: str) -> None:
    home.plan.write_text(text)
    assert read_plan(home) is None


def test_each_process_stands_after_those_it_needs(processes: Mapping[str, Process]) -> None:
    seen = {f"{name}/objects" for name in CLUSTERS}
    for process in processes.values():
        assert set(process.after) <= seen, process.name
        seen.add(process.name)


def test_each_name_that_a_process_refers_to_exists(processes: Mapping[str, Process]) -> None:
    assert {p.renewed_with for p in processes.values() if p.renewed_with} <= processes.keys()
    assert {p.cluster for p in processes.values()} == {"", *CLUSTERS}


def test_the_controllers_are_renewed_with_their_own_api_server(processes: Mapping[str, Process]) -> None:
    renewed = {name: p.renewed_with for name, p in processes.items() if p.renewed_with}
    assert renewed == {
        f"{cluster}/{name}": f"{cluster}/kube-apiserver"
        for cluster in CLUSTERS
        for name in ("flux-operator", "kustomize-controller")
    }


def test_no_two_processes_share_a_folder_or_log(processes: Mapping[str, Process]) -> None:
    for places in (
        {p.env["TMPDIR"] for p in processes.values()},
        {p.env["HOME"] for p in processes.values()},
        {p.log for p in processes.values()},
    ):
        assert len(places) == len(processes)


def test_the_clusters_share_no_port_but_the_registry(processes: Mapping[str, Process]) -> None:
    def ports(cluster: str) -> set[str]:
        words = [word for p in processes.values() if p.cluster == cluster for word in (*p.argv, *p.env.values())]
        return {port for word in words for port in re.findall(r"(?:127\.0\.0\.1:|port=)([1-9]\d+)", word)}

    assert len(ports("staging")) == len(CLUSTER_PORTS)
    assert not ports("staging") & ports("production")


def test_every_address_is_loopback(processes: Mapping[str, Process]) -> None:
    for process in processes.values():
        text = " ".join([*process.argv, *process.env.values(), *process.files.values()])
        assert set(re.findall(r"https?://([^:/\s]+)", text)) <= {LOOPBACK, "kubernetes.default.svc"}


def test_no_command_line_holds_a_token_or_key(home: Home, plan: Plan, processes: Mapping[str, Process]) -> None:
    secrets = set()
    for name in plan.clusters:
        ensure_credentials(home.cluster(name), api_port=plan.ports[f"{name}/api"])
        for kubeconfig in home.cluster(name).credentials.glob("*.kubeconfig"):
            content: Any = read_json(kubeconfig)
            secrets.add(content["users"][0]["user"]["token"])
    assert len(secrets) == 14
    text = " ".join(word for p in processes.values() for word in (*p.argv, *p.env.values()))
    assert not [secret for secret in secrets if secret in text]


def test_the_users_environment_does_not_reach_a_process(
    home: Home, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    monkeypatch.setenv("KUBECONFIG", "/somewhere/else")
    for process in describe_processes(home, plan.parts, plan.ports, plan.clusters):
        assert "HTTPS_PROXY" not in process.env
        assert process.env.get("KUBECONFIG", str(home.root)).startswith(str(home.root))


def test_our_flags_come_after_those_of_the_deployment(processes: Mapping[str, Process]) -> None:
    command = processes["staging/kustomize-controller"].command(["--requeue-dependency=30s", "--concurrent=10"])
    assert command[0] == "/parts/kustomize_controller"
    assert command.index("--requeue-dependency=30s") < command.index("--requeue-dependency=1s")
    assert "--concurrent=10" in command


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ()),
        (
            {"args": ["--a", "--b=http://x.$(RUNTIME_NAMESPACE).svc/"]},
            ("--a", "--b=http://x.flux-system.svc/"),
        ),
    ],
)
def test_arguments_of_a_deployment(spec: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    deployment = {"spec": {"template": {"spec": {"containers": [spec, {"args": ["--other"]}]}}}}
    assert deployment_arguments(deployment) == expected


def test_a_deployment_scaled_to_nothing_asks_for_no_process() -> None:
    deployment = {"spec": {"replicas": 0, "template": {"spec": {"containers": [{"args": ["--a"]}]}}}}
    assert deployment_arguments(deployment) is None


HELM_RELEASE: Final = next(kind for kind in objects.SIMULATED_KINDS if kind.kind == "HelmRelease")


class FakeApi:
    """An API server that serves and describes what it is told to, and keeps what is applied."""

    def __init__(self) -> None:
        self.served: set[str] = set()
        self.described = False
        self.applied: list[str] = []

    def served_definitions(self) -> frozenset[str]:
        return frozenset(self.served)

    def describes(self, group: str, version: str, plural: str) -> bool:
        return self.described

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.applied.append(f"{manifest['metadata']['name']} {manifest['metadata']['annotations']}")

    def deployments(self) -> dict[str, Any]:
        return {}


def test_a_kind_is_simulated_once_it_is_served_and_described_and_anew_when_it_came_back(tmp_path: Path) -> None:
    """KWOK gives up on a kind that the OpenAPI document lacks, and looks again only when a stage changes."""
    api = FakeApi()
    watcher = Watcher(cast(ClusterApi, api), tmp_path)
    watcher.laid.set()
    api.served = {HELM_RELEASE.definition, "kustomizations.kustomize.toolkit.fluxcd.io"}
    watcher.look()
    assert not api.applied
    api.described = True
    for _ in range(2):
        watcher.look()
    assert [line.split()[0] for line in api.applied] == ["helmreleases-ready", "helmreleases-fault"]
    api.served = set()
    watcher.look()
    api.served = {HELM_RELEASE.definition}
    watcher.look()
    assert len(set(api.applied)) == 4


def test_every_simulated_message_says_so() -> None:
    for stage in (stage for kind in objects.SIMULATED_KINDS for stage in objects.flux_stages(kind, since="1")):
        template = stage["spec"]["steps"][0]["patch"]["template"]
        messages = re.findall(r"message: (.*)", template)
        assert messages
        assert all("stand-in: " in message for message in messages)
