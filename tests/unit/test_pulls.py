"""What image automation pushed becomes one pull request, however often it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet.github import GitHubError, Repository, Token, connect
from fleet.github.pulls import propose
from tests.github_double import GitHubDouble, serve
from tests.github_double import repository as double
from tests.github_double.server import TOKEN

pytestmark = pytest.mark.github

HEAD = "image-updates"


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as github:
        yield github


@pytest.fixture
def live(github: GitHubDouble) -> double.Repository:
    """A repository with a commit on main."""
    made = github.create("acme", "infra")
    made.commit({"a": b"1"}, message="First")
    return made


@pytest.fixture
def repository(github: GitHubDouble, live: double.Repository) -> Iterator[Repository]:
    with connect(Token(token=TOKEN), github.url, progress=print) as client:
        yield Repository(github=client, credential="updateToken", owner=live.owner, name=live.name)


def branch_off(live: double.Repository, **files: bytes) -> None:
    live.git.refs[f"refs/heads/{HEAD}"] = live.head()
    for name, content in files.items():
        live.commit({name: content}, HEAD, f"Update {name}\n\nmore words")


def test_a_branch_that_is_ahead_is_proposed(live: double.Repository, repository: Repository) -> None:
    branch_off(live, b=b"2", c=b"3")
    url = propose(repository, HEAD, "Update chart versions")
    (pull,) = live.pulls.values()
    assert (pull.head, pull.base, pull.title) == (HEAD, "main", "Update chart versions")
    assert pull.body == "- Update b\n- Update c"
    assert url is not None
    assert url.endswith(f"{live.full_name}/pull/{pull.number}")


def test_an_open_one_is_found_again(live: double.Repository, repository: Repository) -> None:
    branch_off(live, b=b"2")
    first = propose(repository, HEAD, "One")
    live.commit({"c": b"3"}, HEAD, "Update c")
    assert propose(repository, HEAD, "Two") == first
    assert len(live.pulls) == 1


def test_a_closed_one_is_not_found(live: double.Repository, repository: Repository) -> None:
    """People refused those versions; others come in a new pull request."""
    branch_off(live, b=b"2")
    propose(repository, HEAD, "One")
    live.close(1)
    live.commit({"c": b"3"}, HEAD, "Update c")
    propose(repository, HEAD, "Two")
    assert {pull.title: pull.state for pull in live.pulls.values()} == {"One": "CLOSED", "Two": "OPEN"}


def test_no_branch_and_no_commit_are_nothing_to_propose(live: double.Repository, repository: Repository) -> None:
    assert propose(repository, HEAD, "Title") is None
    branch_off(live)
    assert propose(repository, HEAD, "Title") is None
    assert not live.pulls


def test_a_token_that_may_not_is_told(github: GitHubDouble, live: double.Repository) -> None:
    branch_off(live, b=b"2")
    with (
        connect(Token(token="wrong"), github.url, progress=print) as client,  # noqa: S106
        pytest.raises(GitHubError, match="updateToken"),
    ):
        propose(Repository(github=client, credential="updateToken", owner=live.owner, name=live.name), HEAD, "Title")
