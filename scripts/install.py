"""Makes `.venv` hold exactly what the lock files name, or says what this machine lacks.

Called by the Makefile, which has checked the version of Python, when a lock file is newer than the stamp:
`install.py STAMP LOCK…`; the stamp lies in the environment. `--onto` adds to the environment as it is, for the clouds'
packages, which few need. It runs before anything is installed, so it keeps to the standard library.
Left out on purpose: Go, Node and the Pulumi CLI, which the program checks when it needs them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

COLLECTING: Final = "Collecting "
"""How pip begins the line that it prints once for each package, wanted or found on the way."""


def find_faults() -> list[str]:
    """What this machine lacks, each with what to do about it."""
    faults = []
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        faults.append(
            f"Python {version} (`{sys.executable}`) lacks its modules `venv` and `ensurepip`\n"
            f"    hint: install them (Debian, Ubuntu: `apt install python{version}-venv`)"
        )
    if not shutil.which("git"):
        faults.append(
            "`git` is not on PATH; version 2.20 or newer is needed\n"
            "    hint: install it (`apt install git`, `brew install git`)"
        )
    return faults


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Let one `make` at a time work on the environment; the kernel frees the lock when its holder dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another `make` that installs the Python packages", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: list[str], total: int = 0) -> None:
    """Run `command` in silence but for a counter of packages on a terminal; show its output if it fails."""
    shown = total and sys.stderr.isatty()
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line)
            if shown and line.startswith(COLLECTING):
                count = sum(entry.startswith(COLLECTING) for entry in lines)
                name = line.removeprefix(COLLECTING).split("==")[0]
                print(f"\r\033[K  [{count}/{total}] {name}", end="", file=sys.stderr, flush=True)
            elif shown and line.startswith("Installing collected"):
                print("\r\033[K  unpacking and compiling", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\033[K", end="", file=sys.stderr)
    if process.returncode:
        sys.stderr.writelines(lines[-20:])
        tried = " ".join(["python", *command[1:4]])
        sys.exit(
            f"error: `{tried}` failed with exit code {process.returncode}; its last words are above\n"
            "    hint: run the same command again once the cause is gone; finished downloads are kept"
        )


def install(venv: Path, locks: list[Path]) -> None:
    """Make the environment anew: an old one may hold packages that no lock names any more, or be half installed."""
    lines = [line for lock in locks for line in lock.read_text().splitlines()]
    total = len({line for line in lines if line[:1].isalpha()})
    print(f"Installing {total} Python packages into {venv} (once, under a minute)", file=sys.stderr)
    run([sys.executable, "-m", "venv", "--clear", str(venv)])
    fill(venv, locks, total=total)


def add(venv: Path, locks: list[Path]) -> None:
    """Not compiled: that takes minutes for tens of thousands of modules of which a run imports a few."""
    print(f"Adding the clouds' packages to {venv} (once, 50 MB to fetch, 400 MB unpacked)", file=sys.stderr)
    fill(venv, locks, "--no-compile")


def fill(venv: Path, locks: list[Path], *options: str, total: int = 0) -> None:
    """The locks are complete, so nothing is resolved: older versions of pip fail over a pinned package that another
    one wants with an extra. `pip check` says whether the locks fit together."""
    pip = [str(venv / "bin" / "python"), "-m", "pip"]
    quiet = ["--no-input", "--disable-pip-version-check"]
    files = [word for lock in locks for word in ("--requirement", str(lock))]
    run([*pip, "install", "--require-hashes", "--no-deps", *options, *quiet, "--progress-bar=off", *files], total)
    run([*pip, "check", *quiet])


def works(venv: Path) -> bool:
    """Whether the environment's interpreter still starts and finds its packages: a system upgrade may have moved it."""
    python = venv / "bin" / "python"
    probe = [str(python), "-m", "pip", "--version"]
    return python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def main(stamp: Path, *locks: Path, onto: bool) -> None:
    """Install unless the stamp already names these very locks; then only renew the stamp's time."""
    if faults := find_faults():
        sys.exit("\n".join(f"error: {fault}" for fault in faults))
    os.chdir(Path(__file__).parents[1])
    venv = stamp.parent
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    with hold(venv.with_suffix(".lock")):
        if not (stamp.is_file() and stamp.read_text() == digest and works(venv)):
            (add if onto else install)(venv, list(locks))
        stamp.write_text(digest)


if __name__ == "__main__":
    try:
        main(*(Path(word) for word in sys.argv[1:] if word != "--onto"), onto="--onto" in sys.argv)
    except KeyboardInterrupt:
        sys.exit("interrupted; the next `make` starts the installation anew")
