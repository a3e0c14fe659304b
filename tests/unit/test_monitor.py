"""Order, options and failures of the apply monitor, with a cluster in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import ClusterError, FleetError, Problem, ToolError
from sandbox.program.monitor import Applied, ApplyMonitor, Outcome
from sandbox.program.registration import Registration, Secret, reveal
from tests.programs import Program

MAP = "kubernetes:core/v1:ConfigMap"


class Memory:
    """A cluster that makes everything but the names in `failing`, each of which it refuses with that error."""

    def __init__(self, settings: Mapping[str, Any], failing: Mapping[str, Exception]) -> None:
        self.settings = settings
        self.made: list[Registration] = []
        self.stopped = False
        self.closed = False
        self._failing = failing
        self._lock = threading.Lock()

    def make(self, asked: Registration) -> Applied:
        if asked.name in self._failing:
            raise self._failing[asked.name]
        with self._lock:
            self.made.append(asked)
        return Applied(kind="read" if asked.read_id else "created", id=asked.name, outputs=asked.inputs)

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


class Run:
    """One run of a program against clusters in memory, and everything that can be seen of it."""

    def __init__(
        self, folder: Path, body: str, failing: Mapping[str, Exception] | None = None, **settings: Any
    ) -> None:
        self.clusters: list[Memory] = []
        self.outcomes: list[Outcome] = []
        self.error: FleetError | None = None
        self.outputs: Mapping[str, Any] = {}
        self._failing = failing or {}
        with ApplyMonitor(self._open, self.outcomes.append) as monitor:
            try:
                self.outputs = Program(folder, body).run(monitor, **settings)
            except FleetError as error:
                self.error = error

    def _open(self, settings: Mapping[str, Any]) -> Memory:
        self.clusters.append(Memory(settings, self._failing))
        return self.clusters[-1]

    @property
    def kinds(self) -> dict[str, str]:
        """Resource name → outcome."""
        return {outcome.label.split("::")[1]: outcome.kind for outcome in self.outcomes}

    def detail(self, name: str) -> str:
        (found,) = [outcome.detail for outcome in self.outcomes if outcome.label.endswith(f"::{name}")]
        return found

    @property
    def problems(self) -> tuple[Problem, ...]:
        assert self.error is not None
        return self.error.problems


REFUSED = ClusterError([Problem("API server", "denied by policy", "ask for less")])
PROVIDED = 'p = Provider("p", kubeconfig="{}")\n'


def test_resources_reach_their_own_provider(tmp_path: Path) -> None:
    """Two providers, two clusters; the kubeconfig arrives in clear although it is secret in the program."""
    body = """
    for name in ("one", "two"):
        provider = Provider(name, kubeconfig=pulumi.Output.secret(name), upsert_existing_objects=True)
        part = pulumi.ComponentResource("fleet:index:Part", name, opts=Options(providers=[provider]))
        ConfigMap(f"{name}-map", metadata={"name": "a"}, opts=Options(parent=part))
    """
    run = Run(tmp_path, body)
    made = {cluster.settings["kubeconfig"]: [asked.name for asked in cluster.made] for cluster in run.clusters}
    assert made == {"one": ["one-map"], "two": ["two-map"]}
    assert run.clusters[0].settings["upsertExistingObjects"] == "true"
    assert all(cluster.closed for cluster in run.clusters)


def test_outcomes_are_reported_once_and_outputs_come_back(tmp_path: Path) -> None:
    body = PROVIDED + (
        'a = ConfigMap("a", metadata={"name": "a"}, opts=Options(provider=p))\n'
        'ConfigMap.get("b", "x/b", opts=Options(provider=p))\n'
        'return {"id": a.id, "name": a.metadata.name}'
    )
    run = Run(tmp_path, body)
    assert sorted(o.label + " " + o.kind for o in run.outcomes) == [f"{MAP}::a created", f"{MAP}::b read"]
    assert run.outputs == {"id": "a", "name": "a"}


# --- failures --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "way",
    [
        'ConfigMap("b", metadata={"name": "b"}, opts=Options(provider=p, depends_on=[a]))',
        'ConfigMap("b", metadata={"name": a.metadata.name}, opts=Options(provider=p))',
        'ConfigMap("b", metadata={"name": "b"}, data=a.data.apply(lambda d: d), opts=Options(provider=p))',
        'ConfigMap("b", metadata={"name": "b"}, opts=Options(provider=p, parent=a))',
        'ConfigMap("b", metadata={"name": "b"}, opts=Options(provider=Provider("q", kubeconfig=a.id)))',
        'ConfigMap("b", metadata={"name": "b"}, opts=Options(provider=p, depends_on=[part]))',
        'ConfigMap.get("b", a.id, opts=Options(provider=p))',
    ],
    ids=["depends_on", "input", "apply", "parent", "provider", "component", "id of a read"],
)
def test_what_needs_a_failed_resource_is_skipped(tmp_path: Path, way: str) -> None:
    """By whatever way it needs it, and what needs the skipped one too; others go on."""
    body = f"""
