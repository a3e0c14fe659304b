"""What one run leaves for the next: a file on main, trailers of commits, a line in the body of a pull request.

There is no other state. Each mark is written together with what it speaks of, so an interrupted run leaves none that
is untrue.
"""

from __future__ import annotations

import re
from typing import Final

MARKER: Final = ".fleet-seed"
"""The file on main that names the tree which main last took in: the base of the next merge."""
BOT_BRANCH: Final = "fleet/update"
"""Where changes are proposed from; the only branch that is ever moved by force."""
SEED_REF: Final = "refs/fleet/seed"
"""History of what was rendered. It keeps every base alive, also those that main did not take in yet."""

_SHA: Final = r"[0-9a-f]{40}"
_WITHDRAWN: Final = "<!-- fleet-seed: withdrawn -->"


def write_marker(rendered: str = "") -> bytes:
    """Text of the marker; without a name it only says that seeding has begun."""
    lines = ["# What main last took in of the files that fleet renders, as the name of a Git tree.", "# Leave it here."]
    return "\n".join([*lines, *([rendered] if rendered else []), ""]).encode()


def read_marker(text: str) -> str | None:
    """The name in a marker; None when there is none."""
    found = re.search(rf"^{_SHA}$", text, re.MULTILINE)
    return found[0] if found else None


def write_message(title: str, *, rendered: str, tree: str) -> str:
    """Message of a commit: what was rendered, and the tree of the commit itself, by which it is known for our own."""
    return f"{title}\n\nFleet-Rendered: {rendered}\nFleet-Tree: {tree}\n"


def read_rendered(message: str) -> str | None:
    """What a commit of ours proposes; None for somebody else's."""
    return _trailer("Fleet-Rendered", message)


def is_ours(message: str, tree: str) -> bool:
    """Whether a commit holds what we wrote: one that people amended, merged or rebased has another tree."""
    return _trailer("Fleet-Tree", message) == tree


def proposal_mark(tree: str, main: str) -> str:
    """The line of a body that is up to date with the proposed tree and the commit that it stands on."""
    return f"<!-- fleet-seed: {tree} on {main} -->"


def withdraw_body(body: str) -> str:
    """The body of a pull request that we close ourselves: nobody refused it."""
    return f"Withdrawn: `main` holds what is rendered now.\n{_WITHDRAWN}\n\n{body}"


def is_withdrawn(body: str) -> bool:
    return _WITHDRAWN in body


def _trailer(name: str, message: str) -> str | None:
    found = re.search(rf"^{name}: ({_SHA})$", message, re.MULTILINE)
    return found[1] if found else None
