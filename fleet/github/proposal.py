"""What a pull request says to the people who review it.

Called by `seeding`; pure text. A body has at most 65,536 characters on GitHub, so long differences are cut.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import accumulate, zip_longest
from typing import Final

from fleet.github.marks import MARKER
from fleet.github.merging import Kept

LINES: Final = 40
"""Lines shown of one difference."""
ROOM: Final = 30_000
"""Characters for the names of files; as many are for the differences."""

TITLE: Final = "Take in what fleet renders"


def write_body(branch: str, kept: Iterable[Kept], *, known: bool) -> str:
    """`known`: what the branch took in before is known, so it is an update; otherwise fleet takes the branch over."""
    if known:
        intro = (
            f"What fleet renders for this repository has changed. This takes the changes in on top of `{branch}`; "
            "what people changed stays."
        )
    else:
        intro = (
            f"fleet takes this repository over. Files that `{branch}` lacks are added; none that it has is changed. "
            f"From then on `{MARKER}` says what was taken in, and later changes are merged."
        )
    closing = (
        "To take it in, merge. To refuse it, close this pull request: it stays closed until something else is rendered."
    )
    return "\n\n".join([intro, *_told(list(kept)), closing])


def _told(kept: list[Kept]) -> Iterable[str]:
    if not kept:
        return
    yield f"### Kept as people have them ({len(kept)})"
    yield "The rendered files differ. The differences are what taking those over would change."
    names, differences = _fitting(_named(one) for one in kept), _fitting(_difference(one) for one in kept)
    for name, difference in zip_longest(names, differences[: len(names)], fillvalue=""):
        yield f"{name}\n\n{difference}" if difference else name
    if len(kept) > len(names):
        yield f"- and {len(kept) - len(names)} more"


def _fitting(texts: Iterable[str]) -> list[str]:
    """The first of the texts, as far as there is room."""
    sizes = accumulate(map(len, texts := list(texts)))
    return [text for text, size in zip(texts, sizes, strict=True) if size <= ROOM]


def _named(kept: Kept) -> str:
    return f"- `{kept.path}`: {kept.reason}"


def _difference(kept: Kept) -> str:
    """The difference as a block of a list item; empty where one side is no text or not there."""
    if kept.main is None or kept.rendered is None:
        return ""
    before, after = (_lines(content) for content in (kept.main, kept.rendered))
    lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"… {len(lines) - LINES} more lines"]
    longest = max((len(run) for run in re.findall("`+", "\n".join(lines))), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join(f"  {line}".rstrip() for line in [f"{fence}diff", *lines, fence])


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").splitlines()