part = pulumi.ComponentResource("fleet:index:Part", "part")
a = ConfigMap("a", metadata={{"name": "a"}}, opts=Options(provider=p, parent=part))
b = {way}
ConfigMap("c", metadata={{"name": "c"}}, opts=Options(provider=p, depends_on=[b]))
ConfigMap("free", metadata={{"name": "free"}}, opts=Options(provider=p))
"""
    run = Run(tmp_path, PROVIDED + body, {"a": REFUSED})
    skipped = {name: kind for name, kind in run.kinds.items() if name != "q"}
    assert skipped == {"a": "failed", "b": "skipped", "c": "skipped", "free": "created"}
    assert [asked.name for asked in run.clusters[0].made] == ["free"]
    assert "failed" in run.detail("b")
    assert run.problems == (Problem(f"{MAP}::a", "API server: denied by policy", "ask for less"),)


def test_all_failures_are_raised_together(tmp_path: Path) -> None:
    body = "".join(
        f'ConfigMap("{name}", metadata={{"name": "x"}}, opts=Options(provider=p))\n' for name in ("a", "b", "c")
    )
    run = Run(tmp_path, PROVIDED + body, {"a": REFUSED, "c": REFUSED})
    assert isinstance(run.error, ToolError)
    assert sorted(problem.path for problem in run.problems) == [f"{MAP}::a", f"{MAP}::c"]
    assert run.kinds["b"] == "created"


def test_a_defect_of_the_sandbox_fails_its_resource_only(tmp_path: Path) -> None:
    body = (
        'ConfigMap("a", metadata={"name": "a"}, opts=Options(provider=p))\n'
        'ConfigMap("b", metadata={"name": "b"}, opts=Options(provider=p))'
    )
    run = Run(tmp_path, PROVIDED + body, {"a": KeyError("x")})
    assert run.kinds == {"a": "failed", "b": "created"}
    assert run.problems[0].message == "KeyError: 'x'"
    assert "defect" in run.problems[0].hint


def test_a_cluster_that_cannot_be_opened_takes_only_its_resources_with_it(tmp_path: Path) -> None:
    class Half(Run):
        def _open(self, settings: Mapping[str, Any]) -> Memory:
            if settings["kubeconfig"] == "broken":
                raise ToolError([Problem("kubeconfig", "it cannot be read")])
            return super()._open(settings)

    body = """
    for name in ("broken", "good"):
        provider = Provider(name, kubeconfig=name)
        ConfigMap(f"{name}-map", metadata={"name": "a"}, opts=Options(provider=provider))
    """
    run = Half(tmp_path, body)
    assert run.kinds == {"broken": "failed", "broken-map": "skipped", "good-map": "created"}


def test_a_value_that_never_becomes_known_is_a_failure(tmp_path: Path) -> None:
    """Not a silent skip: without another failure nobody would hear of it."""
    body = PROVIDED + (
        'from pulumi.output import Unknown\nConfigMap("a", metadata={"name": Unknown()}, opts=Options(provider=p))'
    )
    run = Run(tmp_path, body)
    assert run.kinds == {"a": "failed"}
    assert "not known" in run.problems[0].message


def test_secrets_never_appear_in_messages(tmp_path: Path) -> None:
    leaky = ClusterError([Problem("API server", 'invalid value "hunter22" in "hunter22/x"')])
    body = 'Secret("a", metadata={"name": "a"}, string_data={"k": "hunter22"}, opts=Options(provider=p))'
    body = body.replace('"hunter22"', 'pulumi.Output.secret("hunter22")')
    run = Run(tmp_path, PROVIDED + body, {"a": leaky})
    assert run.problems[0].message == 'API server: invalid value "[secret]" in "[secret]/x"'
    assert "hunter22" not in run.detail("a")


# --- what is refused -------------------------------------------------------------------------------------------------
def test_a_resource_without_explicit_provider_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, 'ConfigMap("a", metadata={"name": "a"})')
    assert [problem.message for problem in run.problems] == ["has no explicit provider"]


def test_other_packages_are_refused_by_type_with_the_stack_that_can(tmp_path: Path) -> None:
    body = 'import pulumi_command\npulumi_command.local.Command("a", create="true")'
    run = Run(tmp_path, body)
    (problem,) = run.problems
    assert problem.path == "command:local:Command::a"
    assert "cannot make this type" in problem.message
    assert "make up STACK=staging" in problem.hint


def test_a_preview_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, PROVIDED, preview=True)
    assert [problem.path for problem in run.problems] == ["preview"]
    assert not run.clusters


def test_a_stopped_run_applies_nothing_more(tmp_path: Path) -> None:
    """What an interrupt does: clusters give up waiting, later resources are skipped."""
    outcomes: list[Outcome] = []
    cluster = Memory({}, {})

    class Stopping(Memory):
        def make(self, asked: Registration) -> Applied:
            monitor.stop()
            return super().make(asked)

    cluster = Stopping({}, {})
    monitor = ApplyMonitor(lambda _: cluster, outcomes.append)
    body = (
        'a = ConfigMap("a", metadata={"name": "a"}, opts=Options(provider=p))\n'
        'ConfigMap("b", metadata={"name": "b"}, opts=Options(provider=p, depends_on=[a]))'
    )
    Program(tmp_path, PROVIDED + body).run(monitor)
    assert cluster.stopped
    assert [(o.label, o.kind, o.detail) for o in outcomes] == [
        (f"{MAP}::a", "created", ""),
        (f"{MAP}::b", "skipped", "the run was interrupted"),
    ]


def test_reveal_opens_nested_secrets() -> None:
    assert reveal({"a": Secret({"b": [Secret(1), 2]})}) == {"a": {"b": [1, 2]}}
