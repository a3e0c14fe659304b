"""The program runs behind the seam as it runs under the engine, again and again in one process."""

from __future__ import annotations

import contextvars
import gc
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import runtime
from pulumi.config import ConfigMissingError

from fleet.errors import ConfigError, FleetError, Problem, ToolError
from sandbox.program.registration import UNKNOWN, Answer, Registration, Secret
from tests.programs import URN, Program
from tests.recording import RecordingMonitor


# --- outputs and repetition ------------------------------------------------------------------------------------------
def test_outputs_keep_values_and_secretness(tmp_path: Path) -> None:
    """Secret outputs are marked where they are; `export` and the returned mapping both count."""
    program = Program(
        tmp_path,
        """
        token = pulumi.Config().require_secret("token")
        pulumi.export("exported", 1)
        return {"token": token, "nested": {"plain": "a", "list": [token, 2.5]}, "count": 3}
        """,
    )
    outputs = program.run(RecordingMonitor(), config={"fleet:token": "t0k"}, secrets=["fleet:token"])
    assert outputs == {
        "exported": 1,
        "token": Secret("t0k"),
        "nested": {"plain": "a", "list": [Secret("t0k"), 2.5]},
        "count": 3,
    }
    assert type(outputs["count"]) is int
    assert "t0k" not in repr(outputs)


def test_runs_do_not_see_each_other(tmp_path: Path) -> None:
    """Configuration, exports and root stack of a run are gone when it ends, also after a failed one."""
    first = Program(tmp_path, 'pulumi.export("a", pulumi.Config().require("a"))')
    assert first.run(RecordingMonitor(), config={"fleet:a": "1"}) == {"a": "1"}
    second = Program(tmp_path / "second", 'return {"a": pulumi.Config().get("a"), "stack": pulumi.get_stack()}')
    with pytest.raises(ConfigMissingError):
        first.run(RecordingMonitor())
    assert second.run(RecordingMonitor(), stack="other") == {"stack": "other"}
    assert runtime.get_root_resource() is None
    assert not runtime.is_dry_run()


def test_a_root_stack_of_the_caller_is_no_hindrance(tmp_path: Path) -> None:
    """Someone may have used Pulumi's mocks in this thread before."""
    program = Program(tmp_path, 'return {"stack": pulumi.get_stack()}')

    def with_root() -> Mapping[str, Any]:
        runtime.settings.set_root_resource(pulumi.ProviderResource.__new__(pulumi.ProviderResource))
        return program.run(RecordingMonitor())

    assert contextvars.copy_context().run(with_root) == {"stack": "sandbox"}


def test_secret_keys_of_the_configuration_are_known(tmp_path: Path) -> None:
    """The SDK warns a program that reads such a key in clear."""
    program = Program(tmp_path, 'return {k: pulumi.runtime.is_config_secret(f"fleet:{k}") for k in ("a", "b")}')
    config = {"fleet:a": "1", "fleet:b": "2"}
    assert program.run(RecordingMonitor(), config=config, secrets=["fleet:a"]) == {"a": True, "b": False}


def test_many_runs_leave_no_threads(tmp_path: Path) -> None:
    """Each run has its own loop and threads, and ends them."""
    program = Program(tmp_path, 'ConfigMap("a", metadata={"name": "a"}, opts=Options())')
    program.run(RecordingMonitor())
    before = threading.active_count()
    for _ in range(10):
        program.run(RecordingMonitor())
    assert threading.active_count() == before


def test_runs_in_any_thread(tmp_path: Path) -> None:
    """A thread without an event loop of its own can run a program."""
    program = Program(tmp_path, 'return {"stack": pulumi.get_stack()}')
    seen: list[Mapping[str, Any]] = []
    thread = threading.Thread(target=lambda: seen.append(program.run(RecordingMonitor())))
    thread.start()
    thread.join()
    assert seen == [{"stack": "sandbox"}]


