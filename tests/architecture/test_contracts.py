"""The import contracts of pyproject.toml hold, and each of them sees the fault it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.checkout import ROOT

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder, check=False, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what the contracts speak of."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("fleet", "sandbox"):
        ignore = shutil.ignore_patterns("__pycache__", "node_modules", "*.go")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    return tmp_path


def test_contracts_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "planted", "told"),
    [
        ("fleet/model/planted.py", "import fleet.manifests", "fleet.model.planted -> fleet.manifests"),
        ("fleet/planted.py", "", "not listed as layers"),
        ("fleet/manifests/planted.py", "import pulumi", "fleet.manifests.planted -> pulumi"),
        ("fleet/cli/planted.py", "import pulumi_github", "fleet.cli.planted -> pulumi_github"),
        ("fleet/resources/planted.py", "import pulumi_aws", "fleet.resources.planted -> pulumi_aws"),
        ("fleet/resources/clusters/gke.py", "import pulumi_aws", "fleet.resources.clusters.gke -> pulumi_aws"),
        ("fleet/resources/clusters/eks.py", "import pulumi_azure_native", "eks -> pulumi_azure_native"),
        ("fleet/resources/clusters/aks.py", "import pulumi_gcp", "fleet.resources.clusters.aks -> pulumi_gcp"),
        ("fleet/resources/planted.py", "import sandbox", "fleet.resources.planted -> sandbox"),
        ("sandbox/planted.py", "import fleet.outputs", "sandbox.planted -> fleet.outputs"),
    ],
)
def test_a_planted_fault_is_told(sources: Path, module: str, planted: str, told: str) -> None:
    (sources / module).write_text(planted + "\n")
    result = lint(sources)
    assert result.returncode != 0
    assert told in result.stdout
