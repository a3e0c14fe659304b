"""Git's names of contents and folders, computed here: whether two trees are equal is known without asking GitHub.

Called by all of `fleet.github`. Left out on purpose: SHA-256 repositories, which GitHub does not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

FILE: Final = "100644"
EXECUTABLE: Final = "100755"
SUBMODULE: Final = "160000"
FOLDER: Final = "40000"
"""As Git writes it into a tree object; GitHub's API says `040000`."""
REGULAR: Final = frozenset({FILE, EXECUTABLE})
"""Modes whose content can be merged; others are links and submodules."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What stands at a path: Git's mode and the name of the content."""

    mode: str
    sha: str


Tree = Mapping[str, Entry]
"""The files of a folder and all below it, by path from the folder; folders follow from the paths."""


def tree_of(files: Mapping[str, bytes]) -> dict[str, Entry]:
    """The tree of rendered files: scripts are executable, everything else is not."""
    return {path: Entry(mode=_mode(path), sha=hash_blob(content)) for path, content in files.items()}


def blobs_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Contents by name."""
    return {hash_blob(content): content for content in files.values()}


def hash_blob(content: bytes) -> str:
    return _hash("blob", content)


def hash_tree(tree: Tree) -> str:
    """The name of the top folder. An empty tree has one too."""
    children: dict[str, Entry] = {}
    below: dict[str, dict[str, Entry]] = {}
    for path, entry in tree.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = entry
        else:
            children[name] = entry
    children |= {name: Entry(mode=FOLDER, sha=hash_tree(subtree)) for name, subtree in below.items()}
    return _hash("tree", b"".join(_lines(children)))


def folders_of(tree: Tree) -> frozenset[str]:
    """Paths of all folders that the files imply."""
    paths = (path.split("/")[:-1] for path in tree)
    return frozenset("/".join(parts[:depth]) for parts in paths for depth in range(1, len(parts) + 1))


def _lines(children: Mapping[str, Entry]) -> Iterator[bytes]:
    """Git sorts bytes, and a folder as if its name ended in a slash."""

    def order(child: tuple[str, Entry]) -> bytes:
        name, entry = child
        return (name + "/" if entry.mode == FOLDER else name).encode()

    for name, entry in sorted(children.items(), key=order):
        yield f"{entry.mode} {name}\0".encode() + bytes.fromhex(entry.sha)


def _hash(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def _mode(path: str) -> str:
    return EXECUTABLE if path.endswith(".sh") else FILE
