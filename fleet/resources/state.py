"""What the stack's last state holds: the only reader of it. Read by whoever must tell ours from somebody else's."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi


async def held() -> Mapping[str, str]:
    """The name (or `""`) of each resource in the last state of this very stack, by `Kind::name`; no other values.

    The engine answers as it does to a stack reference.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    found = await pulumi.runtime.invoke_async("pulumi:pulumi:readStackResourceOutputs", {"stackName": stack})
    return {_short(urn): str(each["outputs"].get("name", "")) for urn, each in found["outputs"].items()}


def _short(urn: str) -> str:
    types, name = urn.split("::")[2:]
    return f"{types.rpartition(':')[2]}::{name}"
