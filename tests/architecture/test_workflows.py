"""The workflows of this repository: nothing runs that is not pinned, and nothing has more rights than it needs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.architecture.checkout import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow() -> None:
    assert WORKFLOWS


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param.read_text())


def test_actions_are_pinned_by_commit_with_their_version(text: str) -> None:
    uses = [line.strip(" -") for line in text.splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


def test_a_workflow_may_only_read(text: str) -> None:
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    assert {str(job["permissions"]) for job in workflow["jobs"].values()} == {"{'contents': 'read'}"}
    assert "pull_request_target" not in text


def test_no_credential_is_left_in_the_checkout(text: str) -> None:
    checkouts = [step for step in steps(yaml.safe_load(text)) if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_job_ends_in_time(text: str) -> None:
    assert all(job["timeout-minutes"] <= 90 for job in yaml.safe_load(text)["jobs"].values())
