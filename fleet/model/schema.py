"""The JSON schema of fleet.yaml, with which an editor completes, explains and checks the file while it is written.

Made of the model and committed as `fleet/fleet.schema.json`; a test fails when that is stale, and rewrites it with
`--update-golden`. An editor sees one file and no catalog, so the schema never refuses what the program accepts: keys
that a catalog entry may give are not required, and faults of sense are the program's (`fleet.model.checks`).
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from fleet.model.catalog import SECTIONS, Entries, fitting
from fleet.model.fleet import Fleet


def schema_text(catalog: Entries) -> str:
    """The file's text; `catalog` gives the words that `catalog:` may have."""
    schema = Fleet.model_json_schema(schema_generator=_Generator)
    return json.dumps(_for_editors(schema, catalog), indent=2) + "\n"


class _Generator(GenerateJsonSchema):
    """Without titles, which only repeat the keys, and with the names of entries enforced."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        described = super().dict_schema(schema)
        return described | {"additionalProperties": False} if "patternProperties" in described else described


def _for_editors(schema: dict[str, Any], catalog: Entries) -> dict[str, Any]:
    parts = schema["$defs"]
    for part in ("Release", "Config"):
        del parts[part]["required"]
    for section, model in SECTIONS.items():
        parts[model.__name__]["properties"]["catalog"]["enum"] = [*sorted(fitting(section, catalog)), None]
    components = schema["properties"]["components"]["patternProperties"]
    for pattern, component in components.items():
        components[pattern] = {"anyOf": [component, {"type": "null"}]}
    flux = parts["Cluster"]["properties"]["flux"]
    parts["Cluster"]["properties"]["flux"] = {"$ref": "#/$defs/Flux", "description": flux["description"]}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fleet.yaml"}
    return head | {key: value for key, value in schema.items() if key != "title"}
