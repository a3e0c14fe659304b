"""The line merge of one file, by Git itself: the same result that people get from `git merge`.

Called by `merging`. Needs `git` on PATH, and no repository.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from fleet.errors import FleetError, Problem


def merge_lines(*, base: bytes, rendered: bytes, main: bytes) -> tuple[bytes, bool]:
    """`main` with what changed from `base` to `rendered`, and whether both changed the same lines: then main's stay.

    Raises FleetError when `git` is missing or fails.
    """
    with tempfile.TemporaryDirectory(prefix="fleet-merge-") as folder:
        for name, content in (("main", main), ("base", base), ("rendered", rendered)):
            Path(folder, name).write_bytes(content)
        clean = _merge_file(folder)
        if clean.returncode == 0:
            return clean.stdout, False
        return _merge_file(folder, "--ours").stdout, True


def _merge_file(folder: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Exit status: the number of conflicts, or above 127 for an error."""
    command = ["git", "merge-file", "--stdout", "--quiet", *options, "main", "base", "rendered"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except FileNotFoundError as error:
        problem = Problem("`git`", "is not on PATH", "install it: lines that people and fleet both changed need it")
        raise FleetError([problem]) from error
    if not 0 <= result.returncode <= 127:
        raise FleetError([Problem("`git merge-file`", result.stderr.decode(errors="replace").strip())])
    return result
