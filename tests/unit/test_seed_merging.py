"""Trees are named as Git names them, and merged so that nobody's work is lost; GitHub has no part in it."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleet.errors import FleetError
from fleet.github import marks, proposal
from fleet.github.lines import merge_lines
from fleet.github.merging import Kept, Merged, Sides, merge, wanted_contents
from fleet.github.trees import EXECUTABLE, FILE, SUBMODULE, Entry, blobs_of, hash_blob, hash_tree, tree_of

Files = Mapping[str, bytes]


# --- names -----------------------------------------------------------------------------------------------------------
def git(folder: Path, *arguments: str, text: bytes = b"") -> str:
    """Git in a repository of its own, with no configuration of the user."""
    environment = {"PATH": os.environ["PATH"], "GIT_DIR": str(folder), "HOME": str(folder)}
    command = ["git", *arguments]
    return subprocess.run(command, input=text, env=environment, check=True, capture_output=True).stdout.decode().strip()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare")
    return tmp_path


@pytest.mark.parametrize("content", [b"", b"a\n", b"no end", b"\0\xff", "Grüße\r\n".encode()])
def test_a_content_has_gits_name(store: Path, content: bytes) -> None:
    assert hash_blob(content) == git(store, "hash-object", "--stdin", text=content)


def test_a_tree_has_gits_name(store: Path) -> None:
    """Folders sort as if their names ended in a slash, and bytes count, not letters."""
    files = {
        name: name.encode()
        for name in ("a.b", "a/x", "a/y/z.sh", "a0", "a-b", "ab", "A", "ä/ö", "z.sh", ".fleet-seed", "日本")
    }
    tree = {**tree_of(files), "link": Entry(mode="120000", sha=hash_blob(b"a.b"))}
    lines = b"".join(f"{entry.mode} blob {entry.sha}\t{path}\0".encode() for path, entry in tree.items())
    git(store, "update-index", "--add", "-z", "--index-info", text=lines.replace(b" blob", b""))
    for content in [*files.values(), b"a.b"]:
        git(store, "hash-object", "-w", "--stdin", text=content)
    assert hash_tree(tree) == git(store, "write-tree")


def test_a_tree_made_by_hand_has_gits_name(store: Path) -> None:
    blob = git(store, "hash-object", "-w", "--stdin", text=b"x")
    below = git(store, "mktree", text=f"100755 blob {blob}\trun.sh\n".encode())
    top = git(store, "mktree", text=f"040000 tree {below}\ta\n100644 blob {blob}\ta.txt\n".encode())
    assert hash_tree(tree_of({"a/run.sh": b"x", "a.txt": b"x"})) == top


def test_nothing_has_gits_name(store: Path) -> None:
    assert hash_tree({}) == git(store, "mktree")


def test_scripts_are_executable() -> None:
    modes = {path: entry.mode for path, entry in tree_of({"a/run.sh": b"", "run.sh.md": b"", "sh": b""}).items()}
    assert modes == {"a/run.sh": EXECUTABLE, "run.sh.md": FILE, "sh": FILE}


# --- one file --------------------------------------------------------------------------------------------------------
def merged(base: Files, rendered: Files, main: Files) -> Merged:
    sides = Sides(base=tree_of(base), rendered=tree_of(rendered), main=tree_of(main))
    known = {**blobs_of(base), **blobs_of(main)}
    fetched = {sha: known[sha] for sha in wanted_contents(sides)}
    return merge(sides, {**fetched, **blobs_of(rendered)})


def contents(result: Merged, *sides: Files) -> dict[str, bytes]:
    known = {**result.texts, **{sha: text for side in sides for sha, text in blobs_of(side).items()}}
    return {path: known[entry.sha] for path, entry in result.tree.items()}


OURS, THEIRS, BASE = b"ours\n", b"theirs\n", b"base\n"
# base, rendered, main (None: absent) → what stays, and why it is told
TABLE: list[tuple[bytes | None, bytes | None, bytes | None, bytes | None, str | None]] = [
    (BASE, BASE, BASE, BASE, None),
    (BASE, OURS, BASE, OURS, None),
    (BASE, None, BASE, None, None),
    (BASE, BASE, THEIRS, THEIRS, None),
    (BASE, BASE, None, None, None),
    (BASE, OURS, OURS, OURS, None),
    (BASE, None, None, None, None),
    (BASE, OURS, THEIRS, THEIRS, "both changed the same lines; the others are merged"),
    (BASE, None, THEIRS, THEIRS, "it is no longer rendered, but was changed here"),
    (BASE, OURS, None, None, "it was deleted here"),
    (None, OURS, None, OURS, None),
    (None, None, THEIRS, THEIRS, None),
    (None, OURS, OURS, OURS, None),
    (None, OURS, THEIRS, THEIRS, "it was here already"),
]


@pytest.mark.parametrize(("base", "rendered", "main", "stays", "reason"), TABLE)
def test_one_file(
    base: bytes | None, rendered: bytes | None, main: bytes | None, stays: bytes | None, reason: str | None
) -> None:
    sides = [{"f": content} if content is not None else {} for content in (base, rendered, main)]
    result = merged(*sides)
    assert contents(result, *sides).get("f") == stays
    assert [kept.reason for kept in result.kept] == ([reason] if reason else [])


def test_the_table_has_every_case() -> None:
    """Absent, base, ours and theirs on three sides; without those that cannot be told apart by name."""
    cases = {(base, rendered, main) for base, rendered, main, _, _ in TABLE}
    possible = set(itertools.product((None, BASE), (None, BASE, OURS), (None, BASE, OURS, THEIRS)))
    senseless = {case for case in possible if (case[0] is None and BASE in case) or case == (None, None, None)}
    doubles = {(BASE, BASE, OURS), (BASE, None, OURS), (None, None, OURS)}  # theirs, by another name
    assert cases == possible - senseless - doubles


def test_lines_that_only_one_side_changed_are_merged() -> None:
    base, main = b"1\n2\n3\n4\n5\n", b"one\n2\n3\n4\n5\n"
    result = merged({"f": base}, {"f": b"1\n2\n3\n4\nfive\n"}, {"f": main})
    assert contents(result) == {"f": b"one\n2\n3\n4\nfive\n"}
    assert result.kept == ()


def test_only_the_lines_in_conflict_stay() -> None:
    base = b"".join(b"%d\n" % number for number in range(10))
    rendered, main = base.replace(b"0\n", b"R0\n").replace(b"9\n", b"R9\n"), base.replace(b"9\n", b"M9\n")
    result = merged({"f": base}, {"f": rendered}, {"f": main})
    assert contents(result)["f"] == main.replace(b"0\n", b"R0\n")
    (kept,) = result.kept
    assert (kept.path, kept.main, kept.rendered) == ("f", main, rendered)


def test_what_is_no_text_stays() -> None:
    base, rendered, main = (tree_of({"f": content}) for content in (b"\0a", b"\0b", b"\0c"))
    result = merge(Sides(base=base, rendered=rendered, main=main), contents={})
    assert result.tree == main
    assert [kept.reason for kept in result.kept] == ["both changed it, and it is not text"]


def test_modes_merge_apart_from_contents() -> None:
    """People made a file executable, the fleet changed its text: both are taken in."""
    base, rendered = tree_of({"f": BASE}), tree_of({"f": OURS})
    main = {"f": Entry(mode=EXECUTABLE, sha=base["f"].sha)}
    result = merge(Sides(base=base, rendered=rendered, main=main), contents={})
    assert result.tree == {"f": Entry(mode=EXECUTABLE, sha=rendered["f"].sha)}
    assert result.kept == ()


def test_a_mode_that_the_fleet_changed_is_taken_in() -> None:
    base, main = tree_of({"f": BASE}), tree_of({"f": THEIRS})
    rendered = {"f": Entry(mode=EXECUTABLE, sha=base["f"].sha)}
    assert merge(Sides(base=base, rendered=rendered, main=main), contents={}).tree == {
        "f": Entry(mode=EXECUTABLE, sha=main["f"].sha)
    }


@pytest.mark.parametrize("mode", ["120000", SUBMODULE])
def test_links_and_submodules_stay(mode: str) -> None:
    main = {"f": Entry(mode=mode, sha="1" * 40), "g": Entry(mode=mode, sha="2" * 40)}
    sides = Sides(base=tree_of({"f": BASE}), rendered=tree_of({"f": OURS}), main=main)
    assert "1" * 40 not in wanted_contents(sides)
    result = merge(sides, contents={})
    assert result.tree == main
    assert [kept.reason for kept in result.kept] == ["it is a link or a submodule"]


# --- several files ---------------------------------------------------------------------------------------------------
def test_a_rename_keeps_what_people_wrote_under_the_old_name() -> None:
    result = merged({"old": BASE}, {"new": BASE}, {"old": THEIRS})
    assert contents(result, {"": BASE, " ": THEIRS}) == {"old": THEIRS, "new": BASE}
    assert [kept.path for kept in result.kept] == ["old"]


def test_a_file_becomes_a_folder() -> None:
    result = merged({"a": BASE}, {"a/b": OURS}, {"a": BASE, "c": THEIRS})
    assert sorted(result.tree) == ["a/b", "c"]
    assert result.kept == ()


@pytest.mark.parametrize(("rendered", "main"), [("a/b", "a"), ("a", "a/b"), ("a/b/c", "a"), ("a", "a/b/c")])
def test_a_file_and_a_folder_of_one_name_do_not_meet(rendered: str, main: str) -> None:
    """Git could not hold both, and GitHub would drop what people have."""
    result = merged({}, {rendered: OURS, "x": OURS}, {main: THEIRS})
    assert sorted(result.tree) == sorted([main, "x"])
    assert [(kept.path, kept.reason) for kept in result.kept] == [
        (rendered, "`a` is a folder on one side and a file on the other")
    ]


def test_without_a_base_nothing_of_main_is_changed() -> None:
    main = {"a": THEIRS, "b": THEIRS, "same": OURS}
    result = merged({}, {"a": OURS, "new": OURS, "same": OURS}, main)
    assert contents(result, main, {"": OURS}) == {**main, "new": OURS}
    assert [kept.path for kept in result.kept] == ["a"]


# --- lines, by Git ---------------------------------------------------------------------------------------------------
def test_a_missing_git_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FleetError, match="`git`: is not on PATH"):
        merge_lines(base=BASE, rendered=OURS, main=THEIRS)


def test_what_git_takes_for_binary_is_told() -> None:
    with pytest.raises(FleetError, match="git merge-file"):
        merge_lines(base=b"\0", rendered=b"\0a", main=b"\0b")


# --- marks -----------------------------------------------------------------------------------------------------------
SHA = "0123456789" * 4


def test_a_marker_is_read_as_it_was_written() -> None:
    assert marks.read_marker(marks.write_marker(SHA).decode()) == SHA
    assert marks.read_marker(marks.write_marker().decode()) is None
    assert marks.read_marker(f"# {SHA}\n") is None
    assert marks.read_marker("") is None


def test_a_commit_is_ours_only_with_its_own_tree() -> None:
    message = marks.write_message("Title", rendered=SHA, tree="a" * 40)
    assert marks.read_rendered(message) == SHA
    assert marks.is_ours(message, "a" * 40)
    assert not marks.is_ours(message, "b" * 40)
    assert not marks.is_ours("Merge branch 'main' into fleet/update", "a" * 40)
    assert marks.read_rendered("Merge branch 'main'") is None


# --- what reviewers read ---------------------------------------------------------------------------------------------
def test_a_difference_is_shown_from_what_stays_to_what_is_rendered() -> None:
    body = proposal.write_body("main", [Kept(path="a/f", reason="why", main=b"1\nm\n", rendered=b"1\nr\n")], known=True)
    assert "- `a/f`: why\n\n  ```diff\n  @@ -1,2 +1,2 @@\n   1\n  -m\n  +r\n  ```" in body


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    body = proposal.write_body("main", [Kept(path="f", reason="", main=b"````\n", rendered=b"x\n")], known=True)
    assert body.count("`````") == 2


def test_long_differences_are_cut() -> None:
    long = b"".join(b"%d\n" % number for number in range(100))
    body = proposal.write_body("main", [Kept(path="f", reason="", main=long, rendered=b"")], known=True)
    assert "  -38\n  … 61 more lines\n" in body


@pytest.mark.parametrize("line", [b"x" * 500, b"x"])
def test_a_body_stays_within_what_github_takes(line: bytes) -> None:
    """Every file is long, and there are many; names come before differences."""
    long = b"".join(b"%d %s\n" % (number, line) for number in range(100))
    kept = [Kept(path=f"{number}/{'f' * 80}", reason="why " * 8, main=long, rendered=b"") for number in range(1000)]
    body = proposal.write_body("main", kept, known=True)
    named = body.count("f`: why")
    assert len(body) < 65_536
    assert 200 < named < 1000
    assert f"and {1000 - named} more" in body
    assert 0 < body.count("```diff") < named
