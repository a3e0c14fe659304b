"""Fixtures of the whole program: a checkout to run it in, and who answers in place of its clusters.

And those of rendering: whether golden files are rewritten, and the schemas of the CRDs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.resources import live
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
