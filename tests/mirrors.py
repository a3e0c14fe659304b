"""A fleet of everything behind a mirror, in both designs, for the tests of mirrors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import yaml

from fleet import config
from fleet.manifests.trees.documents import FLUX
from fleet.model import Fleet, parse_fleet, with_catalog
from tests.rendering import CASES

MIRROR: Final[Mapping[str, Any]] = yaml.safe_load(CASES["mirror"].read_text())["mirror"]
COPIES: Final = ("harbor.internal/mirror", "hub.internal:5000", "harbor.internal/quay")
"""Where copies are, as this mirror has it."""


@cache
def upstream(design: str) -> Fleet:
    """Everything that the catalog has, a repository of code, and what has an address of its own."""
    raw = yaml.safe_load(CASES["default"].read_text()) | {"design": design, "mirror": MIRROR, "flux": {"version": FLUX}}
    raw["components"] |= {"admission": {}}
    raw["tenants"]["frontend"] |= {"source": "web-code"}
    raw["sources"] = ["oci://ghcr.io/partner/"]
    if design == "git":
        raw["tenants"]["local"] = {"team": "web", "releases": {"site": {"chart": "./charts/site", "version": "0.1.0"}}}
    resolved, problems = with_catalog(raw, config.catalog(), "fleet.yaml")
    assert problems == []
    return parse_fleet(resolved)
