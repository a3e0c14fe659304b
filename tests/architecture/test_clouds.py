"""The modules of the clouds fit the typed inputs of the clouds' packages, which `make check` leaves unread.

Each package takes a minute and 3 GB to read, one after the other; later runs find it in mypy's cache.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from fleet.resources.clusters.extras import PACKAGES
from tests.architecture.checkout import ROOT

CLUSTERS: Final = ROOT / "fleet/resources/clusters"
SLIPS: Final = {
    "eks": ('"endpoint_public_access"', '"public_access"', 'Extra key "public_access" for TypedDict'),
    "gke": ('"enable_private_nodes"', '"private_nodes"', 'No overload variant of "Cluster"'),
    "aks": ('"enable_private_cluster"', '"private_cluster"', 'No overload variant of "ManagedCluster"'),
}
"""What each module says, a slip in that, and how it is told; by kind."""

pytestmark = pytest.mark.clouds


def find_errors(*files: Path) -> list[str]:
    """Those of mypy, strict. Packages are followed, unlike in pyproject.toml, so its settings are not read."""
    bases = ["--explicit-package-bases", "--namespace-packages", "--follow-imports=silent", "--python-version=3.11"]
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", *bases, "--cache-dir=.mypy_cache/clouds"]
    result = subprocess.run([*command, *files], cwd=ROOT, check=False, capture_output=True, text=True)
    assert not result.stderr
    return [line for line in result.stdout.splitlines() if ": error: " in line]


def test_every_cloud_has_a_row() -> None:
    assert SLIPS.keys() == PACKAGES.keys()


@pytest.mark.parametrize("kind", SLIPS)
def test_a_module_fits_its_package_and_a_slip_does_not(kind: str, tmp_path: Path) -> None:
    """In one run, which reads the package once. Errors from mypy's cache name the folder of the run that found them."""
    module, slipped = CLUSTERS / f"{kind}.py", tmp_path / "slipped.py"
    right, wrong, told = SLIPS[kind]
    assert right in module.read_text()
    slipped.write_text(module.read_text().replace(right, wrong))
    errors = find_errors(module, slipped)
    assert [error for error in errors if f"/{slipped.name}:" not in error] == []
    assert any(told in error for error in errors)
