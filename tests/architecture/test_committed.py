"""What is committed works on any machine: no text names a folder of one, or a host that packages come from."""

from __future__ import annotations

import re

import pytest

from tests.architecture.checkout import committed_texts

# Written in pieces, so that this file does not find itself.
FOLDERS = ("work", "root", "opt/wheels")
HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry", "npmjs", "org"),
    ("proxy", "golang", "org"),
    ("sum", "golang", "org"),
    ("crates", "io"),
    ("repo", "maven", "apache", "org"),
    ("deb", "debian", "org"),
)


def find_places(pattern: str) -> list[str]:
    """`path:line: text` for each line of a committed text in which `pattern` is found."""
    search = re.compile(pattern).search
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in committed_texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if search(line)
    ]


def test_texts_are_found() -> None:
    assert "Makefile" in committed_texts()


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_text_names_a_folder_of_a_machine(folder: str) -> None:
    assert find_places(rf"(?<![\w.}})*-])/{folder}(?![\w.-])") == []


@pytest.mark.parametrize("host", HOSTS, ids="-".join)
def test_no_text_names_a_package_host(host: tuple[str, ...]) -> None:
    assert find_places(r"\b" + r"\.".join(host) + r"\b") == []
