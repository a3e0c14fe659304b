"""What importing the program loads: each third-party package in the list is a cost that every command pays.

Provider packages take up to half a second each, so they are imported by the function that needs them.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.checkout import ROOT

YAML = {"cython_runtime", "yaml"}
PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
PURE = {"fleet", *PYDANTIC, *YAML}
CLOUDS = {"pulumi_aws", "pulumi_azure_native", "pulumi_gcp"}
PROVIDERS = {"pulumi_command", "pulumi_github", "pulumi_kubernetes", *CLOUDS}
HEAVY_IN_SANDBOX = {*PROVIDERS, "cryptography", "grpc", "httpx2", "lightkube", "pulumi"}

REPORT = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
for name in {names!r}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(loaded - sys.stdlib_module_names)))
"""


def loaded_by(*names: str) -> set[str]:
    """The packages outside the standard library that a fresh interpreter has loaded after importing `names` whole."""
    code = REPORT.format(names=names)
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    # A compiled extension registers helpers like `_cython_3_0_11` or `_yaml` beside its package.
    return {name for name in json.loads(result.stdout) if not name.startswith("_")}


@pytest.mark.parametrize("layer", ["fleet.errors", "fleet.names", "fleet.ownership"])
def test_the_lowest_layers_load_nothing(layer: str) -> None:
    assert loaded_by(layer) <= {"fleet"}


def test_model_and_manifests_load_only_what_reads_and_checks_text() -> None:
    assert loaded_by("fleet.model", "fleet.manifests") <= PURE


def test_the_whole_program_loads_no_provider() -> None:
    assert not loaded_by("fleet.config", "fleet.resources", "fleet.outputs") & PROVIDERS


def test_the_sandbox_command_starts_without_heavy_packages() -> None:
    assert not loaded_by("sandbox.__main__") & HEAVY_IN_SANDBOX
