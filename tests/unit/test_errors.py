"""How faults are told: one title, every problem with its path, the hint below it."""

from __future__ import annotations

import pytest

from fleet.errors import ClusterError, ConfigError, FleetError, Problem, ToolError, did_you_mean


def test_an_error_prints_its_problems_in_the_order_in_which_they_were_found() -> None:
    problems = [Problem("b.yaml.x", "is wrong", "make it right"), Problem("a.yaml", "two\nlines")]
    assert str(ConfigError(iter(problems))).splitlines() == [
        "the configuration is not valid, nothing was changed (2 problems)",
        "  b.yaml.x: is wrong",
        "      hint: make it right",
        "  a.yaml: two",
        "  lines",
    ]


def test_one_problem_is_no_plural_and_an_empty_hint_is_not_printed() -> None:
    assert str(FleetError([Problem("a", "b")])) == "fleet cannot go on (1 problem)\n  a: b"


def test_the_problems_of_an_error_can_be_added_to_others() -> None:
    problem = Problem("a", "b")
    assert ConfigError([problem]).problems == (problem,)


def test_each_kind_of_error_has_a_title_of_its_own() -> None:
    kinds = (FleetError, ConfigError, ClusterError, ToolError)
    assert len({kind.title for kind in kinds}) == len(kinds)
    assert all(issubclass(kind, FleetError) for kind in kinds)


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("enviroment", ["environment", "clusters"], "did you mean `environment`?"),
        ("x", ["b", "a"], "known: `a`, `b`"),
        ("x", [], ""),
    ],
)
def test_the_hint_for_an_unknown_word_is_the_nearest_one_or_all(word: str, known: list[str], hint: str) -> None:
    assert did_you_mean(word, known) == hint
