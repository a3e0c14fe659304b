"""A repository as one look shows it, and what follows from that; all that a run decides upon.

Made by `repository` from the answer to `queries.LOOK`; read by `seeding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fleet.github import marks
from fleet.github.trees import REGULAR, Entry, Tree

AUTO_INIT: Final = frozenset({"README.md", "LICENSE", ".gitignore", marks.MARKER})
"""What GitHub itself writes into a new repository, and what we do to begin."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit that a ref points at."""

    sha: str
    tree: str
    message: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pull:
    """The latest pull request from the bot's branch."""

    number: int
    url: str
    state: str
    """OPEN, CLOSED or MERGED."""
    body: str
    head: str
    message: str
    """Of its last commit."""


@dataclass(frozen=True, kw_only=True)
class State:
    """The repository at one moment."""

    id: str
    empty: bool
    """Without a commit on any branch."""
    main: Commit | None
    top: Tree
    """What lies at the top of main: files, and folders as entries too."""
    marker: str | None
    """The rendered tree that main last took in."""
    bot: Commit | None
    seed: Commit | None
    pull: Pull | None

    @property
    def is_untouched(self) -> bool:
        """Whether main has nothing that people wrote: no commit, or the one that made the repository."""
        if self.main is None:
            return self.empty
        regular = all(entry.mode in REGULAR for entry in self.top.values())
        return not self.main.parents and regular and self.top.keys() <= AUTO_INIT

    @property
    def is_proposing(self) -> bool:
        """Whether a pull request of ours is open."""
        return self.pull is not None and self.pull.state == "OPEN"

    @property
    def is_free(self) -> bool:
        """Whether the bot's branch has nothing that people wrote and that is not merged."""
        if self.bot is None or marks.is_ours(self.bot.message, self.bot.tree):
            return True
        return self.pull is not None and self.pull.state == "MERGED" and self.pull.head == self.bot.sha

    def refuses(self, rendered: str) -> bool:
        """Whether people closed the pull request that proposed this tree."""
        pull = self.pull
        if pull is None or pull.state != "CLOSED" or marks.is_withdrawn(pull.body):
            return False
        return marks.read_rendered(pull.message) == rendered

    def proposes(self, rendered: str) -> bool:
        """Whether the pull request is up to date: this tree, merged with main as it is, and told so in the body."""
        if not (self.is_proposing and self.pull and self.bot and self.main):
            return False
        mark = marks.proposal_mark(self.bot.tree, self.main.sha)
        return marks.read_rendered(self.bot.message) == rendered and mark in self.pull.body


def read_state(found: Any) -> State:
    """The state in an answer. Pull requests of forks are left out: anyone can have some from a branch of that name."""
    main = _target(found["main"])
    entries = main["tree"]["entries"] if main else []
    return State(
        id=found["id"],
        empty=found["isEmpty"],
        main=_commit(main),
        top={entry["name"]: Entry(mode=f"{entry['mode']:o}", sha=entry["oid"]) for entry in entries},
        marker=marks.read_marker((found["marker"] or {}).get("text") or ""),
        bot=_commit(_target(found["bot"])),
        seed=_commit(_target(found["seed"])),
        pull=next((_pull(pull) for pull in found["pullRequests"]["nodes"] if not pull["isCrossRepository"]), None),
    )


def _target(ref: Any) -> Any:
    return ref and ref["target"]


def _commit(found: Any) -> Commit | None:
    return found and Commit(
        sha=found["oid"],
        tree=found["tree"]["oid"],
        message=found["message"],
        parents=tuple(parent["oid"] for parent in found["parents"]["nodes"]),
    )


def _pull(found: Any) -> Pull:
    commits = found["commits"]["nodes"]
    return Pull(
        number=found["number"],
        url=found["url"],
        state=found["state"],
        body=found["body"],
        head=found["headRefOid"],
        message=commits[0]["commit"]["message"] if commits else "",
    )
