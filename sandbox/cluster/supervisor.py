"""Keeps the processes of a sandbox running: one background process that owns all the others.

`python -m sandbox.cluster.supervisor <folder>`, started and stopped by `control`. Ten times a second it compares what
runs with what should: starts each process after those it needs, restarts what died, replaces what is out of date, and
writes every change to `state.json`. What it knows of a cluster it has from that cluster's `watcher`.
Left out on purpose: what to run (`processes`), which objects (`objects`), ending what a killed supervisor left behind
(`control`, at the next start).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

from sandbox.cluster.cluster_api import ClusterApi
from sandbox.cluster.home import LOOPBACK, MARKER, Home, lock, make_folder, write_file, write_json
from sandbox.cluster.plan import read_plan
from sandbox.cluster.process import Process
from sandbox.cluster.processes import describe_processes
from sandbox.cluster.watcher import Watcher, tell

Phase = Literal["waiting", "starting", "ready", "stopping", "failed"]

TICK: Final = 0.1
PATIENCE: Final = 60.0
"""Seconds until a process that runs but is not ready is replaced."""
GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL; everything here survives the latter."""
STEADY: Final = 30.0
"""A process that lived this long starts again at once; before, the pause doubles from 0.2 s to 10 s."""
LOG_LIMIT: Final = 20 << 20


def main() -> None:
    home = Home(root=Path(sys.argv[1]))
    plan = read_plan(home)
    if plan is None:
        sys.exit(f"no plan in {home.plan}; start it with `make up`")
    processes = describe_processes(home, plan.parts, plan.ports, plan.clusters)
    apis = {name: ClusterApi(home.cluster(name).kubeconfig) for name in plan.clusters}
    watchers = {name: Watcher(api, plan.parts.kwok_stages) for name, api in apis.items()}
    with lock(home, "supervisor"):
        Supervisor(home, processes, watchers).run()


@dataclass
class Child:
    """A process and what became of it."""

    process: Process
    phase: Phase = "waiting"
    note: str = ""
    running: subprocess.Popen[bytes] | None = None
    command: tuple[str, ...] = ()
    began: float = 0.0
    """When the current phase began (monotonic)."""
    started: float = 0.0
    starts: int = 0
    deaths: int = 0
    failures: int = 0
    """Deaths in a row, and starts that came to nothing."""
    killed: bool = False

    def enter(self, phase: Phase, note: str = "") -> None:
        if (phase, note) != (self.phase, self.note):
            tell(f"{self.process.name}: {phase} {note}".rstrip())
            self.phase, self.note, self.began = phase, note, time.monotonic()

    def age(self) -> float:
        return time.monotonic() - self.began

    def describe(self) -> dict[str, Any]:
        pid = self.running.pid if self.running else None
        counts = {"restarts": self.deaths, "failures": self.failures}
        return {"phase": self.phase, "note": self.note, "pid": pid, **counts}


