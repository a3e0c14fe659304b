"""GitHub's description of its REST API, as githubkit was generated from it: what may be asked, and answered.

An operation is read off the method of githubkit that calls it: method, path, and the models of its body, its answer
and its errors. Nothing is written down here, so the double cannot have a route that GitHub lacks. Left to the double:
which status an operation answers with when it succeeds, which githubkit does not keep.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from githubkit import GitHub
from githubkit_schemas.latest import models
from pydantic import BaseModel, TypeAdapter, ValidationError

ANY_OPERATION: Final = frozenset({401, 403, 404, 429, 500, 502, 503})
"""Statuses that any operation may answer with, described or not."""
UNKNOWN: Final = "is unknown to GitHub"
WITH_SLASHES: Final = frozenset({"path", "ref"})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation; a model is None where there is no body."""

    id: str
    method: str
    path: re.Pattern[str]
    request: Any
    response: Any
    errors: Mapping[int, Any]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Parameters of the path, when it is one of this operation."""
        found = self.path.fullmatch(path) if method == self.method else None
        return found and {name: unquote(value) for name, value in found.groupdict().items()}

    def request_faults(self, body: bytes, *, tolerant: bool = False) -> list[str]:
        """`tolerant` of fields that the operation does not know, and of no body at all, as GitHub itself is."""
        if tolerant and not body:
            return []
        faults = _faults(f"request of {self.id}", self.request, body)
        return [fault for fault in faults if not (tolerant and fault.endswith(UNKNOWN))]

    def response_faults(self, status: int, body: bytes, *, tolerant: bool = False) -> list[str]:
        """`tolerant` of fields that only older versions of the API have."""
        return [fault for fault in self._response(status, body) if not (tolerant and fault.endswith(UNKNOWN))]

    def _response(self, status: int, body: bytes) -> list[str]:
        place = f"answer {status} of {self.id}"
        if status < 400:
            return list(_faults(place, None if status in (204, 303) else self.response, body))
        if status not in self.errors and status not in ANY_OPERATION:
            return [f"{place}: GitHub does not answer so; it knows {sorted(self.errors)}"]
        return list(_faults(place, self.errors.get(status, models.BasicError), body))


@cache
def describe(operation: str) -> Operation:
    """The operation of an id such as `git/create-tree`."""
    category, name = operation.replace("-", "_").split("/")
    client = GitHub()
    method = getattr(getattr(client.rest, category), name)
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    verb, template = (inspect.getdoc(method) or "").split("\n\n")[1].split(" ")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (sent,) = [call for call in calls if ast.unparse(call.func) == "self._github.request"]
    keywords = {keyword.arg: keyword.value for keyword in sent.keywords}
    bodies = [call.args[0] for call in calls if ast.unparse(call.func) == "type_validate_python"]
    errors = keywords.get("error_models")
    assert errors is None or isinstance(errors, ast.Dict)
    described = zip(errors.keys, errors.values, strict=True) if errors else ()
    return Operation(
        id=operation,
        method=verb,
        path=re.compile(re.sub(r"{(\w+)}", _parameter, template)),
        request=_model(bodies[0]) if bodies else None,
        response=_model(keywords["response_model"]) if "response_model" in keywords else None,
        errors={int(ast.literal_eval(key)): _model(value) for key, value in described if key},
    )


def example(model: type[BaseModel], **given: Any) -> dict[str, Any]:
    """An object of a model: what is given, and for every other required field a plain value of its type."""
    filled = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in given:
            filled[key] = given.pop(key)
        elif field.is_required():
            filled[key] = _plain(field.annotation)
    assert not given, f"{model.__name__} has no {sorted(given)}"
    return filled


def _parameter(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{'.+' if found[1] in WITH_SLASHES else '[^/]+'})"


def _model(node: ast.expr) -> Any:
    """Evaluates an expression over models, such as `list[Team]` or `Union[Body, None]`."""
    used = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    known = {**vars(typing), "list": list, "dict": dict, "str": str}
    scope = {name: known[name] if name in known else getattr(models, name) for name in used}
    return eval(compile(ast.Expression(node), "githubkit", "eval"), scope)  # noqa: S307 code of an installed package


def _faults(place: str, model: Any, body: bytes) -> Iterator[str]:
    if model is None:
        if body:
            yield f"{place}: has a body, GitHub describes none"
        return
    adapter = _adapter(model)
    try:
        read = adapter.validate_json(body, strict=True)
    except ValidationError as error:
        yield from (f"{place}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        return
    written = adapter.dump_python(read, by_alias=True, warnings=False)
    yield from (f"{place}: `{key}` {UNKNOWN}" for key in _unknown(json.loads(body), written))


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _unknown(given: Any, known: Any, path: str = "") -> Iterator[str]:
    """Keys that the model did not take."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                yield f"{path}{key}"
            else:
                yield from _unknown(value, known[key], f"{path}{key}.")
    elif isinstance(given, list) and isinstance(known, list):
        for one, other in zip(given, known, strict=True):
            yield from _unknown(one, other, path)


def _plain(annotation: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _plain(arguments[0])
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return None if types.NoneType in arguments else _plain(arguments[0])
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return example(annotation)
    plain = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}, Any: {}}
    return plain.get(origin or annotation, "2026-01-01T00:00:00Z")
