"""The JSON schema of fleet.yaml: what an editor completes, explains and marks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import pytest
import yaml

from fleet import config
from fleet.model.schema import schema_text
from tests.rendering import ROOT

SCHEMA: Final[dict[str, Any]] = json.loads(schema_text(config.catalog()))
CASES: Final = ROOT / "tests/config"
FLEETS: Final = [file for file in sorted(CASES.rglob("*.yaml")) if not file.stem.startswith("stack-")]
NO_YAML: Final = {"not-yaml", "unquoted-braces", "duplicate-key"}
"""An editor marks these without any schema."""
SENSE: Final = {
    *("alerts-without-controller", "alerts-without-controller-in-the-git-design", "chart-in-the-oci-design"),
    *("component-empty", "github-of-the-oci-design", "object-in-an-unknown-environment", "object-incomplete"),
    *("object-named-like-a-release", "policies-same-name", "repositories-case", "repository-name-git"),
    *("repository-name-too-long",),
    *("config-is-no-object", "delivery-nowhere", "dependency-cycle", "dependency-not-delivered"),
    *("dependency-unknown", "environment-base", "environment-unknown"),
    *("environment-without-clusters", "environment-without-overlay", "flux-sharding-without-storage"),
    *("decryption-as-flux-itself", "github-and-bot", "registry-provider"),
    *("flux-registry-provider-in-the-git-design", "flux-too-old", "flux-workload-identity", "names-of-kustomize"),
    *("names-that-are-not-text", "names-too-long", "namespace-claimed-twice", "namespace-of-image-automation"),
    *("namespace-reserved", "repositories-one-namespace", "repositories-same-name", "repository-of-the-platform"),
    *("mirror-incomplete", "mirror-of-the-docker-hub"),
    *("source-of-delivery", "team-of-the-bot", "team-unknown", "teams-without-platform", "variables-computed"),
}
"""Cases of tests/config/invalid that take more than one place of the file, or the program, to see."""


def test_the_committed_schema_is_that_of_the_model(update_golden: bool) -> None:
    file = ROOT / "fleet/fleet.schema.json"
    if update_golden:
        file.write_text(schema_text(config.catalog()))
    assert file.read_text() == schema_text(config.catalog())


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "file",
    [ROOT / "fleet.yaml", *(f for f in FLEETS if f.parent.name == "valid")],
    ids=lambda file: file.stem,
)
def test_an_editor_accepts_what_the_program_accepts(file: Any) -> None:
    jsonschema.validate(yaml.safe_load(file.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "file",
    [f for f in FLEETS if f.parent.name == "invalid" and f.stem not in NO_YAML],
    ids=lambda file: file.stem,
)
def test_an_editor_marks_faults_of_form(file: Any) -> None:
    valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(file.read_text()))
    assert valid is (file.stem in SENSE)


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every property below a schema, by the path of its keys; `*` for the names that a user chooses."""
    if "$ref" in schema:
        yield from properties(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    for branch in schema.get("anyOf", ()):
        yield from properties(branch, path)
    for key, entry in schema.get("properties", {}).items():
        yield f"{path}.{key}", entry
        yield from properties(entry, f"{path}.{key}")
    items = [schema["items"]] if "items" in schema else []
    for entry in (*schema.get("patternProperties", {}).values(), *items):
        yield from properties(entry, f"{path}.*")


def test_every_key_is_explained() -> None:
    """By itself, or where its section is defined."""
    assert not [path for path, entry in properties(SCHEMA) if not resolved(entry).get("description")]


def resolved(entry: Any) -> Any:
    return SCHEMA["$defs"][entry["$ref"].rpartition("/")[2]] | entry if "$ref" in entry else entry


def test_the_complete_fleet_has_every_key() -> None:
    """So that accepting it says something about each of them. A mirror asks for other versions of Flux."""
    fleets = [yaml.safe_load((CASES / f"valid/{case}.yaml").read_text()) for case in ("complete", "mirror")]
    known = {path for path, _ in properties(SCHEMA)}
    given = {path for fleet in fleets for path in keys_of(fleet, known)}
    assert {path for path in known if not path.startswith(".clusters.*.flux.")} <= given


def keys_of(value: Any, known: set[str], path: str = "") -> Iterator[str]:
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        below = f"{path}.{key}"
        yield from keys_of(entry, known, below if below in known else f"{path}.*")


@pytest.mark.parametrize("flux", [{"size": "huge"}, {"network_policy": True}])
def test_an_editor_knows_the_keys_of_a_clusters_own_flux_section(flux: dict[str, Any]) -> None:
    fleet = yaml.safe_load((CASES / "valid/minimal.yaml").read_text())
    fleet["clusters"]["staging"]["flux"] = flux
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(fleet)


@pytest.mark.parametrize(
    ("entry", "section", "valid"),
    [
        (None, "components", True),
        ({"releases": {"monitoring": {"version": "1.2.3"}}}, "components", True),
        ({"catalog": "monitoring"}, "components", True),
        ({"catalog": "monitorin"}, "components", False),
        ({"team": "web"}, "tenants", True),
        ({"team": "web", "catalog": "monitoring"}, "tenants", False),
        ({}, "tenants", False),
        (None, "tenants", False),
    ],
)
def test_what_the_catalog_may_give_is_not_required(entry: Any, section: str, valid: bool) -> None:
    fleet = yaml.safe_load((CASES / "valid/minimal.yaml").read_text()) | {section: {"one": entry}}
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(fleet) is valid
