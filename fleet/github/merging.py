"""The three-way merge of whole trees: what people changed stays, what only the fleet changed is taken in.

Called by `seeding`; pure but for the line merge of a file that both changed. Where both changed the same thing, main
wins and the file is told: a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleet.github.lines import merge_lines
from fleet.github.trees import REGULAR, Entry, Tree, folders_of, hash_blob


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The trees of a merge."""

    base: Tree
    """What main last took in; empty when that is not known, and then nothing that main has is changed."""
    rendered: Tree
    main: Tree


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file that stays, in whole or in part, as people have it, although the rendered one changed too."""

    path: str
    reason: str
    main: bytes | None = None
    """Content that stays; None when there is none, or it is not text."""
    rendered: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What main becomes."""

    tree: Tree
    texts: Mapping[str, bytes]
    """Contents that came from merging lines, by name."""
    kept: tuple[Kept, ...]


def wanted_contents(sides: Sides) -> list[str]:
    """Names of the contents that `merge` needs of base and main."""
    entries = [entry for path in _contested(sides) for entry in (sides.base.get(path), sides.main.get(path))]
    return list(dict.fromkeys(entry.sha for entry in entries if entry and entry.mode in REGULAR))


def merge(sides: Sides, contents: Mapping[str, bytes]) -> Merged:
    """Merges file by file; a content that is missing from `contents` counts as not text."""
    tree, texts, kept = dict(sides.main), dict[str, bytes](), list[Kept]()
    for path in _uncontested(sides):
        _put(tree, path, sides.rendered.get(path))
    for path in _contested(sides):
        entry, told = _settle(path, sides, contents, texts)
        _put(tree, path, entry)
        kept += told
    kept += _make_room(tree, sides, contents)
    return Merged(tree=tree, texts=texts, kept=tuple(sorted(kept, key=lambda one: one.path)))


def _uncontested(sides: Sides) -> Iterator[str]:
    """Paths that only the fleet changed."""
    for path in sides.base.keys() | sides.rendered.keys():
        if sides.main.get(path) == sides.base.get(path):
            yield path


def _contested(sides: Sides) -> list[str]:
    """Paths that both changed, and not to the same."""
    paths = sides.base.keys() | sides.rendered.keys()
    return sorted(
        path for path in paths if _differ(sides.base.get(path), sides.rendered.get(path), sides.main.get(path))
    )


def _differ(base: object, rendered: object, main: object) -> bool:
    return rendered not in (base, main) and main != base


def _settle(
    path: str, sides: Sides, contents: Mapping[str, bytes], texts: dict[str, bytes]
) -> tuple[Entry | None, list[Kept]]:
    """What stands at a contested path, and what to tell of it; adds to `texts` what is new."""
    base, rendered, main = sides.base.get(path), sides.rendered.get(path), sides.main.get(path)
    if not (base and rendered and main):
        return main, [_kept(path, _reason(base, main), sides, contents)]
    if not {base.mode, rendered.mode, main.mode} <= REGULAR:
        return main, [_kept(path, "it is a link or a submodule", sides, contents)]
    mode = rendered.mode if main.mode == base.mode else main.mode
    if not _differ(base.sha, rendered.sha, main.sha):
        return Entry(mode=mode, sha=rendered.sha if main.sha == base.sha else main.sha), []
    if not {base.sha, rendered.sha, main.sha} <= contents.keys():
        return Entry(mode=mode, sha=main.sha), [_kept(path, "both changed it, and it is not text", sides, contents)]
    text, conflict = merge_lines(base=contents[base.sha], rendered=contents[rendered.sha], main=contents[main.sha])
    sha = hash_blob(text)
    texts[sha] = text
    told = [_kept(path, "both changed the same lines; the others are merged", sides, contents)] if conflict else []
    return Entry(mode=mode, sha=sha), told


def _reason(base: Entry | None, main: Entry | None) -> str:
    """Why there is nothing to merge, one of the three sides being absent."""
    if base is None:
        return "it was here already"
    return "it was deleted here" if main is None else "it is no longer rendered, but was changed here"


def _make_room(tree: dict[str, Entry], sides: Sides, contents: Mapping[str, bytes]) -> Iterator[Kept]:
    """Takes back what the fleet added where people have a file in place of a folder, or a folder in place of a file."""
    folders = folders_of(tree)
    for clash in sorted(folders & tree.keys()):
        ours = [clash] if clash not in sides.main else [path for path in tree if path.startswith(f"{clash}/")]
        for path in ours:
            del tree[path]
            yield _kept(path, f"`{clash}` is a folder on one side and a file on the other", sides, contents)


def _kept(path: str, reason: str, sides: Sides, contents: Mapping[str, bytes]) -> Kept:
    def content(entry: Entry | None) -> bytes | None:
        return contents.get(entry.sha) if entry else None

    return Kept(
        path=path, reason=reason, main=content(sides.main.get(path)), rendered=content(sides.rendered.get(path))
    )


def _put(tree: dict[str, Entry], path: str, entry: Entry | None) -> None:
    if entry is None:
        tree.pop(path, None)
    else:
        tree[path] = entry
