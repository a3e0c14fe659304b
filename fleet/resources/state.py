"""What the stack's last state holds: the only reader of it. Read by whoever must tell ours from somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import pulumi

TRIES: Final = 20
PAUSE: Final = 0.1
"""Seconds between two tries: a state in a file is read while the engine may just write it, and half of it is none."""


async def held() -> Mapping[str, str]:
    """The name (or `""`) of each resource in the last state of this very stack, by `Kind::name`; no other values."""
    found = await _read(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
    return {_short(urn): str(each["outputs"].get("name", "")) for urn, each in found["outputs"].items()}


async def _read(stack: str) -> Any:
    """The engine answers as it does to a stack reference. Raises what it raises."""
    patience = TRIES
    while True:
        try:
            return await pulumi.runtime.invoke_async("pulumi:pulumi:readStackResourceOutputs", {"stackName": stack})
        except Exception as error:  # the SDK raises nothing more exact
            if "failed to load checkpoint" not in str(error) or not patience:
                raise
        patience -= 1
        await asyncio.sleep(PAUSE)


def _short(urn: str) -> str:
    types, name = urn.split("::")[2:]
    return f"{types.rpartition(':')[2]}::{name}"
