"""What holds for every test: no leftover of the user's shell reaches it, and none is left out in silence.

pytest loads it by itself. Left out on purpose: fixtures of one folder; they stand in its own conftest.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from sandbox.build import Parts

FOREIGN: Final = (
    "ARM_",
    "AWS_",
    "AZURE_",
    "FLUX_",
    "GH_",
    "GIT_",
    "GITHUB_",
    "GOOGLE_",
    "HELM_",
    "KUBE",
    "PULUMI_",
)
"""Variables that change what the program, a provider or a client does; a shell or CI may set them."""

NOT_RUN: Final = pytest.StashKey[dict[str, list[str]]]()
"""Names of the tests that a machine cannot run, by marker."""
NEEDED: Final = {
    "engine": "put the Pulumi CLI and its plug-ins on PATH",
    "docker": "start Docker; `docker ps` must work without sudo",
}
"""What to do for each of these markers where its tests are not run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files instead of comparing")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Take foreign variables away, before any other fixture of the session reads or inherits them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith(FOREIGN):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Empty folders; `mktemp` would list all that are there for each new one."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_home(request: pytest.FixtureRequest, _homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a unit test an empty home: a kubeconfig or Pulumi login there must not matter.

    Sandbox and engine tests keep the real one, where Go and Pulumi have their caches.
    """
    if not any(request.node.get_closest_marker(name) for name in ("sandbox", "engine")):
        home = next(_homes)
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what this machine cannot run; the summary names it."""
    for marker in NEEDED:
        found = [item for item in items if item.get_closest_marker(marker)]
        if found and not _can_run(marker):
            config.stash.setdefault(NOT_RUN, {})[marker] = [item.nodeid for item in found]
            config.hook.pytest_deselected(items=found)
            items[:] = [item for item in items if item not in found]


def _can_run(marker: str) -> bool:
    if marker == "engine":
        return shutil.which("pulumi") is not None
    docker = shutil.which("docker")
    return docker is not None and not subprocess.run([docker, "ps"], capture_output=True, check=False).returncode


def find_skips(config: pytest.Config) -> list[str]:
    """What was skipped: the project has no test that may be, so each is a hole in what a green run says."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [report.nodeid for report in reporter.stats.get("skipped", ())] if reporter else []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that would be green in spite of a skip."""
    if exitstatus == pytest.ExitCode.OK and find_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which tests were not run, and why a run without a failure may still be red."""
    if not_run := config.stash.get(NOT_RUN, {}):
        terminalreporter.section("not run")
    for marker, names in not_run.items():
        terminalreporter.write_line(f"not run ({marker}): {len(names)} – {NEEDED[marker]}")
        for name in names:
            terminalreporter.write_line(f"  {name}")
    if skips := find_skips(config):
        terminalreporter.section("skipped, so the run fails", red=True)
        terminalreporter.write_line(
            "mark a test `engine` if it needs the Pulumi CLI, `docker` if it needs Docker; nothing else may be skipped"
        )
        for name in skips:
            terminalreporter.write_line(f"  {name}")


@pytest.fixture(scope="session")
def parts() -> Parts:
    """What the sandbox runs, from the cache that `make up` uses too; built first where it is missing: some minutes."""
    from sandbox.build import build
    from sandbox.up import default_cache

    return build(default_cache())
