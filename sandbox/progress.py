"""What a long piece of work tells while it runs, and the display of it.

`sandbox.build` reports its steps through a `Progress`; whoever starts the work shows them, by default with
`show_progress`. Left out on purpose: any estimate of the time that is left, it depends on the machine's load.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens now; `done` of `total` count the whole work, a `total` of 0 means not yet known."""

    part: str
    state: Literal["working", "waiting", "ready"] = "working"
    note: str = ""
    done: int = 0
    total: int = 0


Progress = Callable[[Step], None]


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """A bar that names the current part if `stream` (default stderr) is a terminal, else one line a part."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(stream) as report:
            yield report
    else:
        yield _lines(lambda line: print(line, file=stream, flush=True))


@contextmanager
def _bar(stream: TextIO) -> Iterator[Progress]:
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # the note takes what the others leave
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("[dim]{task.fields[note]}", table_column=rest),
    )
    with progress.Progress(*columns, console=Console(file=stream), transient=True, expand=True) as bar:
        task = bar.add_task("", total=None, note="")
        lines = _lines(lambda line: bar.console.print(line, highlight=False, markup=False))

        def report(step: Step) -> None:
            bar.update(task, description=step.part, completed=step.done, total=step.total or None, note=step.note)
            lines(step)

        yield report


def _lines(write: Callable[[str], None]) -> Progress:
    """Writes one line for each part that is ready or waits, with the time since the line before it."""
    since = time.monotonic()

    def report(step: Step) -> None:
        nonlocal since
        if step.state == "working":
            return
        now = time.monotonic()
        told = f", {step.note}" if step.note else ""
        write(f"{step.part}: {step.state}{told} ({_duration(now - since)})")
        since = now

    return report


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