class Supervisor:
    """Drives every child one step a tick; nothing in it waits."""

    def __init__(self, home: Home, processes: Sequence[Process], watchers: Mapping[str, Watcher]) -> None:
        self._home = home
        self._children = {process.name: Child(process) for process in processes}
        self._watchers = watchers
        self._stop = threading.Event()
        self._written: object = None

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for watcher in self._watchers.values():
            watcher.start()
        try:
            while not self._stop.wait(TICK):
                for child in self._children.values():
                    self._step(child)
                self._write_state()
        finally:
            self._end_all()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        tell(f"supervisor: {signal.Signals(number).name}")
        self._stop.set()

    def _step(self, child: Child) -> None:
        """One look at one child, and at most one action."""
        if child.running is None:
            self._start_if_due(child)
        elif (code := child.running.poll()) is not None:
            _note_exit(child, code)
        elif child.phase == "stopping":
            _kill_if_overdue(child)
        elif (command := self._wanted(child.process)) != child.command:
            _terminate(child, "its Deployment changed" if command else "its Deployment is gone")
        elif child.phase == "starting":
            self._check_ready(child)

    def _wanted(self, process: Process) -> tuple[str, ...] | None:
        """The command line that should run now, `None` for nothing."""
        if not process.deployment:
            return process.command()
        arguments = self._watchers[process.cluster].arguments.get(process.deployment)
        return None if arguments is None else process.command(arguments)

    def _start_if_due(self, child: Child) -> None:
        pause = min(10.0, 0.1 * 2**child.failures) if child.failures else 0.0
        if child.phase == "failed" and child.age() < pause:
            return
        missing = [name for name in child.process.after if not self._is_ready(name)]
        command = self._wanted(child.process)
        if missing or command is None:
            what = f"`{missing[0]}`" if missing else f"Deployment `{child.process.deployment}`"
            child.enter("waiting", f"for {what}")
            return
        try:
            child.running = _spawn(child.process, command, self._home)
        except OSError as error:
            _note_failure(child, f"could not be started: {error}")
            return
        child.command, child.started, child.killed = command, time.monotonic(), False
        child.starts += 1
        child.enter("starting", f"pid {child.running.pid}")

    def _is_ready(self, name: str) -> bool:
        if name.endswith("/objects"):
            return self._watchers[name.removesuffix("/objects")].laid.is_set()
        return self._children[name].phase == "ready"

    def _check_ready(self, child: Child) -> None:
        process = child.process
        match process.ready:
            case "started":
                ready = True
            case "listening":
                ready = _is_listening(process.port)
            case "answering":
                ready = self._watchers[process.cluster].api.is_ready()
        if ready:
            child.enter("ready")
            if child.starts > 1:
                self._renew_after(process.name)
        elif child.age() > PATIENCE:
            _terminate(child, f"not ready after {PATIENCE:.0f} s")

    def _renew_after(self, name: str) -> None:
        for child in self._children.values():
            if child.process.renewed_with == name and child.running and child.phase != "stopping":
                _terminate(child, f"`{name}` came back")

    def _end_all(self) -> None:
        """Ends those first that need others, so that nobody writes errors about a neighbour that is gone."""
        left = dict(self._children)
        while left:
            needed = {name for child in left.values() for name in child.process.after}
            last = [child for name, child in left.items() if name not in needed]
            for child in last:
                if child.running and child.running.poll() is None:
                    _terminate(child, "the sandbox is going down")
            for child in last:
                _await_end(child)
                del left[child.process.name]
            self._write_state()

    def _write_state(self) -> None:
        children = {name: child.describe() for name, child in self._children.items()}
        if children != self._written:
            with contextlib.suppress(OSError):  # a full disk; the next tick tries again
                write_json(self._home.state, {"supervisor": os.getpid(), "processes": children})
                self._written = children


def _spawn(process: Process, command: Sequence[str], home: Home) -> subprocess.Popen[bytes]:
    make_folder(process.tmp)
    make_folder(process.log.parent)
    for path, content in process.files.items():
        write_file(path, content.encode())
    if process.log.is_file() and process.log.stat().st_size > LOG_LIMIT:
        process.log.replace(process.log.with_suffix(".old.log"))
    with os.fdopen(os.open(process.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        return subprocess.Popen(
            command,
            env={**process.env, MARKER: str(home.root)},
            cwd=process.tmp,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _note_exit(child: Child, code: int) -> None:
    child.running = None
    if child.phase == "stopping":
        child.enter("waiting")
    else:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        _note_failure(child, how)


def _note_failure(child: Child, note: str) -> None:
    lived = time.monotonic() - child.started
    child.deaths += 1
    child.failures = 1 if lived > STEADY else child.failures + 1
    child.enter("failed", note)


def _terminate(child: Child, why: str) -> None:
    assert child.running is not None
    child.running.terminate()
    child.enter("stopping", why)


def _kill_if_overdue(child: Child) -> None:
    if child.running and child.age() > GRACE and not child.killed:
        child.running.kill()
        child.killed = True


def _await_end(child: Child) -> None:
    if child.running:
        try:
            child.running.wait(max(0.0, GRACE - child.age()))
        except subprocess.TimeoutExpired:
            child.running.kill()
            child.running.wait()
        child.running = None
    child.enter("waiting", "ended")


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=TICK).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
