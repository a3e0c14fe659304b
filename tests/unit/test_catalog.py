"""The built-in catalog: each entry is valid as it is, and an entry of fleet.yaml is laid over it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from fleet import config
from fleet.model import parse_fleet, with_catalog
from fleet.model.catalog import SECTIONS, fitting, merge

CATALOG: Final = config.catalog()
FLEET: Final[dict[str, Any]] = {
    "design": "oci",
    "owner": "acme",
    "bot": {"name": "bot"},
    "teams": {"web": {"role": "platform"}},
    "environments": {"staging": {"tracks": "main"}, "production": {"tracks": "releases"}},
    "clusters": {"staging": {"environment": "staging"}},
}
BASE: Final = {"a": {"releases": {"x": {"version": "1.0.0", "environments": {"qa": {"n": 1}, "dev": {}}}}}}
"""A catalog with one entry."""


def filled(section: str, entries: Any, catalog: Any = BASE, **fleet: Any) -> Any:
    raw, problems = with_catalog({section: entries, "environments": {"qa": {}}} | fleet, catalog, "fleet.yaml")
    assert problems == []
    return raw[section]


@pytest.mark.parametrize(
    ("section", "word"), [(section, word) for section in SECTIONS for word in fitting(section, CATALOG)]
)
def test_every_entry_is_valid_and_complete(section: str, word: str) -> None:
    """Also under another name than its own."""
    entry = {"catalog": word, **({"team": "web"} if section == "tenants" else {})}
    raw, problems = with_catalog(FLEET | {section: {"mine": entry}}, CATALOG, "fleet.yaml")
    assert problems == []
    workload = getattr(parse_fleet(raw), section)["mine"]
    assert workload.releases
    for release in workload.releases.values():
        assert set(release.environments) <= {"staging", "production"}


def test_every_entry_fits_components_and_no_entry_names_a_team() -> None:
    """What an entry gives is not required in fleet.yaml; the JSON schema counts on the team being required."""
    assert fitting("components", CATALOG) == CATALOG
    assert not [word for word, entry in CATALOG.items() if "team" in entry]


def test_an_entry_without_a_word_is_that_of_its_name_if_there_is_one() -> None:
    start = {"releases": {"x": {"version": "1.0.0", "environments": {"qa": {"n": 1}}}}}
    assert filled("components", {"a": {}, "b": {}, "c": {"catalog": "a"}, "d": None}) == {
        "a": start,
        "b": {},
        "c": start | {"catalog": "a"},
        "d": {},
    }


def test_own_keys_win_and_the_rest_stays() -> None:
    own = {"releases": {"x": {"version": "2.0.0", "environments": {"qa": {"m": 2}}}, "y": {}}}
    assert filled("components", {"a": own})["a"]["releases"] == {
        "x": {"version": "2.0.0", "environments": {"qa": {"n": 1, "m": 2}}},
        "y": {},
    }


def test_a_tenant_gets_no_entry_with_custom_resources() -> None:
    """It may not apply them; a tenant that happens to be called `monitoring` starts empty."""
    catalog: dict[str, Any] = {"a": {"configs": {}}}
    assert filled("tenants", {"a": {"team": "web"}}, catalog) == {"a": {"team": "web"}}
    _, (problem,) = with_catalog({"tenants": {"b": {"catalog": "a"}}}, catalog, "fleet.yaml")
    assert problem.path == "fleet.yaml.tenants.b.catalog"


def test_what_was_given_stays_as_it_was() -> None:
    own: dict[str, Any] = {"a": {"releases": {"x": {"version": "2.0.0"}}}}
    filled("components", own)
    assert own == {"a": {"releases": {"x": {"version": "2.0.0"}}}}
    assert BASE["a"]["releases"]["x"]["environments"] == {"qa": {"n": 1}, "dev": {}}


@pytest.mark.parametrize("malformed", [[], "a", 1, {"a": "b"}, {"a": {"catalog": ["a"]}}, {1: {}}])
def test_what_is_no_mapping_is_left_to_the_model(malformed: Any) -> None:
    _, problems = with_catalog({"components": malformed}, BASE, "fleet.yaml")
    assert problems == []


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2}}, {"a": {"b": 2, "c": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_maps_merge_and_everything_else_is_replaced(below: Any, above: Any, merged: Any) -> None:
    assert merge(below, above) == merged
