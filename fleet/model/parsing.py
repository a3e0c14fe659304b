"""Plain data in, a checked model out; all faults at once.

Called by `fleet.config`. Faults of form come from pydantic, faults of sense from `fleet.model.checks`. So that one
run shows both, entries with a fault of form are left out and the rest is checked for sense all the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from fleet.errors import ConfigError, Problem
from fleet.model.base import Model
from fleet.model.checks import check_fleet, check_stack
from fleet.model.faults import TAGS, problems_of
from fleet.model.fleet import Fleet
from fleet.model.stack import Stack

M = TypeVar("M", bound=Model)

def parse_fleet(raw: Mapping[str, Any], source: str = "fleet.yaml") -> Fleet:
    """The checked fleet. Raises ConfigError with every fault; `source` leads each path."""
    fleet, problems = _parse(Fleet, raw, source)
    if fleet is not None:
        problems += check_fleet(fleet, raw, source)
    if problems or fleet is None:
        raise ConfigError(problems)
    return fleet


def parse_stack(raw: Mapping[str, Any], fleet: Fleet | None, source: str) -> Stack:
    """The checked stack; without a fleet (it is faulty itself) only its form. Raises ConfigError with every fault."""
    stack, problems = _parse(Stack, raw, source)
    if stack is not None and fleet is not None:
        problems += check_stack(stack, raw, fleet, source)
    if problems or stack is None:
        raise ConfigError(problems)
    return stack


def _parse(model: type[M], raw: Mapping[str, Any], source: str) -> tuple[M | None, list[Problem]]:
    """The model and its faults of form; with faults, the model of what is left without the faulty entries."""
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        problems = list(problems_of(error, model, source))
        rest = copy.deepcopy(dict(raw))
        for fault in error.errors():
            _drop_entry(rest, [step for step in fault["loc"] if step not in TAGS])
        try:
            return model.model_validate(rest), problems
        except ValidationError:
            return None, problems


def _drop_entry(raw: dict[str, Any], location: list[int | str]) -> None:
    """Removes the named entry of a section (`tenants.frontend`), or the section or unknown key itself."""
    match location:
        case [str(section), str(entry), *_] if isinstance(raw.get(section), dict):
            raw[section].pop(entry, None)
        case [str(section), *_]:
            raw.pop(section, None)
