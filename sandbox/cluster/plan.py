"""What a sandbox was asked to be: handed from `control` to the supervisor through a file in the home.

Left out on purpose: what follows from it (`processes`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.build import Parts
from sandbox.cluster.home import Home, read_json, write_json


def _hash_code() -> str:
    """Of the packages that run in the background: what runs is started anew when they change."""
    total = hashlib.sha256()
    package = Path(__file__).parent
    for folder in (package, package.with_name("sources")):
        for path in sorted(folder.glob("*.py")):
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which programs, for which clusters, on which ports (`registry`, `<cluster>/api`, …), run by which code."""

    parts: Parts
    clusters: tuple[str, ...]
    ports: Mapping[str, int]
    code: str = field(default_factory=_hash_code)
    """Of this package: after an update of the checkout, the next start replaces what the old code runs."""


def write_plan(home: Home, plan: Plan) -> None:
    write_json(home.plan, json.loads(json.dumps(asdict(plan), default=str)))


def read_plan(home: Home) -> Plan | None:
    """The plan of the last start; `None` if there was none, or another version of the program wrote it."""
    content: Any = read_json(home.plan)
    try:
        parts = {name: _restore(value) for name, value in content["parts"].items()}
        return Plan(**content | {"parts": Parts(**parts), "clusters": tuple(content["clusters"])})
    except (AttributeError, KeyError, TypeError):
        return None


def _restore(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value
