"""Fixtures of the whole program: a checkout to run it in, and who answers in place of its clusters.

And the schemas of the CRDs, for rendering.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.resources import automation, live
from fleet.resources.clusters.kind import host
from tests.checkout import Checkout
from tests.kubernetes_api import KubernetesApi, serve
from tests.reader import Reader
from tests.rendering import Schemas, find_schemas


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    found = Checkout(tmp_path)
    monkeypatch.setattr(host, "look", found.kinds.look)
    return found


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Clusters that can be read; without this fixture they are asked for real, and nothing listens there."""
    stand_in = Reader()
    monkeypatch.setattr(live, "read", stand_in)
    monkeypatch.setattr(live, "ask", stand_in.ask)
    monkeypatch.setattr(automation, "run_once", stand_in.automate)
    return stand_in


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    """A server that answers as a Kubernetes API server does."""
    with serve() as api:
        yield api


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return find_schemas()
