"""What clusters of a cloud need on this machine, told before anything is declared."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import ConfigError
from fleet.resources.clusters.extras import COMMANDS, PACKAGES
from tests.checkout import REPOSITORY, Checkout
from tests.reader import Reader
from tests.recording import RecordingMonitor

EKS: dict[str, Any] = {"kind": "eks", "region": "eu-west-1", "subnets": ["subnet-0a", "subnet-0b"]}


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine without the clouds' packages and commands; commands are found in the folder."""
    found, packages = importlib.util.find_spec, {package.replace("-", "_") for package in PACKAGES.values()}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in packages else found(name, *rest)
    )
    folder = tmp_path_factory.mktemp("commands")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_everything_that_is_missing_is_told_at_once_and_nothing_is_declared(
    checkout: Checkout, reader: Reader, lacking: Path
) -> None:
    monitor = RecordingMonitor()
    with pytest.raises(ConfigError) as caught:
        checkout.run("production", clusters={"prod-eu": EKS, "prod-us": EKS}, monitor=monitor)
    told = [line.removeprefix("  ") for line in str(caught.value).splitlines()]
    each = [
        "Pulumi.production.yaml.clusters.{}.kind: `eks` needs the Python package `pulumi-aws`",
        "    hint: `.venv/bin/pip install --no-compile --no-deps --require-hashes -r requirements-eks.txt`",
        "Pulumi.production.yaml.clusters.{}.kind: `eks` needs `aws` on PATH, which signs in to the cluster",
        "    hint: install the AWS CLI (https://aws.amazon.com/cli)",
    ]
    assert told[0] == "the configuration is not valid, nothing was changed (4 problems)"
    assert told[1:] == [line.format(name) for name in ("prod-eu", "prod-us") for line in each]
    assert monitor.registrations == []


def test_the_command_alone_does_not_do(checkout: Checkout, reader: Reader, lacking: Path) -> None:
    (lacking / "aws").touch(0o755)
    with pytest.raises(ConfigError, match=r"\(2 problems\)"):
        checkout.run("production", clusters={"prod-eu": EKS, "prod-us": EKS})


def test_other_kinds_need_none_of_them(checkout: Checkout, reader: Reader, lacking: Path) -> None:
    checkout.run("production")


def test_the_hint_names_a_file_of_the_repository() -> None:
    assert [kind for kind in PACKAGES if not (REPOSITORY / f"requirements-{kind}.txt").is_file()] == []
    assert COMMANDS.keys() == PACKAGES.keys()
