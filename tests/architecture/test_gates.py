"""The gates of tests/conftest.py, tried on small suites: what is not run is named, and no skip stays green."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.checkout import ROOT

ENGINE = "import pytest\n@pytest.mark.engine\ndef test_engine(): pass\ndef test_other(): pass\n"
SKIP = "import pytest\ndef test_skip(): pytest.skip('not today')\ndef test_other(): pass\n"
LEAK = "import os\ndef test_leak(): assert not os.environ.keys() & {'KUBECONFIG', 'PULUMI_ACCESS_TOKEN'}\n"
HOME = "import os\ndef test_home(): assert os.listdir(os.environ['HOME']) == []\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A checkout that holds the project's test configuration and no test yet."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    return tmp_path


def run_suite(suite: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the one test file, with nothing but `bin` of the suite on PATH."""
    (suite / "tests" / "test_suite.py").write_text(test)
    variables = {**os.environ, "PATH": str(suite / "bin"), **environment}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=suite,
        env=variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_the_cli_an_engine_test_is_named_and_not_passed(suite: Path) -> None:
    result = run_suite(suite, ENGINE)
    assert result.returncode == 0
    assert "not run (engine): 1 – put the Pulumi CLI and its plug-ins on PATH" in result.stdout
    assert "tests/test_suite.py::test_engine" in result.stdout
    assert "1 passed, 1 deselected" in result.stdout


def test_with_the_cli_an_engine_test_runs(suite: Path) -> None:
    (suite / "bin" / "pulumi").touch(mode=0o755)
    result = run_suite(suite, ENGINE)
    assert "2 passed" in result.stdout
    assert "not run" not in result.stdout


def test_a_skip_fails_the_run_and_is_named(suite: Path) -> None:
    result = run_suite(suite, SKIP)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "skipped, so the run fails" in result.stdout
    assert "tests/test_suite.py::test_skip" in result.stdout


def test_the_shell_of_the_user_does_not_reach_a_test(suite: Path) -> None:
    assert run_suite(suite, LEAK, KUBECONFIG="mine", PULUMI_ACCESS_TOKEN="mine").returncode == 0  # noqa: S106


def test_a_unit_test_has_an_empty_home(suite: Path) -> None:
    assert run_suite(suite, HOME).returncode == 0
