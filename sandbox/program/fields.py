"""Pure functions on parts of Kubernetes objects: paths of `ignoreChanges`, what a manager owns, what differs.

Called by `apply`. Left out on purpose: wildcards and list indexes in paths, which no resource here uses.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fleet.errors import Problem, ToolError

FieldPath = tuple[str, ...]

_STEP = re.compile(r"""\.?(?P<word>[^.\[\]"]+)|\["(?P<quoted>[^"]+)"\]""")


def parse_path(text: str) -> FieldPath:
    """`metadata.labels["a.b/c"]` → its steps; raises `ToolError` for what the sandbox cannot ignore."""
    steps, position = [], 0
    for match in _STEP.finditer(text):
        if match.start() != position or "*" in match[0]:
            break
        steps.append(match["word"] or match["quoted"])
        position = match.end()
    if not steps or position != len(text):
        raise ToolError([Problem(text, "the sandbox cannot ignore this path", "name object fields only, as in `spec`")])
    return tuple(steps)


def look(value: Any, path: Sequence[str]) -> Any:
    """The part of `value` at `path`, or None."""
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def without(value: Mapping[str, Any], paths: Sequence[FieldPath]) -> dict[str, Any]:
    """A copy of `value` without what is at `paths`, nor objects that are empty then."""
    result = copy.deepcopy(dict(value))
    for path in paths:
        _drop(result, path)
    return result


def _drop(value: dict[str, Any], path: FieldPath) -> None:
    step, *rest = path
    if not rest:
        value.pop(step, None)
    elif isinstance(below := value.get(step), dict):
        _drop(below, tuple(rest))
        if not below:
            del value[step]


def contains(live: Any, wanted: Any) -> bool:
    """Whether every field of `wanted` is in `live` with that value; what only `live` has does not count."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(contains(live.get(key), item) for key, item in wanted.items())
    if isinstance(wanted, list):
        same_length = isinstance(live, list) and len(live) == len(wanted)
        return same_length and all(contains(a, b) for a, b in zip(live, wanted, strict=True))
    return bool(live == wanted)


def managers(live: Mapping[str, Any]) -> list[str]:
    """Who has written fields of `live`, without repetition."""
    return list(dict.fromkeys(entry["manager"] for entry in live["metadata"].get("managedFields", [])))


def applied_by(live: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
    """The record of what `manager` owns in `live` by server-side apply; empty if nothing."""
    for entry in live["metadata"].get("managedFields", []):
        if entry["manager"] == manager and entry["operation"] == "Apply" and not entry.get("subresource"):
            return dict(entry)
    return {}


def owned(live: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """The part of `live` that `manager` owns by server-side apply."""
    entry = applied_by(live, manager)
    return dict(_project(live, entry["fieldsV1"])) if entry else {}


def only(value: Mapping[str, Any], paths: Sequence[FieldPath]) -> dict[str, Any]:
    """The part of `value` that lies at `paths`."""
    result: dict[str, Any] = {}
    for path in paths:
        part: Any = look(value, path)
        if part is not None:
            for step in reversed(path[1:]):
                part = {step: part}
            result = merged(result, {path[0]: part})
    return result


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it, object by object."""
    result = dict(base)
    for key, item in over.items():
        below = result.get(key)
        deeper = isinstance(item, Mapping) and isinstance(below, Mapping)
        result[key] = merged(result[key], item) if deeper else item
    return result


def _project(live: Any, fields: Mapping[str, Any]) -> Any:
    """`live` cut down to a `fieldsV1` set: `f:` is a field, `k:` a list item by its keys, `v:` a value of a set."""
    steps = {step: below for step, below in fields.items() if step != "."}
    if not steps:
        return type(live)() if "." in fields and isinstance(live, dict | list) else live
    if isinstance(live, Mapping):
        named = {step[2:]: below for step, below in steps.items()}
        return {name: _project(live[name], below) for name, below in named.items() if name in live}
    result = []
    for step, below in steps.items():
        form, _, text = step.partition(":")
        wanted = json.loads(text)
        if form == "v":
            result.append(wanted)
        result += [wanted | _project(item, below) for item in live if form == "k" and contains(item, wanted)]
    return result
