"""Commits a tree of files to a bare repository on disk, as a merge on GitHub would.

Called by `publish`. It writes the repository itself and not by a push, so the server needs no way in; `git_server` may
read all the while, since objects are there before a branch points at them. A commit follows from files, author and
history alone: in a new sandbox the same files are the same commit.
Left out on purpose: signatures, and removing what left the fleet, which GitHub would keep too.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.cluster.home import make_folder

if TYPE_CHECKING:
    from dulwich.object_store import MemoryObjectStore
    from dulwich.objects import ObjectID
    from dulwich.repo import Repo

FILE: Final = 0o100644
EXECUTABLE: Final = 0o100755
DATE: Final = 0
"""Of every commit, seconds since 1970: a clock would make another commit of the same content."""
MESSAGE: Final = b"Update from fleet.yaml\n"


def commit(folder: Path, files: Mapping[str, bytes], *, branches: Sequence[str], author: str) -> str:
    """Makes every branch hold exactly `files` (path → content) and returns the commit's hash.

    An unchanged tree stays the commit that it is; a changed one comes on top of the first of the branches.
    """
    from dulwich.objects import Commit
    from dulwich.refs import Ref

    refs = [Ref(f"refs/heads/{branch}".encode()) for branch in branches]
    with _open(folder, branches[0]) as repository:
        objects, tree = _make_tree(files)
        known = repository.get_refs()
        head = known.get(refs[0])
        if head is None or _tree_of(repository, head) != tree:
            made = Commit()
            made.tree, made.parents = tree, [head] if head else []
            made.author = made.committer = author.encode()
            made.author_time = made.commit_time = DATE
            made.author_timezone = made.commit_timezone = 0
            made.message = MESSAGE
            objects.add_object(made)
            new = [objects[sha] for sha in objects if sha not in repository.object_store]
            repository.object_store.add_objects([(each, None) for each in new])
            head = made.id
        for ref in refs:
            if known.get(ref) != head:
                repository.refs[ref] = head
    return head.decode()


def _open(folder: Path, branch: str) -> Repo:
    """The bare repository at `folder`, made in one step when it is not there."""
    from dulwich.repo import Repo

    if not folder.exists():
        draft = make_folder(folder.parent) / f".{folder.name}.new"
        shutil.rmtree(draft, ignore_errors=True)
        Repo.init_bare(draft, mkdir=True, default_branch=branch.encode()).close()
        draft.rename(folder)
    return Repo(str(folder))


def _make_tree(files: Mapping[str, bytes]) -> tuple[MemoryObjectStore, ObjectID]:
    """All objects of a tree, and its hash. A file that names its interpreter is executable, as the seed has it."""
    from dulwich.index import commit_tree
    from dulwich.object_store import MemoryObjectStore
    from dulwich.objects import Blob

    objects, entries = MemoryObjectStore(), []
    for path, content in files.items():
        blob = Blob.from_string(content)
        objects.add_object(blob)
        entries.append((path.encode(), blob.id, EXECUTABLE if content.startswith(b"#!") else FILE))
    return objects, commit_tree(objects, entries)


def _tree_of(repository: Repo, sha: ObjectID) -> ObjectID:
    from dulwich.objects import Commit, ObjectID

    found = repository[sha]
    assert isinstance(found, Commit)
    return ObjectID(found.tree)