# --- what a registration carries -------------------------------------------------------------------------------------
OPTIONS = """
provider = Provider("provider", kubeconfig="{}")
plain = ConfigMap("plain", metadata={"name": "plain"}, opts=Options(provider=provider))
parent = pulumi.ComponentResource("fleet:index:Part", "parent")
ConfigMap(
    "full",
    metadata={"name": "full"},
    data={"from": plain.metadata.name, "count": "1"},
    opts=Options(
        provider=provider,
        parent=parent,
        protect=True,
        retain_on_delete=True,
        delete_before_replace=True,
        deleted_with=plain,
        import_="default/full",
        ignore_changes=["data", "binary_data"],
        replace_on_changes=["metadata"],
        additional_secret_outputs=["data"],
        aliases=[pulumi.Alias(name="old"), "urn:pulumi:s::p::t::n"],
        custom_timeouts=pulumi.CustomTimeouts(create="10m"),
        depends_on=[provider],
        version="4.0.0",
    ),
)
ConfigMap("off", metadata={"name": "off"}, opts=Options(protect=False, retain_on_delete=False))
ConfigMap.get("read", "default/read", opts=Options(provider=provider))
"""
PLAIN = f"{URN}kubernetes:core/v1:ConfigMap::plain"
PROVIDER = f"{URN}pulumi:providers:kubernetes::provider"
FULL = {
    "urn": f"{URN}fleet:index:Part$kubernetes:core/v1:ConfigMap::full",
    "type": "kubernetes:core/v1:ConfigMap",
    "label": "kubernetes:core/v1:ConfigMap::full",
    "parent": f"{URN}fleet:index:Part::parent",
    "custom": True,
    "provider": f"{PROVIDER}::provider-id",
    "protect": True,
    "retain_on_delete": True,
    "delete_before_replace": True,
    "deleted_with": PLAIN,
    "import_id": "default/full",
    "ignore_changes": ("data", "binaryData"),
    "replace_on_changes": ("metadata",),
    "additional_secret_outputs": ("data",),
    "aliases": ({"spec": {"name": "old", "parentUrn": ""}}, {"urn": "urn:pulumi:s::p::t::n"}),
    "custom_timeouts": {"create": "10m"},
    "dependencies": frozenset({PLAIN, PROVIDER}),
    "version": "4.0.0",
    "read_id": "",
}
UNSET: Mapping[str, object] = {
    "protect": None,
    "retain_on_delete": None,
    "delete_before_replace": None,
    "deleted_with": "",
    "import_id": "",
    "ignore_changes": (),
    "replace_on_changes": (),
    "additional_secret_outputs": (),
    "aliases": (),
    "custom_timeouts": {},
    "dependencies": frozenset(),
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> RecordingMonitor:
    monitor = RecordingMonitor()
    Program(tmp_path_factory.mktemp("options"), OPTIONS).run(monitor)
    return monitor


@pytest.mark.parametrize("option", FULL)
def test_each_option_is_recorded(options: RecordingMonitor, option: str) -> None:
    assert getattr(options.one("full"), option) == FULL[option]


@pytest.mark.parametrize("option", UNSET)
def test_an_option_that_is_not_set_stays_unset(options: RecordingMonitor, option: str) -> None:
    assert getattr(options.one("plain"), option) == UNSET[option]


def test_false_is_not_unset(options: RecordingMonitor) -> None:
    off = options.one("off")
    assert (off.protect, off.retain_on_delete) == (False, False)


def test_dependencies_are_kept_by_property(options: RecordingMonitor) -> None:
    """An input made of another resource's output depends on it without `depends_on`."""
    assert options.one("full").property_dependencies["data"] == {PLAIN}
    assert options.one("full").property_dependencies["metadata"] == frozenset()


def test_get_is_recorded_as_a_read(options: RecordingMonitor) -> None:
    read = options.one("read")
    assert (read.read_id, read.type, read.provider) == (
        "default/read",
        "kubernetes:core/v1:ConfigMap",
        f"{PROVIDER}::provider-id",
    )


def test_order_and_types_can_be_asked_for(options: RecordingMonitor) -> None:
    assert options.position("provider") < options.position("plain") < options.position("full")
    assert [asked.name for asked in options.of_type("pulumi:providers:kubernetes")] == ["provider"]


def test_secrets_stay_where_they_are_in_inputs(tmp_path: Path) -> None:
    """The SDK's own decoder would mark the whole property, or lose the mark in nested values."""
    monitor = RecordingMonitor()
    Program(
        tmp_path,
        """
        Release("r", chart="c", values={"open": 1, "deep": {"key": pulumi.Output.secret("k")}})
        """,
    ).run(monitor)
    assert monitor.one("r").inputs["values"] == {"open": 1, "deep": {"key": Secret("k")}}


def test_fake_outputs_reach_the_program(tmp_path: Path) -> None:
    """Fakes by type and by name, secret ones too."""
    body = """
    a = ConfigMap("a", metadata={"name": "a"})
    b = ConfigMap("b", metadata={"name": "b"})
    return {"a": a.data["k"], "b": b.data["k"], "id": a.id}
    """
    fakes: dict[str, dict[str, Any]] = {
        "kubernetes:core/v1:ConfigMap": {"data": {"k": "type"}},
        "b": {"data": Secret({"k": "name"})},
    }
    outputs = Program(tmp_path, body).run(RecordingMonitor(outputs=fakes))
    assert outputs == {"a": "type", "b": Secret("name"), "id": "a-id"}


# --- preview and failure ---------------------------------------------------------------------------------------------
CHAIN = """
a = ConfigMap("a", metadata={"name": "a"})
b = ConfigMap("b", metadata={"name": "b"}, binary_data=a.binary_data, data={"known": a.metadata.name})
ConfigMap("c", metadata={"name": "c"})
return {"live": a.binary_data, "dry": pulumi.runtime.is_dry_run()}
"""


def test_preview_leaves_unknown_what_only_the_cluster_knows(tmp_path: Path) -> None:
    monitor = RecordingMonitor()
    outputs = Program(tmp_path, CHAIN).run(monitor, preview=True)
    assert monitor.one("b").inputs["binaryData"] == UNKNOWN
    assert monitor.one("b").inputs["data"] == {"known": "a"}
    assert outputs == {"live": UNKNOWN, "dry": True}


def test_an_output_can_be_made_unknown_in_preview(tmp_path: Path) -> None:
    """What an awaiting main sees of an unknown kubeconfig."""
    body = """
    source = ConfigMap("source", metadata={"name": "source"})
    kubeconfig = source.data["kubeconfig"]
    return {"known": await kubeconfig.is_known(), "value": kubeconfig}
    """
    fakes = {"source": {"data": UNKNOWN}}
    program = Program(tmp_path, body)
    assert program.run(RecordingMonitor(outputs=fakes), preview=True) == {"known": False, "value": UNKNOWN}
    known = RecordingMonitor(outputs={"source": {"data": {"kubeconfig": "text"}}})
    assert program.run(known, preview=True) == {"known": True, "value": "text"}


def test_a_failed_resource_leaves_the_rest_of_the_program_alone(tmp_path: Path) -> None:
    """Its dependents are asked for with unknown inputs and name it as dependency; the monitor decides."""
    monitor = RecordingMonitor(failing=["a"])
    outputs = Program(tmp_path, CHAIN).run(monitor)
    assert monitor.one("b").inputs["binaryData"] == UNKNOWN
    assert monitor.one("b").dependencies == {f"{URN}kubernetes:core/v1:ConfigMap::a"}
    assert monitor.one("c").inputs["metadata"] == {"name": "c"}
    assert outputs == {"live": UNKNOWN, "dry": False}


def test_errors_of_the_program_come_through(tmp_path: Path) -> None:
    body = """
    from fleet.errors import ConfigError, Problem
    raise ConfigError([Problem("a", "b"), Problem("c", "d")])
    """
    with pytest.raises(ConfigError) as raised:
        Program(tmp_path, body).run(RecordingMonitor())
    assert raised.value.problems == (Problem("a", "b"), Problem("c", "d"))


def test_an_error_that_the_entry_file_words_for_the_engine_keeps_its_problems(tmp_path: Path) -> None:
    """`__main__.py` raises `RunError` with the text, since the engine would show a traceback otherwise."""
    body = """
    from fleet.errors import ConfigError, Problem
    try:
        raise ConfigError([Problem("a", "b")])
    except ConfigError as error:
        raise pulumi.RunError(str(error)) from None
    """
    with pytest.raises(ConfigError) as raised:
        Program(tmp_path, body).run(RecordingMonitor())
    assert raised.value.problems == (Problem("a", "b"),)


def test_any_other_error_comes_through_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match=r"^text$"):
        Program(tmp_path, 'raise pulumi.RunError("text")').run(RecordingMonitor())


