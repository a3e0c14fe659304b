"""pydantic's faults told in our shape: the path as it is in the file, what is wrong, what to write instead.

Called by `fleet.model.parsing` and `fleet.model.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any

from pydantic import ValidationError

from fleet.errors import Problem, did_you_mean
from fleet.model.base import Model

WANTED = {
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
}
"""What a YAML file should hold where pydantic misses a Python type."""


def problems_of(error: ValidationError, model: type[Model], source: str) -> Iterator[Problem]:
    """pydantic's faults in our shape: path as written in the file, what is wrong, what to write instead."""
    for fault in error.errors():
        steps, schema = _follow(fault["loc"], model)
        path = ".".join([source, *map(str, steps)])
        given, hint = fault["input"], str(schema.get("description", "")).partition("\n")[0]
        match fault["type"]:
            case "extra_forbidden":
                above = _follow(fault["loc"][:-1], model)[1]
                hint = did_you_mean(str(steps[-1]), above.get("properties", {}))
                yield Problem(path, f"unknown key `{steps[-1]}`", hint)
            case "missing":
                yield Problem(path, "required, but not given", hint)
            case "union_tag_not_found":
                known = schema["discriminator"]
                yield Problem(
                    f"{path}.{known['propertyName']}",
                    "required, but not given",
                    did_you_mean("", known["mapping"]),
                )
            case "union_tag_invalid":
                known = schema["discriminator"]
                tag = fault["ctx"]["tag"]
                message = f"there is no {known['propertyName']} `{tag}`"
                yield Problem(f"{path}.{known['propertyName']}", message, did_you_mean(tag, known["mapping"]))
            case "value_error":
                yield Problem(path, str(fault["ctx"]["error"]))
            case "string_type" if isinstance(given, int | float | date):
                yield Problem(path, f"text is expected, got `{_short(given)}`", "put it into quotes")
            case kind if kind in WANTED:
                yield Problem(path, f"{WANTED[kind]} is expected, got `{_short(given)}`", hint)
            case _:
                yield Problem(path, f"{fault['msg']}, got `{_short(given)}`", hint)


def steps_of(location: tuple[int | str, ...], model: type[Model]) -> list[int | str]:
    """Where a fault is in the file: pydantic's location without union tags and marks of keys."""
    return _follow(location, model)[0]


def _short(value: object, limit: int = 60) -> str:
    text = "nothing" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= limit else f"{text[:limit]}…"


def _follow(location: tuple[int | str, ...], model: type[Model]) -> tuple[list[int | str], Mapping[str, Any]]:
    """The steps of `location` that the file contains, and the JSON schema of that place, empty where there is none.

    Its description is that of the nearest key which has one.
    """
    root = here = _schema_of(model)
    steps: list[int | str] = []
    description = ""
    for step in location:
        if step == "[key]":
            continue
        schema = _resolved(root, here)
        if step in schema.get("discriminator", {}).get("mapping", {}):
            here = {"$ref": schema["discriminator"]["mapping"][step]}
            continue
        steps.append(step)
        here = _below(schema, step)
        description = here.get("description", description)
    return steps, _resolved(root, here) | {"description": description}


@cache
def _schema_of(model: type[Model]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _below(schema: Mapping[str, Any], step: int | str) -> Mapping[str, Any]:
    """The schema of a property, of an item, or of the entries of a map."""
    if step in schema.get("properties", {}):
        return schema["properties"][step]  # type: ignore[no-any-return]
    entries = [
        schema.get("items"),
        schema.get("additionalProperties"),
        *schema.get("patternProperties", {}).values(),
    ]
    return next((entry for entry in entries if entry and isinstance(entry, Mapping)), {})


def _resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Follows `$ref`, and the branch of an optional value that is not null."""
    for branch in schema.get("anyOf", ()):
        if branch.get("type") != "null":
            return _resolved(root, branch)
    reference = schema.get("$ref")
    return dict(root["$defs"][reference.rpartition("/")[2]] if reference else schema)
