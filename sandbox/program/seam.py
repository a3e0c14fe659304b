"""Runs the Pulumi program in this process, without CLI, engine or state; what it registers goes to a `Monitor`.

The real entry file runs as the language host would run it (`pulumi.run`, root stack, stack outputs). Only the far end
is ours: Pulumi's public `MockMonitor`, of which `Monitor` makes two plain questions, "what shall become of this
registration" and "what does this function answer". Called by `sandbox.up` with the monitor that applies for real
(`monitor`) and by the unit tests with one that records (`tests/recording.py`).

Left out on purpose: state, diff, refresh, transforms, resource hooks, assets. The program is told at start that these
features are absent, so using one is an error and not silently without effect.
"""

from __future__ import annotations

import asyncio
import logging
import runpy
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from google.protobuf import empty_pb2
from pulumi import RunError, runtime
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2 as proto

from fleet.errors import FleetError, Problem, ToolError
from sandbox.program.registration import Answer, Registration, decode, encode, from_read, from_register

STACK: Final = "pulumi:pulumi:Stack"
PARALLEL: Final = 32
"""Registrations in flight at once. A wait holds a thread, and asyncio's default of `cpus + 4` would queue the rest."""


class Monitor(mocks.MockMonitor):
    """The far end of the program. Subclasses say what becomes of a resource; called from many threads at once."""

    def __init__(self) -> None:
        super().__init__(_NoMocks())
        self.outputs: dict[str, dict[str, Any]] = {}
        """URN → outputs that a component, or the stack itself, registered last."""
        self._urns: set[str] = set()
        self._lock = threading.Lock()

    def register(self, asked: Registration) -> Answer:
        """Answer a resource or component; an exception here ends the whole program."""
        raise NotImplementedError

    def invoke(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a provider function; none is known unless a subclass knows it."""
        raise FleetError([Problem(token, "no provider answers functions here", "declare a resource instead")])

    def stop(self) -> None:
        """Called from another thread when the run is interrupted: answer whatever is pending at once."""

    def problems(self) -> tuple[Problem, ...]:
        """All failures of the run, which `run` raises together at its end."""
        return ()

    # --- the wire: names and shapes are Pulumi's ----------------------------------------------------------------------
    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The engine's rule, which the mock shortens: all ancestors' types, without the stack's."""
        above = parent.split("::")[2] if parent else ""
        qualified = type_ if above in ("", STACK) else f"{above}${type_}"
        urn = f"urn:pulumi:{runtime.settings.get_stack()}::{runtime.settings.get_project()}::{qualified}::{name}"
        with self._lock:
            if urn in self._urns:
                raise FleetError([Problem(f"{type_}::{name}", "is declared twice", "give one of them another name")])
            self._urns.add(urn)
        return urn

    def RegisterResource(self, request: proto.RegisterResourceRequest) -> proto.RegisterResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK:
            return proto.RegisterResourceResponse(urn=urn)
        answer = self.register(from_register(urn, request))
        return proto.RegisterResourceResponse(
            urn=urn, id=answer.id, object=encode(answer.outputs), result=_result(answer)
        )

    def ReadResource(self, request: proto.ReadResourceRequest) -> proto.ReadResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        answer = self.register(from_read(urn, request))
        return proto.ReadResourceResponse(
            urn=urn, id=answer.id, properties=encode(answer.outputs), result=_result(answer)
        )

    def RegisterResourceOutputs(self, request: proto.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        with self._lock:
            self.outputs[request.urn] = decode(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: proto.ResourceInvokeRequest) -> proto.ResourceInvokeResponse:
        answer = proto.ResourceInvokeResponse()
        getattr(answer, "return").CopyFrom(encode(self.invoke(request.tok, decode(request.args))))
        return answer

    def GetDeploymentInfo(self, request: object) -> proto.DeploymentInfo:
        return proto.DeploymentInfo(
            supportedFeatures=[
                proto.RESOURCE_MONITOR_FEATURE_SECRETS,
                proto.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
                proto.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
                proto.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
            ]
        )


class _NoMocks(mocks.Mocks):
    """`MockMonitor` wants mocks; every request that would reach them is answered before."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise NotImplementedError

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise NotImplementedError


def run(
    entry: Path,
    *,
    project: str,
    stack: str,
    config: Mapping[str, str],
    secrets: Collection[str] = (),
    monitor: Monitor,
    preview: bool = False,
) -> Mapping[str, Any]:
    """Run the program in `entry` to its end and return the stack's outputs, secret ones as `Secret`.

    `config` has full keys (`fleet:environment`), `secrets` names those of them that are secret. What the program itself
    raises comes through; failed resources are raised together as one `FleetError`. A monitor serves one run.
    """

    async def program() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(PARALLEL, "register"))
        # The SDK leaves copies of an error in futures that nobody reads; it is raised here once, with its cause.
        loop.set_exception_handler(lambda *_: None)
        runtime.reset_options()
        runtime.configure(
            runtime.Settings(
                project=project,
                stack=stack,
                organization="organization",
                root_directory=str(entry.parent),
                monitor=monitor,
                engine=mocks.MockEngine(logging.getLogger("pulumi")),
                dry_run=preview,
            )
        )
        runtime.set_all_config(dict(config), list(secrets))
        work = asyncio.ensure_future(runtime.run_in_stack(lambda: _load(entry)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # The SDK waits for every registration under way, cancelled or not; have them answered first.
            monitor.stop()
            await asyncio.wait([work])
            raise

    try:
        # All of the SDK's settings are context variables, and the loop has a copy of ours: nothing outlives it.
        asyncio.run(program())
    except (FleetError, RunError) as error:
        # The entry file turns a `FleetError` into text for the engine; its problems are worth more.
        told = error if isinstance(error, FleetError) else error.__context__
        if not isinstance(told, FleetError):
            raise
        raise type(told)([*told.problems, *monitor.problems()]) from error
    if monitor.problems():
        raise ToolError(monitor.problems())
    return next((values for urn, values in monitor.outputs.items() if urn.split("::")[2] == STACK), {})


def _load(entry: Path) -> None:
    """Execute the entry file, which hands its async main to `pulumi.run`; the SDK awaits that afterwards."""
    runpy.run_path(str(entry), run_name="__main__")


def _result(answer: Answer) -> proto.Result.ValueType:
    return proto.Result.FAIL if answer.failed else proto.Result.SUCCESS
