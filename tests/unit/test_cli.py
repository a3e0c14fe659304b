"""`python -m fleet`: what it writes, what it hands to the Pulumi CLI, and what it says when something is missing."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from fleet.cli import main
from fleet.config import FLEET_FILE, load_fleet, secrets_of
from fleet.manifests.trees import trees
from tests.checkout import REPOSITORY

FAKE_PULUMI = f"""\
#!{sys.executable} -IS
import json, os, sys
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int(os.environ.get(f"EXIT_{{sys.argv[1].upper()}}", "0")))
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's files in a folder of their own, which is the current one; nothing is on PATH."""
    for name in (FLEET_FILE, "Pulumi.staging.yaml", "Pulumi.production.yaml", "Pulumi.update.yaml"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def set_secrets(checkout: Path) -> None:
    """Those that stack `staging` needs."""
    with (checkout / "Pulumi.staging.yaml").open("a") as file:
        for key in secrets_of(load_fleet(checkout / FLEET_FILE), "staging", "staging"):
            file.write(f"  fleet:{key}: {{secure: v1:abc}}\n")


@pytest.fixture
def calls(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a `pulumi` on PATH that records; gives the calls so far."""
    program, record = checkout / "path" / "pulumi", checkout / "record"
    program.parent.mkdir()
    program.write_text(FAKE_PULUMI)
    program.chmod(0o755)
    monkeypatch.setenv("RECORD", str(record))
    return lambda: [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def test_render_writes_the_tree_of_every_repository(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder a repository, byte for byte what the program seeds; a second time over itself too."""
    fleet = load_fleet(checkout / FLEET_FILE)
    for _ in range(2):
        assert main(["render", "out"]) == 0
        told = capsys.readouterr().out
    assert [path.name for path in sorted((checkout / "out").iterdir())] == sorted(trees(fleet))
    for repository, tree in trees(fleet).items():
        root = checkout / "out" / repository
        written = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        assert written == tree
        assert f"{Path('out') / repository}: {len(written)} files" in told


TOKENS = """\
Stack `update` needs these secrets; each is set with

  pulumi config set --stack update --secret NAME

registryToken
  Flux pulls the artifacts
  kind          personal access token (classic)
  permissions   read:packages
  reaches       fleet, infra, apps
  on clusters   Secret flux-system/ghcr-auth

updateToken
  image automation pushes chart versions, workflows open pull requests that trigger checks
  kind          fine-grained personal access token
  permissions   Contents: write, Metadata: read, Pull requests: write
  reaches       infra, apps
  on clusters   Secret flux-system/github-auth

"""


@pytest.mark.covers("R102")
def test_the_tokens_of_a_stack_are_listed_with_their_least_permissions(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tokens", "--stack", "update"]) == 0
    assert capsys.readouterr().out == TOKENS


@pytest.mark.parametrize("stack", ["staging", "production", "update"])
def test_what_is_listed_is_what_the_stack_asks_for(
    checkout: Path, stack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of it is needed to be told of it; a chat's address is among them."""
    fleet = checkout / FLEET_FILE
    fleet.write_text(fleet.read_text().replace("  # chat: {", "  chat: {"))
    assert main(["tokens", "--stack", stack]) == 0
    listed = re.findall(r"^\w+$", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(secrets_of(load_fleet(fleet), stack, stack))
    assert ("alertAddress" in listed) is (stack != "update")
    assert ("githubToken" in listed) is (stack == "staging")


@pytest.mark.parametrize(
    ("verb", "command"),
    [
        ("up", ["up", "--continue-on-error", "--stack", "staging"]),
        ("status", ["stack", "output", "--stack", "staging"]),
        ("down", ["destroy", "--stack", "staging"]),
    ],
)
def test_verbs_are_the_clis(checkout: Path, calls: Any, verb: str, command: list[str]) -> None:
    """The stack is made known to the backend first, so that a first `up` needs no preparation."""
    set_secrets(checkout)
    assert main([verb, "--stack", "staging"]) == 0
    assert calls() == [["stack", "select", "--create", "staging"], command]


def test_the_clis_exit_status_is_ours(checkout: Path, calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_secrets(checkout)
    monkeypatch.setenv("EXIT_UP", "255")
    assert main(["up", "--stack", "staging"]) == 255


def test_a_stack_that_cannot_be_selected_is_not_applied(
    checkout: Path, calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_secrets(checkout)
    monkeypatch.setenv("EXIT_STACK", "1")
    assert main(["up", "--stack", "staging"]) == 1
    assert len(calls()) == 1
    assert "stack `staging`: could not be selected" in capsys.readouterr().err


def test_a_missing_secret_is_told_before_the_cli_runs(
    checkout: Path, calls: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "--stack", "staging"]) == 1
    assert calls() == []
    told = capsys.readouterr().err
    for key in ("githubToken", "registryToken", "updateToken"):
        assert f"Pulumi.staging.yaml.{key}: secret `{key}` is not set" in told
        assert f"`pulumi config set --stack staging --secret {key}`" in told


def test_a_cli_that_cannot_be_had_is_told_with_everything_else(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is looked for on PATH, then installed into the project's cache; every missing secret is named as well."""
    asked: list[str] = []

    def install(root: str) -> None:
        asked.append(root)
        raise OSError("no route to host")

    monkeypatch.setattr(automation.PulumiCommand, "install", install)
    assert main(["up", "--stack", "production"]) == 1
    assert asked == [str(checkout / ".cache" / "pulumi")]
    told = capsys.readouterr().err
    for key in ("registryToken", "prodEuKubeconfig", "prodUsKubeconfig"):
        assert f"secret `{key}` is not set" in told
    assert "could not be downloaded: no route to host" in told
    assert "hint: get it from" in told


def test_an_installed_cli_is_used(checkout: Path, calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release that the Automation API puts into the cache does the work when none is on PATH."""
    set_secrets(checkout)
    cached = checkout / ".cache" / "pulumi" / "bin" / "pulumi"
    cached.parent.mkdir(parents=True)
    (checkout / "path" / "pulumi").rename(cached)
    installed = type("Installed", (), {"command": os.fspath(cached)})
    monkeypatch.setattr(automation.PulumiCommand, "install", lambda root: installed)
    assert main(["up", "--stack", "staging"]) == 0
    assert calls()[-1] == ["up", "--continue-on-error", "--stack", "staging"]


def test_an_unknown_stack_is_named(checkout: Path, calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--stack", "stagin"]) == 1
    assert "did you mean `staging`?" in capsys.readouterr().err
