"""Which test shows which promise: `tests/promises.txt` against the marks `covers` in the tests.

`docs/coverage.md` is made of it; `pytest tests/architecture --update-golden` renews it. Marks are read from the
source, so that a test which was not run counts like the others: a skip or a failure is told by the run itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/coverage.md"
HEAD: Final = """\
# What the repositories promise, and the test that shows it

Made by `tests/coverage.py` from the marks `covers` of the tests. `make test` fails when it is stale, or a line has no
test.

| line | promise | shown by |
| --- | --- | --- |
"""


def promises() -> dict[str, str]:
    """The text of every promise, by its number."""
    lines = (ROOT / "tests/promises.txt").read_text().splitlines()
    return {number: text for number, _, text in (line.partition(" ") for line in lines)}


def marks() -> dict[str, list[str]]:
    """The tests that show a line, as `file::test`, by its number; in the order of the files."""
    found: dict[str, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for test, lines in _marked(ast.parse(file.read_text())):
            for line in lines:
                found.setdefault(line, []).append(f"{file.relative_to(ROOT).as_posix()}::{test}")
    return found


def page(texts: Mapping[str, str], shown: Mapping[str, list[str]]) -> str:
    """The content of `docs/coverage.md`."""
    rows = (f"| {line} | {_cell(text)} | {_tests(shown.get(line, []))} |\n" for line, text in texts.items())
    return HEAD + "".join(rows)


def _marked(module: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Each test function with the lines that its decorators name; a class is read like a module."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            lines = [line for decorator in node.decorator_list for line in _lines(decorator)]
            if lines:
                yield node.name, lines


def _lines(decorator: ast.expr) -> list[str]:
    match decorator:
        case ast.Call(func=ast.Attribute(attr="covers"), args=arguments):
            return [str(ast.literal_eval(argument)) for argument in arguments]
    return []


def _tests(names: list[str]) -> str:
    """Links to the files; a table stays readable with the names of the tests only."""
    parts = (name.partition("::") for name in names)
    return "<br>".join(f"[{test}](../{file})" for file, _, test in parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
