"""The lock files pin every package by version and hash, and say nothing of where packages come from."""

from __future__ import annotations

import re
import tomllib

import pytest

from fleet.resources.clusters.extras import PACKAGES
from tests.architecture.checkout import ROOT

EXTRAS = {name: f"requirements-{name}.txt" for name in PACKAGES}
LOCKS = ["requirements.txt", "requirements-dev.txt", *EXTRAS.values()]
PACKAGE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][\w.]*)(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)")


def entries(name: str) -> list[str]:
    """The entries of a lock file, comments dropped and continued lines joined."""
    text = (ROOT / name).read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r" \\\n\s*", " ", "\n".join(lines)).split("\n")


def pins(name: str) -> dict[str, str]:
    matches = [PACKAGE.fullmatch(entry) for entry in entries(name) if entry]
    return {match["name"]: match["version"] for match in matches if match}


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_is_an_exact_version_with_hashes(name: str) -> None:
    assert [entry for entry in entries(name) if entry and not PACKAGE.fullmatch(entry)] == []
    assert pins(name)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address(name: str) -> None:
    assert not re.findall(r"\S*(?://|index-url|find-links|trusted-host)\S*", (ROOT / name).read_text())


@pytest.mark.parametrize("name", LOCKS)
def test_every_wish_is_locked(name: str) -> None:
    wishes = re.findall(r"^[a-z][\w-]*", (ROOT / name).with_suffix(".in").read_text().lower(), re.MULTILINE)
    assert {*wishes} <= pins(name).keys()


@pytest.mark.parametrize("name", LOCKS[1:])
def test_a_lock_agrees_with_the_runtime(name: str) -> None:
    """It is installed on top, and must change nothing that is there."""
    runtime, other = pins(LOCKS[0]), pins(name)
    assert [package for package in other.keys() & runtime.keys() if other[package] != runtime[package]] == []


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_declared_locked_and_adds_its_package_alone(extra: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    assert declared["optional-dependencies"][extra] == {"file": [f"requirements-{extra}.in"]}
    assert pins(EXTRAS[extra]).keys() - pins(LOCKS[0]).keys() == {PACKAGES[extra]}


def test_make_locks_and_installs_them_all() -> None:
    """The environment of `up` is that of the first two; the tests and checks add the rest."""
    words = (ROOT / "Makefile").read_text()
    assert f"\nLOCKS := {' '.join(LOCKS[:2])}\n" in words
    assert f"\nCLOUD_LOCKS := {' '.join(EXTRAS.values())}\n" in words
    needs = dict(re.findall(r"^([a-z]+): (\$\([A-Z]+\))", words, re.MULTILINE))
    assert {verb for verb, stamp in needs.items() if stamp == "$(CLOUDS)"} == {"test", "check"}
