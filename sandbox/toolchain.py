"""Runs Go and npm for `sandbox.build`: what must be there, in which environment, and what a failure tells.

Left out on purpose: what is built (`sandbox.parts`) and where it goes (`sandbox.build`).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fleet.errors import Problem, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

GIB: Final = 2**30
TAIL: Final = 15
RESUME: Final = "run the same command again: it goes on with the parts that are done"
CAUSES: Final = {
    r"no space left on device": "free some disk space, then",
    r"dial tcp|proxyconnect|lookup disabled|no such host|i/o timeout|TLS handshake|40[34] (Forbidden|Not Found)": (
        "Go could not download a module: check the network and `go env GOPROXY`, then"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Go:
    """The Go on this machine: the environment it runs in and its two caches."""

    environment: Mapping[str, str]
    build_cache: Path
    module_cache: Path


def find_go(*, scratch: Path, fallback: Path, oldest: tuple[int, int]) -> Go:
    """The Go on `PATH`; raises ToolError if it is missing or too old.

    Its temporary files go below `scratch`, its caches below `fallback` if there is no home folder.
    """
    wanted = ".".join(map(str, oldest))
    install = f"install Go {wanted} or newer (https://go.dev/dl/) and put it on `PATH`"
    if shutil.which("go") is None:
        raise ToolError([Problem("go", "not found on `PATH`; the sandbox compiles its parts", install)])
    environment = _environment(scratch, fallback)
    command = ("go", "env", "-json", "GOVERSION", "GOCACHE", "GOMODCACHE")
    answer = subprocess.run(command, check=False, env=environment, cwd=scratch, capture_output=True, text=True)
    if answer.returncode:
        raise ToolError([Problem("go", f"`{shlex.join(command)}` failed: {answer.stderr.strip()}", install)])
    told = json.loads(answer.stdout)
    found = re.match(r"go(\d+)\.(\d+)", told["GOVERSION"])
    if found is None or (int(found[1]), int(found[2])) < oldest:
        raise ToolError([Problem("go", f"found {told['GOVERSION']}, the parts need Go {wanted}", install)])
    return Go(environment=environment, build_cache=Path(told["GOCACHE"]), module_cache=Path(told["GOMODCACHE"]))


def require_space(needs: Iterable[tuple[Path, float]]) -> None:
    """Raises ToolError with one problem for each file system that has less free than needed (GiB)."""
    needed: dict[int, float] = {}
    folders: dict[int, Path] = {}
    for folder, size in needs:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        device = existing.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        folders.setdefault(device, existing)
    problems = [
        Problem(
            str(folders[device]),
            f"{free:.1f} GiB are free, the build needs {size:.1f} GiB",
            "free some disk space, or point `GOCACHE` and `GOMODCACHE` to another disk",
        )
        for device, size in needed.items()
        if (free := shutil.disk_usage(folders[device]).free / GIB) < size
    ]
    if problems:
        raise ToolError(problems)


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], object] = str,
) -> str:
    """What `command` wrote to stdout; its stderr goes to `log` and, line by line, to `on_line`.

    Raises ToolError with the last lines of the log if it fails; ends the command if it is interrupted.
    """
    with log.open("a") as file, tempfile.TemporaryFile("w+", dir=log.parent) as output:
        file.write(f"$ {shlex.join(command)}\n")
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                for line in process.stderr or ():
                    file.write(line)
                    on_line(line.rstrip())
                code = process.wait()
            except BaseException:
                process.send_signal(signal.SIGINT)  # Go removes its temporary files on this one only
                raise
        output.seek(0)
        text = output.read()
        if code:
            file.write(text)
    if code:
        raise ToolError([_failure(command, code, log)])
    return text


def _failure(command: Sequence[str], code: int, log: Path) -> Problem:
    lines = log.read_text(errors="replace").splitlines()[-TAIL:]
    causes = [cause for pattern, cause in CAUSES.items() if re.search(pattern, "\n".join(lines))]
    told = "\n".join(f"    {line}" for line in lines)
    message = f"`{command[0]} {command[1]}` ended with exit code {code}; the log ends with\n{told}"
    return Problem(str(log), message, " ".join([*causes[:1], RESUME]))


def _environment(scratch: Path, fallback: Path) -> dict[str, str]:
    """The caller's, less what would build for another machine or with other modules."""
    left_out = {"GOOS", "GOARCH", "GOFLAGS", "GOWORK"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOTMPDIR": str(scratch),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    if not environment.get("HOME"):
        # Go derives both caches from it and refuses to run without.
        environment.setdefault("GOCACHE", str(fallback / "go-build"))
        environment.setdefault("GOPATH", str(fallback / "go"))
    return environment
