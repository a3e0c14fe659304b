"""Fixtures of the whole program: a checkout to run it in, and who answers in place of its clusters.

And those of rendering: whether golden files are rewritten, the CRDs' schemas, the programs that the sandbox builds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.resources import live
from sandbox.build import Parts, build
from tests.checkout import Checkout
from tests.reader import Reader
from tests.rendering import Schemas, find_schemas


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files instead of comparing")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Clusters that can be read; without this fixture they are asked for real, and nothing listens there."""
    stand_in = Reader()
    monkeypatch.setattr(live, "read", stand_in)
    return stand_in


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return find_schemas()


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """What the sandbox runs, from the user's cache; built first where it is missing, which takes minutes."""
    from sandbox.up import default_place

    return build(default_place(tmp_path_factory.mktemp("place")).cache)
