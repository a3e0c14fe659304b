"""pydantic's faults told in our shape: the path as it is in the file, what is wrong, what to write instead.

Called by `fleet.model.parsing` and `fleet.model.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from fleet.errors import Problem, did_you_mean
from fleet.model.base import Model

TAGS = frozenset({"kind", "existing"})
"""Union tags that pydantic puts into an error's location and that no file contains."""


def problems_of(error: ValidationError, model: type[Model], source: str) -> Iterator[Problem]:
    """pydantic's faults in our shape: path as written in the file, what is wrong, what to write instead."""
    for fault in error.errors():
        path = ".".join([source, *(str(step) for step in fault["loc"] if step not in TAGS and step != "[key]")])
        match fault["type"]:
            case "extra_forbidden":
                key = str(fault["loc"][-1])
                yield Problem(path, f"unknown key `{key}`", did_you_mean(key, _keys_at(model, fault["loc"][:-1])))
            case "missing":
                yield Problem(path, "required, but not given", _description_at(model, fault["loc"]))
            case "value_error":
                yield Problem(path, str(fault["ctx"]["error"]))
            case _:
                yield Problem(path, f"{fault['msg']}, got `{_short(fault['input'])}`", _description_at(model, fault["loc"]))


def _short(value: object, limit: int = 60) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _schema_at(model: type[Model], location: tuple[int | str, ...]) -> Mapping[str, Any]:
    """The JSON schema of the place that `location` names, empty where there is none."""
    root = model.model_json_schema()
    here: Mapping[str, Any] = root
    for step in location:
        here = _resolved(root, here)
        if "discriminator" in here and step in here["discriminator"]["mapping"]:
            here = {"$ref": here["discriminator"]["mapping"][step]}
        elif step in here.get("properties", {}):
            here = here["properties"][step]
        else:
            other = here.get("items") if isinstance(step, int) else None
            here = other or here.get("additionalProperties") or next(iter(here.get("patternProperties", {}).values()), {})
        if not isinstance(here, Mapping):
            return {}
    return _resolved(root, here) | {"description": here.get("description", "")}


def _resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Follows `$ref`, and the branch of an optional value that is not null."""
    for branch in schema.get("anyOf", ()):
        if branch.get("type") != "null":
            return _resolved(root, branch)
    reference = schema.get("$ref")
    return dict(root["$defs"][reference.rpartition("/")[2]] if reference else schema)


def _keys_at(model: type[Model], location: tuple[int | str, ...]) -> list[str]:
    return list(_schema_at(model, location).get("properties", {}))


def _description_at(model: type[Model], location: tuple[int | str, ...]) -> str:
    text = str(_schema_at(model, location).get("description", ""))
    return text if "\n" not in text else text.splitlines()[0]
