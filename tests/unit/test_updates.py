"""A stack of an update environment has image automation run, and proposes what was pushed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet.manifests.automation import PROPOSED
from tests.checkout import Checkout, secret_value
from tests.github_double import GitHubDouble, serve
from tests.reader import Reader

pytestmark = pytest.mark.github

OWNER = "acme-platform"


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    """Both repositories have a branch that is ahead of main."""
    with serve() as github:
        github.tokens = {secret_value("updateToken")}
        for name in ("infra", "apps"):
            live = github.create(OWNER, name, auto_init=True)
            live.git.refs[f"refs/heads/{PROPOSED}"] = live.head()
            live.commit({"version": b"2"}, PROPOSED, "Automated chart update")
        yield github


def test_what_was_pushed_is_proposed(checkout: Checkout, reader: Reader, github: GitHubDouble) -> None:
    """By the very token that pushed it, so that checks run; a repository without news is left alone."""
    reader.pushed = {"infra-update": "c0ffee", "apps-update": ""}
    outputs = checkout.run("update", gitUrl=github.url).outputs
    (pull,) = github.repository(OWNER, "infra").pulls.values()
    assert (pull.head, pull.base) == (PROPOSED, "main")
    assert outputs["pull_requests"] == {"infra": f"https://github.com/{OWNER}/infra/pull/{pull.number}"}
    assert not github.repository(OWNER, "apps").pulls


def test_without_news_github_is_not_asked(checkout: Checkout, reader: Reader, github: GitHubDouble) -> None:
    reader.pushed = {"infra-update": "", "apps-update": ""}
    assert "pull_requests" not in checkout.run("update", gitUrl=github.url).outputs
    assert reader.automated == ["update"]
    assert not github.calls


def test_a_preview_starts_nothing(checkout: Checkout, reader: Reader, github: GitHubDouble) -> None:
    reader.pushed = {"infra-update": "c0ffee"}
    checkout.run("update", preview=True, kind_exists=True, gitUrl=github.url)
    assert not reader.automated
    assert not github.calls


def test_other_environments_run_no_automation(checkout: Checkout, reader: Reader) -> None:
    checkout.run("staging")
    assert not reader.automated
