"""What can be wrong, and how it is told: every fault with its path, the problem and a hint.

Raised by all layers, printed by the entry points (`__main__.py`, `python -m fleet`, `python -m sandbox`).
Whoever checks something collects every fault first and raises once: one run shows all of them.

    FleetError            anything the user can act on
    ├── ConfigError       fleet.yaml or the stack's configuration
    ├── ClusterError      a live cluster did not answer, or answered with a refusal
    └── ToolError         a tool, port, disk or process of the sandbox
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One fault: where it is (`path`), what is wrong (`message`), what to do about it (`hint`, may be empty)."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.path}: {self.message}"
        return f"{line}\n    hint: {self.hint}" if self.hint else line


class FleetError(Exception):
    """An error that prints itself: one entry a problem, in the order in which they were found."""

    title = "fleet cannot go on"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.title} ({count} problem{'' if count == 1 else 's'})"
        return "\n".join([head, *(f"  {line}" for p in self.problems for line in str(p).splitlines())])


class ConfigError(FleetError):
    """The configuration is wrong; nothing was created."""

    title = "the configuration is not valid, nothing was changed"


class ClusterError(FleetError):
    """A cluster did not answer or refused; what was there is untouched."""

    title = "a cluster could not be read"


class ToolError(FleetError):
    """Something the sandbox needs on this machine is missing or failed; the next run resumes."""

    title = "the sandbox cannot go on"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint for an unknown `word`: its nearest neighbour, else everything that is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"known: {', '.join(f'`{name}`' for name in names)}" if names else ""
