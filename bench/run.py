"""`make bench`: the figures that the project promises, each beside a plain command of the same run.

Absolute times say little on a shared machine, so each row also gives the ratio to starting Python with the Pulumi SDK,
measured before and after. `ARGS=--sandbox` adds the sandbox (some minutes), `ARGS=--cold` a build with empty caches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: seconds (median), or MiB where `unit` says so; `limit` is the promise."""

    name: str
    value: float
    limit: float
    unit: str = "s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run")
    parser.add_argument("--sandbox", action="store_true", help="measure `make up` with a warm cache, and memory")
    parser.add_argument("--cold", action="store_true", help="measure `make up` with empty caches, in a new HOME")
    options = parser.parse_args()
    baseline = _median(_python("import pulumi"))
    rows = [*_program_rows(), *(_sandbox_rows() if options.sandbox else ()), *(_cold_rows() if options.cold else ())]
    baseline = statistics.mean([baseline, _median(_python("import pulumi"))])
    print(f"baseline, `python -c 'import pulumi'`: {baseline:.2f} s\n")
    print(f"{'figure':52} {'measured':>10} {'promise':>9} {'ratio to baseline':>18}")
    for row in rows:
        ratio = f"{row.value / baseline:.2f}" if row.unit == "s" else "-"
        print(f"{row.name:52} {row.value:>8.2f} {row.unit:<3}{row.limit:>7g} {row.unit:<3}{ratio:>16}")


def _program_rows() -> Iterator[Row]:
    start = _median(_python("pass"))
    imports = "import fleet.config, fleet.model, fleet.manifests.trees, fleet.ownership, pulumi"
    yield Row(
        name="import of the program, without provider packages", value=_median(_python(imports)) - start, limit=0.3
    )
    yield Row(name="rendering 100 clusters x 50 tenants", value=_render(), limit=2)
    yield Row(name="make unit", value=_time(lambda: _run(["make", "-s", "unit"])), limit=20)


def _render() -> float:
    """All three trees of a fleet with 100 clusters and 50 tenants, from its YAML text."""
    fleet = yaml.safe_load((ROOT / "fleet.yaml").read_text())
    for section, size, entry in (
        ("clusters", 100, {"environment": "staging"}),
        ("tenants", 50, {"team": "web", "catalog": "frontend", "dependsOn": ["monitoring"]}),
    ):
        fleet[section] |= {f"{section[0]}{n}": entry for n in range(size - len(fleet[section]))}
    script = (
        "import sys; from pathlib import Path; from fleet.config import load_fleet\n"
        "from fleet.manifests.trees import trees\n"
        "fleet = load_fleet(Path(sys.argv[1])); assert len(fleet.clusters) == 100 and len(fleet.tenants) == 50\n"
        "trees(fleet)"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.yaml"
        path.write_text(yaml.safe_dump(fleet, sort_keys=False))
        return _median([sys.executable, "-c", script, str(path)])


def _sandbox_rows() -> Iterator[Row]:
    """`make up` in a copy of the checkout, so that a sandbox that runs is left alone."""
    with _Checkout() as place:
        up = ["make", "-s", "up"]
        try:
            _run(["make", "-s", ".venv/.installed"], cwd=place)
            yield Row(name="make up, warm cache: whole fleet ready", value=_time(lambda: _run(up, cwd=place)), limit=45)
            again = [_time(lambda: _run(up, cwd=place)) for _ in range(3)]
            yield Row(name="make up again, nothing changed", value=statistics.median(again), limit=6)
            yield Row(name="memory of all parts, sum of their peaks", value=_memory(place), limit=2048, unit="MiB")
        finally:
            _run(["make", "-s", "down"], cwd=place)


def _cold_rows() -> Iterator[Row]:
    with _Checkout() as place, tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"]}
        try:
            yield Row(
                name="make up, empty caches, with downloads",
                value=_time(lambda: _run(["make", "-s", "up"], cwd=place, env=environment)),
                limit=720,
            )
        finally:
            _run(["make", "-s", "down"], cwd=place, env=environment)
            subprocess.run(["chmod", "-R", "u+w", home], check=False)  # Go's module cache is read-only


class _Checkout:
    """A clone of this checkout in a folder of its own, removed afterwards."""

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        place = Path(self._folder.name) / "fleet"
        _run(["git", "clone", "--quiet", str(ROOT), str(place)])
        return place

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _memory(place: Path) -> float:
    """MiB, the sum over all processes of the sandbox below `place` of the most that each ever held: an upper bound."""
    import psutil

    from sandbox.cluster.home import MARKER

    home = str(place / ".sandbox")
    total = 0.0
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == home:
                total += _peak(process.pid) or process.memory_info().rss / 2**20
        except psutil.Error:
            continue
    return total


def _peak(pid: int) -> float:
    """MiB of a process at its highest, 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _median(command: list[str], runs: int = 5) -> float:
    _run(command)
    return statistics.median(_time(lambda: _run(command)) for _ in range(runs))


def _time(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _run(command: list[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Runs a command, without the arguments of a `make` that we may have been called from."""
    given = os.environ if env is None else env
    clean = {key: value for key, value in given.items() if not key.startswith(("MAKE", "MFLAGS", "ARGS"))}
    subprocess.run(command, cwd=cwd, env=clean, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
