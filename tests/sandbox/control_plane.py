"""etcd and an API server alone, for tests that need a real one but no controllers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from sandbox.build import Parts
from sandbox.cluster.credentials import ensure_credentials
from sandbox.cluster.home import Home, choose_ports, make_folder, open_home
from sandbox.cluster.process import Process
from sandbox.cluster.processes import describe_processes

NAME = "test"
START_SECONDS = 60


@contextmanager
def control_plane(folder: Path, parts: Parts) -> Iterator[str]:
    """The administrator's kubeconfig of a running API server, which is gone afterwards."""
    home = open_home(folder)
    ports = choose_ports(home, [NAME])
    ensure_credentials(home.cluster(NAME), api_port=ports[f"{NAME}/api"])
    wanted = (f"{NAME}/etcd", f"{NAME}/kube-apiserver")
    kubeconfig = home.cluster(NAME).kubeconfig.read_text()
    with ExitStack() as stack:
        running = [
            stack.enter_context(_started(home, process))
            for process in describe_processes(home, parts, ports, [NAME])
            if process.name in wanted
        ]
        _await_answer(kubeconfig, running)
        yield kubeconfig


@contextmanager
def _started(home: Home, process: Process) -> Iterator[subprocess.Popen[bytes]]:
    for folder in (process.tmp, process.log.parent, home.cluster(NAME).etcd):
        make_folder(folder)
    with process.log.open("wb") as log:
        running = subprocess.Popen(process.command(), env=process.env, stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def _await_answer(kubeconfig: str, running: list[subprocess.Popen[bytes]]) -> None:
    from sandbox.program.api import Api

    api = Api(kubeconfig)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in running):
        try:
            if api._client.get("/readyz").is_success:
                api.close()
                return
        except httpx2.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"the API server did not come up; exit codes {[process.poll() for process in running]}")
