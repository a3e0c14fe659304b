"""No credential of the stack that makes the repositories shows anywhere in the clear."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.errors import Problem
from fleet.github.faults import GitHubError
from fleet.github.preflight import Answer, Unreachable
from fleet.github.requirements import PreflightError
from fleet.model import credentials_of
from sandbox.program.registration import Secret, reveal
from tests.github_stack import GOOD, STACK, GitHubStack, fleet_file, git_file, value_of
from tests.reader import Reader

pytestmark = pytest.mark.github

APPS = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases", "auth": "app"}}
CASES = {
    "oci": fleet_file(),
    "git": git_file(),
    "apps": git_file(environments=APPS),
    "oci with apps": fleet_file(environments=APPS),
}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader) -> GitHubStack:
    return GitHubStack(tmp_path, monkeypatch)


def secrets(stack: GitHubStack) -> set[str]:
    """Those of this stack that GitHub's side uses."""
    used = credentials_of(stack.fleet, "staging", STACK)
    return {value_of(credential.key) for credential in used if credential.name in ("github", "update")}


def leaks(stack: GitHubStack, *told: object) -> set[str]:
    """Secrets that can be read in what was told; a `Secret` does not show what it holds."""
    text = repr(told)
    return {secret for secret in secrets(stack) if secret in text or repr(secret)[1:-1] in text}


def test_the_search_finds_what_is_open(stack: GitHubStack) -> None:
    """The tests below prove what they say only if this holds."""
    token = value_of("githubToken")
    assert leaks(stack, [{"key": f"x{token}"}]) == {token}
    assert leaks(stack, {"key": Secret(token)}) == set()


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_told_by_a_run(
    stack: GitHubStack,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
    preview: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    stack.file = CASES[name]
    run = stack.run(preview=preview)
    told = (run.monitor.registrations, run.monitor.outputs, run.outputs, capfd.readouterr(), caplog.text)
    assert leaks(stack, *told, stack.oracle.asked) == set()
    used = repr([reveal(dict(asked.inputs)) for asked in run.monitor.registrations])
    assert {secret for secret in secrets(stack) if repr(secret)[1:-1] in used or secret in used} == secrets(stack)


@pytest.mark.parametrize("name", CASES)
def test_each_secret_is_secret_where_it_is_used(stack: GitHubStack, name: str) -> None:
    """Marked by the program itself, not by what a provider happens to know of its inputs."""
    stack.file = CASES[name]
    run = stack.run()
    held = [
        value
        for asked in run.resources.values()
        for value in (*asked.inputs.values(), *_environment(asked.inputs))
        if any(secret in str(reveal(value)) for secret in secrets(stack)) and isinstance(value, str | Secret)
    ]
    assert held
    assert all(isinstance(value, Secret) for value in held)


def _environment(inputs: object) -> list[object]:
    found = inputs.get("environment") if isinstance(inputs, dict) else None
    return list(found.values()) if isinstance(found, dict) else []


FAILURES: dict[str, Answer | Exception] = {
    "refused": GitHubError([Problem("`x`", "GitHub does not accept it: Bad credentials")]),
    "unreachable": Unreachable([Problem("GitHub", "cannot be reached")]),
    "faults": replace(GOOD, account=None),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_nothing_is_told_by_a_failure(
    stack: GitHubStack, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    caplog.set_level(logging.DEBUG)
    stack.file = git_file()
    stack.oracle.answer = FAILURES[failure]
    with pytest.raises(PreflightError) as raised:
        stack.run()
    assert leaks(stack, str(raised), str(raised.value), capfd.readouterr(), caplog.text) == set()


def test_nothing_is_told_of_a_value_that_is_no_credential(
    stack: GitHubStack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A token with a line break would be quoted by the HTTP client; the stack's file is named instead."""
    monkeypatch.setattr("tests.github_stack.value_of", lambda key: f"{value_of(key)}\n{value_of(key)}")
    with pytest.raises(PreflightError) as raised:
        stack.run()
    (problem,) = raised.value.problems
    assert problem.path == f"Pulumi.{STACK}.yaml.githubToken"
    assert problem.message == "holds characters that no token has"
    assert leaks(stack, str(raised.value), capfd.readouterr()) == set()
