"""Plain data in, a checked model out; all faults at once.

Called by `fleet.config`. Faults of form come from pydantic, faults of sense from `fleet.model.checks`. So that one
run shows both, entries with a fault of form are left out and the rest is checked for sense all the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError, create_model

from fleet.errors import ConfigError, Problem
from fleet.model.base import Model
from fleet.model.checks import check_fleet
from fleet.model.faults import problems_of, steps_of
from fleet.model.fleet import Fleet
from fleet.model.stack import Stack, stack_file
from fleet.model.stack_checks import check_stack

M = TypeVar("M", bound=Model)


def parse_fleet(raw: Mapping[str, Any], source: str = "fleet.yaml") -> Fleet:
    """The checked fleet, with what its design has a use for. Raises ConfigError with every fault; `source` leads each
    path."""
    fleet, problems = _parse(Fleet, raw, source)
    if fleet is not None:
        problems += check_fleet(fleet, raw, source)
    if problems or fleet is None:
        raise ConfigError(problems)
    return fleet.in_use()


def parse_stack(raw: Mapping[str, Any], fleet: Fleet | None, name: str) -> Stack:
    """The checked stack; without a fleet (it is faulty itself) only its form. Raises ConfigError with every fault."""
    source = stack_file(name)
    stack, problems = _parse(Stack, raw, source)
    if stack is not None and fleet is not None and stack.environment:
        problems += check_stack(stack, raw, fleet, name)
    if problems or stack is None:
        raise ConfigError(problems)
    return stack


def _parse(model: type[M], raw: Mapping[str, Any], source: str) -> tuple[M | None, list[Problem]]:
    """The model and its faults of form; with faults, the model of what is left without the faulty entries."""
    try:
        return model.model_validate(raw, by_name=False), []
    except ValidationError as error:
        rest = copy.deepcopy(dict(raw))
        for fault in error.errors():
            _drop_entry(rest, steps_of(fault["loc"], model))
        return _parse_rest(model, rest), list(problems_of(error, model, source))


def _parse_rest(model: type[M], rest: Mapping[str, Any]) -> M | None:
    """The model of `rest`, with `{}` for what is required and missing; checks see sections without entries."""
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    lenient: Any = {name: (field.rebuild_annotation(), {}) for name, field in required.items()}
    try:
        return create_model(model.__name__, __base__=model, **lenient).model_validate(rest, by_name=False)
    except ValidationError:
        return None


def _drop_entry(raw: dict[str, Any], location: list[int | str]) -> None:
    """Removes the named entry of a section (`tenants.frontend`), or the section or unknown key itself."""
    match location:
        case [str(section), str(entry), *_] if isinstance(raw.get(section), dict):
            raw[section].pop(entry, None)
            if not raw[section]:
                del raw[section]
        case [str(section), *_]:
            raw.pop(section, None)
