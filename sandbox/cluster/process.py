"""One program to keep running, as data: what is common to all that stand in `processes`.

Left out on purpose: which programs there are (`processes`), and running them (`supervisor`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from fleet.names import FLUX_NAMESPACE

Signal = Literal["started", "listening", "answering"]
"""When a process counts as ready: it runs; its port accepts; its API server says `readyz`."""

IMPORTS: Final = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
"""Where our own programs are imported from."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One program to keep running; `after` names what must be ready before it starts."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    tmp: Path
    cluster: str = ""
    after: tuple[str, ...] = ()
    ready: Signal = "started"
    port: int = 0
    files: Mapping[Path, str] = field(default_factory=dict)
    """Configuration that is written (0600) before each start."""
    deployment: str = ""
    """Runs while this Deployment exists in `flux-system`, and is replaced when its arguments change."""
    renewed_with: str = ""
    """Replaced after that process came back: informers that lost their API server for long need 85 s to recover."""

    def command(self, arguments: Sequence[str] = ()) -> tuple[str, ...]:
        """The full command line; of a flag given twice the last one, ours, wins."""
        return (self.argv[0], *arguments, *self.argv[1:])


def deployment_arguments(deployment: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The arguments of a Deployment's first container, `None` when it asks for no pod."""
    if deployment["spec"].get("replicas", 1) == 0:
        return None
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return tuple(a.replace("$(RUNTIME_NAMESPACE)", FLUX_NAMESPACE) for a in container.get("args", ()))


def environment(tmp: Path) -> dict[str, str]:
    """Nothing of the user's: no proxy, no `~/.docker/config.json`, no other kubeconfig."""
    # Many threads cost memory and nothing here is that busy; half of Go's garbage target saves a fifth of the memory.
    processors = str(min(4, os.cpu_count() or 1))
    return {
        "PATH": os.defpath,
        "HOME": str(tmp),
        "TMPDIR": str(tmp),
        "GOMAXPROCS": processors,
        "GOGC": "50",
    }


def module(name: str, *flags: str) -> tuple[str, ...]:
    """A program of our own."""
    return (sys.executable, "-m", name, *flags)
