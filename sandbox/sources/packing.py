"""Packs a tree of files as Flux takes it, tar+gzip, so that its bytes follow from the content alone.

Called by `registry` (what is pushed) and `git_kind` (what is served of a commit). Left out on purpose: folders and
links, which nobody here needs.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Collection, Mapping


def pack(files: Mapping[str, bytes], executable: Collection[str] = ()) -> bytes:
    """`files` (path → content), sorted, without times or owners; the same on each machine with the same zlib."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)  # mtime, uid and gid are 0
            entry.size = len(content)
            entry.mode = 0o755 if path in executable else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), compresslevel=1, mtime=0)
