"""Runs the helm binary: one at a time for each release, with nothing of the user's, and no secret in sight.

Called by `helm`. Values and kubeconfig go by files that only we can read, never by argument or environment.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from fleet.errors import Problem, ToolError
from sandbox.cluster.home import make_folder
from sandbox.program.api import POLL

GRACE_SECONDS: Final = 30
"""What helm gets on top of its own time-out before it is ended."""


@dataclass(frozen=True, kw_only=True)
class Helm:
    """The binary, with the cluster it works on; `stopped` ends it when the run is interrupted."""

    binary: Path
    kubeconfig: str
    folder: Path
    cluster: str
    """Tells the locks of clusters apart."""
    stopped: threading.Event

    @contextmanager
    def turn(self, release: str, namespace: str, seconds: int) -> Iterator[Turn]:
        """Wait until nobody works on a release, at most `seconds` and some; `seconds` is also helm's time-out."""
        path = make_folder(self.folder) / f"{self.cluster}-{namespace}-{release}.lock"
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        with path.open("w") as file:
            while not _is_ours(file):
                if time.monotonic() > deadline or self.stopped.wait(POLL):
                    problem = Problem(release, "an earlier helm is still at work on it", "run again when it has ended")
                    raise ToolError([problem])
            yield Turn(helm=self, namespace=namespace, seconds=seconds, lock=file.fileno())


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The right to work on one release; helm inherits the lock, so a helm that outlives its run keeps it."""

    helm: Helm
    namespace: str
    seconds: int
    lock: int

    def run(self, *arguments: str, values: str = "") -> None:
        """Run helm to its end; the last line that it says is the error."""
        common = ["--namespace", self.namespace, "--timeout", f"{self.seconds}s"]
        with tempfile.TemporaryDirectory(dir=self.helm.folder, prefix="helm-") as private:
            if values:
                common += ["--values", _private_file(private, "values.json", values)]
            kubeconfig = _private_file(private, "kubeconfig", self.helm.kubeconfig)
            with subprocess.Popen(
                [self.helm.binary, *arguments, *common],
                env={"PATH": os.defpath, "HOME": private, "TMPDIR": private, "KUBECONFIG": kubeconfig},
                pass_fds=[self.lock],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                errors = self._await(process)
        if process.returncode:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise ToolError([Problem(f"helm {arguments[0]}", last.removeprefix("Error: "), "the next run tries again")])

    def _await(self, process: subprocess.Popen[str]) -> str:
        """Standard error of `process`, which is ended when the run is interrupted or its time is over."""
        deadline = time.monotonic() + self.seconds + GRACE_SECONDS
        while True:
            try:
                return process.communicate(timeout=POLL)[1]
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline or self.helm.stopped.is_set():
                    process.terminate()


def _private_file(folder: str, name: str, content: str) -> str:
    """The path of a new file that only we can read; the folder is 0700 already, this is for whoever copies it."""
    path = Path(folder, name)
    path.touch(mode=0o600)
    path.write_text(content)
    return str(path)


def _is_ours(file: IO[str]) -> bool:
    """Try to take the lock on `file`, without waiting."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
