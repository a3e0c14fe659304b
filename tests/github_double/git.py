"""Git's object store in memory: blobs, trees and commits under their true names, and refs.

Written apart from `fleet.github.trees` on purpose, so that one checks the other; tests compare both with `git`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ZERO: Final = "0" * 40


@dataclass(frozen=True, kw_only=True)
class Item:
    """An entry of a tree: a file, folder, link or submodule."""

    mode: str
    """As the API writes it: six digits."""
    sha: str

    @property
    def type(self) -> str:
        return {"040000": "tree", "160000": "commit"}.get(self.mode, "blob")


@dataclass(frozen=True, kw_only=True)
class Person:
    """An author or committer."""

    name: str = "Ada"
    email: str = "ada@example.com"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit, read."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


class Git:
    """Objects by name, refs by full name."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.refs: dict[str, str] = {}
        self._clock = 1_700_000_000

    def put(self, kind: str, body: bytes) -> str:
        sha = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(body)) + body, usedforsecurity=False).hexdigest()
        self.objects[sha] = (kind, body)
        return sha

    def has(self, sha: str, kind: str) -> bool:
        return sha in self.objects and self.objects[sha][0] == kind

    def blob(self, sha: str) -> bytes:
        return self._body(sha, "blob")

    # --- trees ------------------------------------------------------------------------------------------------------
    def put_tree(self, files: Mapping[str, Item]) -> str:
        """A tree and all below it, from files by path."""
        top: dict[str, Item] = {}
        for name in {path.split("/")[0] for path in files}:
            if name in files:
                top[name] = files[name]
                continue
            below = {path[len(name) + 1 :]: item for path, item in files.items() if path.startswith(f"{name}/")}
            top[name] = Item(mode="040000", sha=self.put_tree(below))
        return self.put("tree", b"".join(_encode(top)))

    def tree(self, sha: str) -> dict[str, Item]:
        """One level."""
        body, found = self._body(sha, "tree"), {}
        for match in re.finditer(rb"(\d+) ([^\0]+)\0(.{20})", body, re.DOTALL):
            mode, name, raw = match.groups()
            found[name.decode()] = Item(mode=mode.decode().zfill(6), sha=raw.hex())
        return found

    def walk(self, sha: str, prefix: str = "") -> Iterator[tuple[str, Item]]:
        """All levels, folders included, as `git ls-tree -r -t` lists them."""
        for name, item in self.tree(sha).items():
            yield prefix + name, item
            if item.type == "tree":
                yield from self.walk(item.sha, f"{prefix}{name}/")

    def files(self, sha: str) -> dict[str, Item]:
        return {path: item for path, item in self.walk(sha) if item.type != "tree"}

    # --- commits ----------------------------------------------------------------------------------------------------
    def put_commit(
        self, tree: str, parents: Sequence[str], message: str, author: Person, committer: Person | None = None
    ) -> str:
        """Every commit is a second later than the one before."""
        self._clock += 1
        who = {"author": author, "committer": committer or author}
        lines = [
            f"tree {tree}",
            *(f"parent {parent}" for parent in parents),
            *(f"{role} {person.name} <{person.email}> {self._clock} +0000" for role, person in who.items()),
        ]
        return self.put("commit", ("\n".join(lines) + f"\n\n{message}").encode())

    def commit(self, sha: str) -> Commit:
        head, _, message = self._body(sha, "commit").decode().partition("\n\n")
        fields = [line.partition(" ")[::2] for line in head.split("\n")]
        people = {key: _person(value) for key, value in fields if key in ("author", "committer")}
        return Commit(
            sha=sha,
            tree=dict(fields)["tree"],
            parents=tuple(value for key, value in fields if key == "parent"),
            author=people["author"],
            committer=people["committer"],
            message=message,
        )

    def ancestry(self, sha: str) -> set[str]:
        """The commit and all before it."""
        found, waiting = set[str](), [sha]
        while waiting:
            if (current := waiting.pop()) not in found:
                found.add(current)
                waiting += self.commit(current).parents
        return found

    def resolve(self, expression: str) -> str | None:
        """The object that `<full ref or name>[:<path>]` speaks of."""
        ref, colon, path = expression.partition(":")
        sha = self.refs.get(ref) or (ref if ref in self.objects else None)
        if sha is None or not colon:
            return sha
        found = dict(self.walk(self.commit(sha).tree)).get(path)
        return found.sha if found else None

    def _body(self, sha: str, kind: str) -> bytes:
        found, body = self.objects[sha]
        assert found == kind, f"{sha} is a {found}, not a {kind}"
        return body


def _encode(items: Mapping[str, Item]) -> Iterable[bytes]:
    for name, item in sorted(items.items(), key=lambda pair: (pair[0] + "/" * (pair[1].type == "tree")).encode()):
        yield f"{item.mode.lstrip('0')} {name}\0".encode() + bytes.fromhex(item.sha)


def _person(text: str) -> Person:
    name, _, rest = text.partition(" <")
    return Person(name=name, email=rest.partition(">")[0])
