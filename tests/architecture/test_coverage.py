"""Every promise of the reference is shown by a test, and the page that lists them is up to date."""

from __future__ import annotations

import ast

from tests import coverage


def test_every_promise_is_shown_by_a_test() -> None:
    shown = coverage.marks()
    assert [line for line in coverage.promises() if line not in shown] == []


def test_no_test_shows_a_promise_that_nobody_made() -> None:
    assert coverage.marks().keys() <= coverage.promises().keys()


def test_all_promises_are_listed() -> None:
    assert list(coverage.promises()) == [f"R{number}" for number in range(1, 178)]
    assert all(coverage.promises().values())


def test_the_page_is_made_of_the_marks(update_golden: bool) -> None:
    page = coverage.page(coverage.promises(), coverage.marks())
    if update_golden:
        coverage.PAGE.write_text(page)
    assert coverage.PAGE.read_text() == page


def test_marks_are_found_where_pytest_finds_them() -> None:
    module = ast.parse("@pytest.mark.covers('R1', 'R2')\ndef test_x(): ...\n\ndef helper(): ...\n")
    assert list(coverage._marked(module)) == [("test_x", ["R1", "R2"])]
