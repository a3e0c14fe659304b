"""The stack's own state is read once more when the engine was just writing it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from fleet.resources import state

HALF = "invocation returned an error: failed to load checkpoint: EOF"
"""What the engine says of a file that it is writing."""


class Engine:
    """Fails with each of these messages first, and then knows one resource."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)

    async def __call__(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.failures:
            raise Exception(self.failures.pop(0))  # noqa: TRY002 as the SDK does
        return {"outputs": {"urn:pulumi:s::fleet::command:local:Command::a-kind": {"outputs": {}}}}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "PAUSE", 0)


def held(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Mapping[str, str]:
    monkeypatch.setattr(pulumi.runtime, "invoke_async", engine)
    return asyncio.run(state.held())


def test_a_state_that_is_half_written_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert held(monkeypatch, Engine(HALF, HALF)) == {"Command::a-kind": ""}


def test_a_state_that_stays_broken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="checkpoint"):
        held(monkeypatch, Engine(*[HALF] * 1000))


def test_any_other_failure_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("access denied", HALF)
    with pytest.raises(Exception, match="access denied"):
        held(monkeypatch, engine)
    assert engine.failures == [HALF]
