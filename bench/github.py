"""`python -m bench.github`: how long the repositories take with the real engine, on the double of GitHub.

Needs the Pulumi CLI and its plug-ins on PATH. Latency is what each call to the double takes longer; a real GitHub takes
about 100 ms. Figures hang on the machine, so they are printed and not judged; the numbers of calls are exact.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.github_double import serve
from tests.github_stack import fleet_file, git_file
from tests.sandbox.github_project import Project

LATENCIES = (0.0, 0.1)
"""Seconds."""
RUNS = {"first": (), "again": (), "again, without refresh": ("--refresh=false",)}


def main() -> None:
    print(f"{'design':8} {'latency':>8} {'run':24} {'calls':>6} {'writes':>7} {'seconds':>8}")
    for design, file in (("oci", fleet_file()), ("git", git_file())):
        for latency in LATENCIES:
            _measure(design, file, latency)


def _measure(design: str, file: dict[str, object], latency: float) -> None:
    with serve() as github, tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "project", github, file)
        project.configure()
        github.latency = latency
        for run, options in RUNS.items():
            start = time.perf_counter()
            project.up(*options)
            took = time.perf_counter() - start
            writes = sum(call.method != "GET" and not call.path.endswith("graphql") for call in project.made)
            print(f"{design:8} {latency * 1000:5.0f} ms {run:24} {len(project.made):6} {writes:7} {took:8.1f}")


if __name__ == "__main__":
    main()
