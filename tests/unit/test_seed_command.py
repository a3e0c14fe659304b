"""`python -m fleet seed`: whose credential it takes, what it prints, and that no secret is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.cli.seed import seed
from fleet.config import FLEET_FILE, load_fleet
from fleet.errors import FleetError
from fleet.github import App, Token, api_of, read_auth
from fleet.github.marks import BOT_BRANCH, MARKER
from fleet.manifests.trees import trees
from tests.checkout import REPOSITORY
from tests.github_double import TOKEN, Fault, GitHubDouble, serve

pytestmark = pytest.mark.github

KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
APP = {"GITHUB_APP_ID": "7", "GITHUB_APP_INSTALLATION_ID": "8", "GITHUB_APP_PRIVATE_KEY": KEY}


# --- credentials -----------------------------------------------------------------------------------------------------
def test_a_token_and_an_app_come_from_the_environment() -> None:
    assert read_auth({"GITHUB_TOKEN": f" {TOKEN}\n"}) == Token(token=TOKEN)
    assert read_auth({**APP, "GITHUB_TOKEN": ""}) == App(id="7", installation=8, private_key=KEY)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, ["GITHUB_TOKEN: is not set"]),
        ({"GITHUB_TOKEN": TOKEN, **APP}, ["GITHUB_TOKEN: is set, and so is GITHUB_APP_ID"]),
        ({"GITHUB_TOKEN": f"{TOKEN}\nx"}, ["GITHUB_TOKEN: holds characters that no token has"]),
        ({"GITHUB_TOKEN": f"{TOKEN}é"}, ["GITHUB_TOKEN: holds characters that no token has"]),
        ({"GITHUB_APP_ID": "7"}, [f"{name}: is not set" for name in list(APP)[1:]]),
        (
            {"GITHUB_APP_ID": "x", "GITHUB_APP_INSTALLATION_ID": "y", "GITHUB_APP_PRIVATE_KEY": "key.pem"},
            [*(f"{name}: is not a number" for name in list(APP)[:2]), "GITHUB_APP_PRIVATE_KEY: is not a private key"],
        ),
    ],
)
def test_faults_of_the_environment_are_told_all_at_once(environment: dict[str, str], told: list[str]) -> None:
    with pytest.raises(FleetError) as raised:
        read_auth(environment)
    assert len(raised.value.problems) == len(told)
    assert all(str(problem).startswith(line) for problem, line in zip(raised.value.problems, told, strict=True))
    assert not any(value in str(raised.value) for value in environment.values() if len(value) > 7)


def test_a_credential_does_not_show_itself() -> None:
    assert TOKEN not in repr(Token(token=TOKEN))
    assert "c2VjcmV0" not in repr(read_auth(APP))


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://github.example.com", "https://github.example.com/api/v3"),
        ("https://notgithub.com/", "https://notgithub.com/api/v3"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v3"),
    ],
)
def test_the_api_follows_from_the_address(url: str, api: str) -> None:
    assert api_of(url) == api


# --- the command -----------------------------------------------------------------------------------------------------
@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as github:
        yield github


@pytest.fixture
def root(github: GitHubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's files in the git design, whose GitHub may be any; with a token in the environment."""
    declared = yaml.safe_load((REPOSITORY / FLEET_FILE).read_text()) | {"design": "git"}
    declared["github"]["url"] = github.url
    for part in ("environments", "clusters"):
        del declared[part]["update"]  # only the other design has it
    (tmp_path / FLEET_FILE).write_text(yaml.safe_dump(declared, sort_keys=False))
    (tmp_path / "Pulumi.staging.yaml").write_bytes((REPOSITORY / "Pulumi.staging.yaml").read_bytes())
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    return tmp_path


@pytest.fixture
def files(root: Path) -> dict[str, bytes]:
    return trees(load_fleet(root / FLEET_FILE))["infra"]


def run(root: Path, capsys: pytest.CaptureFixture[str], repository: str = "infra", *, check: bool = False) -> Any:
    """What it printed on stdout, as the one line of JSON that it is; stdout and stderr hold no secret."""
    assert seed(Namespace(root=root, stack="staging", repository=repository, check=check)) == 0
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    assert out.count("\n") == 1
    assert err
    return json.loads(out)


def test_what_the_stack_renders_is_seeded(
    github: GitHubDouble, root: Path, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    repository = github.create("acme-platform", "infra")
    told = run(root, capsys)
    assert told == {
        "repository": "acme-platform/infra",
        "action": "seeded",
        "message": f"{len(files)} files in one commit",
        "commit": repository.head(),
        "pullRequest": None,
        "kept": [],
    }
    assert {path: content for path, content in repository.files().items() if path != MARKER} == files
    assert run(root, capsys)["action"] == "unchanged"


def test_a_proposal_names_its_address_and_what_is_kept(
    github: GitHubDouble, root: Path, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    repository = github.create("acme-platform", "infra", auto_init=True)
    path = min(files)
    repository.commit({path: b"mine\n"})
    told = run(root, capsys)
    assert (told["action"], told["commit"]) == ("proposed", repository.head(BOT_BRANCH))
    assert told["pullRequest"] == "https://github.com/acme-platform/infra/pull/1"
    assert path in told["kept"]


def test_a_check_writes_nothing(github: GitHubDouble, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = github.create("acme-platform", "infra")
    assert run(root, capsys, check=True)["action"] == "seeded"
    assert repository.is_empty


def test_every_fault_is_told_before_github_is_asked(
    github: GitHubDouble, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(FleetError) as raised:
        seed(Namespace(root=root, stack="staging", repository="infar", check=False))
    assert [problem.path for problem in raised.value.problems] == ["GITHUB_TOKEN", FLEET_FILE]
    assert raised.value.problems[1].hint == "did you mean `infra`?"
    with pytest.raises(FleetError) as raised:
        seed(Namespace(root=root, stack="nowhere", repository="infra", check=False))
    assert [problem.path for problem in raised.value.problems] == ["Pulumi.nowhere.yaml", "GITHUB_TOKEN"]
    assert github.calls == []


@pytest.mark.parametrize("status", [401, 403, 404, 422, 500])
def test_no_output_holds_the_token(github: GitHubDouble, root: Path, status: int) -> None:
    """As a process of its own, as the program runs it: with all that libraries print, in every kind of failure."""
    github.create("acme-platform", "infra")
    github.faults = [Fault(times=1000, status=status, message="no")]
    code = (
        "import argparse, pathlib, sys\n"
        "import githubkit.core, types\n"
        "githubkit.core.time = types.SimpleNamespace(sleep=lambda _: None)\n"
        "from fleet.cli.seed import seed\n"
        "seed(argparse.Namespace(root=pathlib.Path(sys.argv[1]), stack='staging', repository='infra', check=False))\n"
    )
    environment = {"PATH": os.environ["PATH"], "GITHUB_TOKEN": TOKEN, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, str(root)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "fleet.github.faults." in result.stderr
    assert "GITHUB_TOKEN" in result.stderr or "acme-platform/infra" in result.stderr
    assert TOKEN not in result.stdout + result.stderr
    assert result.stdout == ""
