"""The lock files pin every package by version and hash, and say nothing of where packages come from."""

from __future__ import annotations

import re

import pytest

from tests.architecture.checkout import ROOT

LOCKS = ["requirements.txt", "requirements-dev.txt"]
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


def test_both_locks_agree() -> None:
    runtime, dev = (pins(name) for name in LOCKS)
    assert {name: dev[name] for name in dev.keys() & runtime.keys()} == {
        name: runtime[name] for name in dev.keys() & runtime.keys()
    }
