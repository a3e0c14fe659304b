"""fleet as a client of the double: what tests of seeding call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fleet.github import Auth, Author, Outcome, Repository, Token, connect, plan, seed
from tests.github_double.server import TOKEN, GitHubDouble

OWNER: Final = "acme"
NAME: Final = "fleet"

FILES: Final = {
    "README.md": b"# What fleet renders\n",
    "clusters/prod.yaml": b"".join(b"line%d: %d\n" % (number, number) for number in range(9)),
    "clusters/staging.yaml": b"a: 1\n",
    "scripts/release.sh": b"#!/bin/sh\n",
}
NEXT: Final = {
    **{path: content for path, content in FILES.items() if path != "clusters/staging.yaml"},
    "clusters/prod.yaml": FILES["clusters/prod.yaml"].replace(b"line0: 0", b"line0: new"),
    "clusters/edge.yaml": b"b: 1\n",
}
"""One file changed, one gone, one new."""


class Seeder:
    """One repository of the double, and runs on it as separate processes would make them."""

    def __init__(self, github: GitHubDouble, *, auto_init: bool = True) -> None:
        self.github = github
        self.repository = github.create(OWNER, NAME, auto_init=auto_init)
        self.auth: Auth = Token(token=TOKEN)
        self.author: Author | None = None
        self.told: list[str] = []
        self.made: list[str] = []
        """Calls of the latest run."""

    def seed(self, files: Mapping[str, bytes], *, only_look: bool = False, patience: float = 180) -> Outcome:
        """A run; raises what it raises, with the calls in `made` all the same."""
        before = len(self.github.calls)
        try:
            with connect(self.auth, self.github.url, progress=self.told.append, patience=patience) as client:
                repository = Repository(
                    github=client, credential=self.auth.source, owner=OWNER, name=NAME, author=self.author
                )
                return (plan if only_look else seed)(repository, files, self.told.append)
        finally:
            self.made = [str(call) for call in self.github.calls[before:]]
