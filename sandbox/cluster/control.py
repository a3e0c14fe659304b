"""Starts, stops and asks after a sandbox; what `up`, `down` and `status` call, holding the home's lock where they must.

The work is done by `supervisor`, in a process of its own. Here is what must happen while it does not run: ports and
credentials are made ready, and what a killed supervisor left running is ended. A process is ours if the environment
it was started with names our home, so a reused pid or somebody else's program is never touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fleet.errors import Problem, ToolError
from sandbox.cluster.credentials import ensure_credentials
from sandbox.cluster.home import MARKER, SHARED, Home, check_ports, choose_ports, read_json
from sandbox.cluster.plan import Plan, read_plan, write_plan
from sandbox.progress import Progress, Step

if TYPE_CHECKING:
    import psutil

    from sandbox.build import Parts

T = TypeVar("T")

CODE: Final = Path(__file__).resolve().parents[2]
"""Where the packages are imported from, wherever the process is started."""
SUPERVISOR: Final = "sandbox.cluster.supervisor"
START_PATIENCE: Final = 120.0
STOP_PATIENCE: Final = 30.0
"""Three rows of processes, five seconds of grace for each, and a reserve."""
HOPELESS: Final = 4
"""Failures of one process in a row after which a start gives up; a port or folder does not come right by itself."""
POLL: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """One process as the supervisor saw it last; `pid` is `None` while it does not run.

    `restarts` counts what was not asked for: it ended by itself, was killed, or could not be started; `failures`
    counts those of them in a row.
    """

    name: str
    phase: str
    note: str
    pid: int | None
    restarts: int
    failures: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs; `supervisor` is its pid, `None` when the sandbox is down."""

    supervisor: int | None
    processes: tuple[ProcessStatus, ...]

    def is_ready(self, name: str) -> bool:
        return any(process.name == name and process.phase == "ready" for process in self.processes)


def status(home: Home) -> Status:
    """What runs in `home` now; nothing is listed while the supervisor does not live."""
    down = Status(supervisor=None, processes=())
    state: Any = read_json(home.state)
    try:
        processes = tuple(ProcessStatus(name=name, **entry) for name, entry in state["processes"].items())
        now = Status(supervisor=state["supervisor"], processes=processes)
    except (AttributeError, KeyError, TypeError):  # none yet, or written by another version of this code
        return down
    return now if _is_ours(home, state["supervisor"]) else down


def start(home: Home, parts: Parts, clusters: Sequence[str], *, progress: Progress = lambda _: None) -> Plan:
    """Makes `clusters` answer, and only these; what runs already and is the same stays as it is.

    Raises ToolError for a port that is taken and for a process that does not come up (with the end of its log); what
    this call started is ended then.
    """
    plan = Plan(parts=parts, clusters=tuple(clusters), ports=choose_ports(home, clusters))
    launched = None
    if status(home).supervisor is None or read_plan(home) != plan:
        stop(home)
        check_ports(plan.ports)
        for name in clusters:
            ensure_credentials(home.cluster(name), api_port=plan.ports[f"{name}/api"])
        write_plan(home, plan)
        home.state.unlink(missing_ok=True)
        launched = _launch(home)
    try:
        _await_answers(home, plan, launched, progress)
    except BaseException:
        if launched:
            stop(home)
        raise
    return plan


def stop(home: Home, *, progress: Progress = lambda _: None) -> bool:
    """Ends every process of `home`, bounded in time; tells whether there was one. All data stays."""
    ours = _ours(home)
    for process in ours:
        if SUPERVISOR in (_quietly(process.cmdline) or ()):
            _quietly(process.terminate)
            _await_end(home, process, len(ours), progress)
    _end(_ours(home))
    return bool(ours)


def _launch(home: Home) -> subprocess.Popen[bytes]:
    """The supervisor, detached: it outlives this terminal and its Ctrl-C."""
    with os.fdopen(os.open(home.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", SUPERVISOR, str(home.root)],
            env={**os.environ, "PYTHONPATH": str(CODE), MARKER: str(home.root)},
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _await_answers(home: Home, plan: Plan, launched: subprocess.Popen[bytes] | None, progress: Progress) -> None:
    needed = [
        *SHARED,
        *(f"{name}/{part}" for name in plan.clusters for part in ("etcd", "kube-apiserver")),
    ]
    deadline = time.monotonic() + START_PATIENCE
    told: set[str] = set()
    while len(told) < len(needed):
        now = status(home)
        for name in needed:
            if name not in told and now.is_ready(name):
                told.add(name)
                progress(Step(part=name, state="ready", done=len(told), total=len(needed)))
        if launched and launched.poll() is not None:
            raise ToolError([_problem(home, "supervisor", f"ended with status {launched.returncode}")])
        if problem := _find_problem(home, now, needed, time.monotonic() > deadline):
            raise ToolError([problem])
        time.sleep(POLL)
    if launched:
        launched.returncode = 0  # it is to outlive us: nobody waits for it


def _find_problem(home: Home, now: Status, needed: Sequence[str], late: bool) -> Problem | None:
    """Why waiting is in vain, with the log that says more."""
    for process in now.processes:
        if process.name in needed and process.failures >= HOPELESS and process.phase == "failed":
            return _problem(home, process.name, process.note)
    if not late:
        return None
    waiting = next(name for name in needed if not now.is_ready(name))
    return _problem(home, waiting, f"not ready after {START_PATIENCE:.0f} s")


def _problem(home: Home, name: str, what: str) -> Problem:
    log = home.log(name)
    lines = log.read_text(errors="replace").splitlines()[-5:] if log.is_file() else []
    return Problem(f"`{name}`", "; ".join([what, *lines]), f"its whole log is `{log}`")


# --- processes that are ours -----------------------------------------------------------------------------------
def _ours(home: Home) -> list[psutil.Process]:
    import psutil

    return [process for process in psutil.process_iter() if _has_marker(home, process)]


def _is_ours(home: Home, pid: int) -> bool:
    import psutil

    try:
        return _has_marker(home, psutil.Process(pid))
    except psutil.Error:
        return False


def _has_marker(home: Home, process: psutil.Process) -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARKER) == str(home.root)
    except (psutil.Error, OSError):
        return False


def _await_end(home: Home, supervisor: psutil.Process, total: int, progress: Progress) -> None:
    """Until the supervisor has ended all others and itself."""
    import psutil

    deadline = time.monotonic() + STOP_PATIENCE
    while time.monotonic() < deadline:
        progress(Step(part="sandbox", note="ending", done=total - len(_ours(home)), total=total))
        gone, _ = psutil.wait_procs([supervisor], timeout=0.5)
        if gone:
            return


def _end(processes: Sequence[psutil.Process]) -> None:
    import psutil

    for process in processes:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=5)
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=5)


def _quietly(act: Callable[[], T]) -> T | None:
    """`act` on a process; `None` if it has ended in between."""
    import psutil

    try:
        return act()
    except psutil.NoSuchProcess:
        return None