class Failing(RecordingMonitor):
    """A monitor that has something to report at the end."""

    def problems(self) -> tuple[Problem, ...]:
        return (Problem("resource", "refused"),)


def test_failures_of_the_monitor_are_raised_at_the_end(tmp_path: Path) -> None:
    monitor = Failing()
    with pytest.raises(ToolError) as raised:
        Program(tmp_path, CHAIN).run(monitor)
    assert raised.value.problems == (Problem("resource", "refused"),)
    assert {asked.name for asked in monitor.registrations} == {"a", "b", "c"}


def test_failures_of_program_and_monitor_are_raised_together(tmp_path: Path) -> None:
    body = "from fleet.errors import ConfigError, Problem\nraise ConfigError([Problem('a', 'b')])"
    with pytest.raises(ConfigError) as raised:
        Program(tmp_path, body).run(Failing())
    assert [problem.path for problem in raised.value.problems] == ["a", "resource"]


def test_a_name_given_twice_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The engine refuses it too; the plain mock would let the second one win. It is told once, without tracebacks."""
    body = 'ConfigMap("a", metadata={"name": "a"})\nConfigMap("a", metadata={"name": "b"})'
    with pytest.raises(FleetError, match=r"ConfigMap::a: is declared twice"):
        Program(tmp_path, body).run(RecordingMonitor())
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize(
    "option",
    ["transforms=[lambda args: None]", "hooks=pulumi.ResourceHookBinding(after_create=[lambda args: None])"],
)
def test_features_that_would_have_no_effect_are_refused(tmp_path: Path, option: str) -> None:
    body = f'ConfigMap("a", metadata={{"name": "a"}}, opts=Options({option}))'
    with pytest.raises(Exception, match="does not support"):
        Program(tmp_path, body).run(RecordingMonitor())


def test_functions_of_providers_are_refused(tmp_path: Path) -> None:
    body = 'pulumi.runtime.invoke("kubernetes:yaml:decode", {})'
    with pytest.raises(FleetError, match="kubernetes:yaml:decode"):
        Program(tmp_path, body).run(RecordingMonitor())


# --- threads ---------------------------------------------------------------------------------------------------------
class Meeting(RecordingMonitor):
    """Answers nobody before `count` registrations are under way at once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(count, timeout=20)

    def register(self, asked: Registration) -> Answer:
        self._barrier.wait()
        return super().register(asked)


def test_independent_resources_are_registered_side_by_side(tmp_path: Path) -> None:
    """More of them than asyncio's default number of threads on a small machine."""
    body = "for n in range(24): ConfigMap(str(n), metadata={'name': str(n)})"
    monitor = Meeting(24)
    Program(tmp_path, body).run(monitor)
    assert len(monitor.registrations) == 24


class Interrupted(RecordingMonitor):
    """Is interrupted by Ctrl-C during the first registration and answers it only when told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def register(self, asked: Registration) -> Answer:
        answer = super().register(asked)
        if asked.name == "a":
            os.kill(os.getpid(), signal.SIGINT)
            return Answer(failed=not self.told.wait(timeout=20))
        return answer

    def stop(self) -> None:
        self.told.set()


def test_an_interrupt_stops_the_monitor_and_comes_through(tmp_path: Path) -> None:
    monitor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        Program(tmp_path, CHAIN).run(monitor)
    assert monitor.told.is_set()
