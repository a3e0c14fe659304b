"""What sandbox tests share: the built parts, from the cache that `make up` uses too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.build import Parts, build


@pytest.fixture(scope="session")
def parts() -> Parts:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return build(cache / "fleet")
