"""The double of GitHub keeps what Git would keep, and takes and gives only what GitHub's description knows."""

from __future__ import annotations

import base64
import os
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_schema, parse, validate

from fleet.github import queries
from tests.github_double import TOKEN, Fault, GitHubDouble, contract, graphql_api, rest_git, serve
from tests.github_double.cut_schema import cut
from tests.github_double.git import ZERO, Item
from tests.github_double.repository import Repository
from tests.github_double.seeder import Seeder

pytestmark = pytest.mark.github

DOCUMENTS = [queries.LOOK, queries.REPLACE, queries.contents([ZERO])]
REPO = "/repos/acme/fleet"


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as github:
        yield github


@pytest.fixture
def repository(github: GitHubDouble) -> Repository:
    return github.create("acme", "fleet", auto_init=True)


def ask(github: GitHubDouble, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer, without the client under test."""
    given = {"Authorization": f"Bearer {TOKEN}", **headers}
    with httpx.Client(base_url=github.url, headers=given, trust_env=False) as client:
        answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
    return answer.status_code, answer.json() if answer.content else None


def violation(use: Callable[[GitHubDouble], object]) -> str:
    """What the double says at the end of a test that did this."""

    def test() -> None:
        with serve() as github:
            github.create("acme", "fleet", auto_init=True)
            use(github)

    with pytest.raises(AssertionError) as raised:
        test()
    return str(raised.value)


# --- Git -------------------------------------------------------------------------------------------------------------
def test_git_itself_finds_no_fault_with_its_objects(github: GitHubDouble, tmp_path: Path) -> None:
    """After a first run, a proposal and a merge: every object, as Git would have written it."""
    seeder = Seeder(github)
    seeder.seed({"a/b.sh": b"1\n", "a.b": b"2\n", "a0/ä": b"3\n"})
    seeder.seed({"a/b.sh": b"1\n", "c": b"4\n"})
    seeder.repository.merge(1)
    environment = {"PATH": os.environ["PATH"], "GIT_DIR": str(tmp_path), "HOME": str(tmp_path)}

    def git(*arguments: str) -> str:
        result = subprocess.run(["git", *arguments], env=environment, check=True, capture_output=True, text=True)
        return (result.stdout + result.stderr).strip()

    git("init", "--quiet", "--bare")
    for sha, (kind, body) in seeder.repository.git.objects.items():
        file = tmp_path / "objects" / sha[:2] / sha[2:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(b"%s %d\0%s" % (kind.encode(), len(body), body)))
    for ref, sha in seeder.repository.git.refs.items():
        git("update-ref", ref, sha)
    git("symbolic-ref", "HEAD", "refs/heads/main")
    assert [line for line in git("fsck", "--strict", "--full").splitlines() if "dangling" not in line] == []
    listed = git("ls-tree", "-r", "--name-only", "-z", "main").split("\0")
    assert set(filter(None, listed)) == seeder.repository.files().keys()
    assert git("show", "main:a/b.sh") == "1"


def test_a_branch_and_its_history(repository: Repository) -> None:
    first, second = repository.head(), repository.commit({"a": b"1"})
    assert repository.git.ancestry(second) == {first, second}
    assert repository.git.commit(second).parents == (first,)
    assert repository.files() == {"README.md": b"# fleet\n", "a": b"1"}
    assert repository.git.resolve("refs/heads/main:a") == repository.entries()["a"].sha
    assert repository.git.resolve("refs/heads/main:b") is None
    assert repository.git.resolve("refs/heads/gone") is None


# --- the description -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"tree": [], "depth": 1}, "request of git/create-tree: `depth` is unknown to GitHub"),
        ({"tree": [{"path": "a", "owner": "me"}]}, "request of git/create-tree: `tree.owner` is unknown to GitHub"),
        ({}, "request of git/create-tree: tree: Field required"),
        ({"tree": [{"path": 1}]}, "request of git/create-tree: tree.0.path"),
        ({"tree": [{"path": "a", "mode": "644", "type": "blob", "content": ""}]}, "tree.0.mode"),
    ],
)
def test_a_request_that_github_does_not_know_fails_the_test(body: dict[str, Any], told: str) -> None:
    assert told in violation(lambda github: ask(github, "POST", f"{REPO}/git/trees", body))


def test_a_call_that_the_double_does_not_know_fails_the_test() -> None:
    told = violation(lambda github: ask(github, "GET", f"{REPO}/unheard-of"))
    assert told.startswith(f"GET {REPO}/unheard-of: the double has no such operation")


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (201, {"sha": "a"}, "answer 201 of git/create-tree: truncated: Field required"),
        (201, {"sha": "a", "truncated": "no", "tree": []}, "truncated: Input should be a valid boolean"),
        (201, {"sha": "a", "truncated": False, "tree": [], "size": 1}, "`size` is unknown to GitHub"),
        (418, {"message": "teapot"}, "answer 418 of git/create-tree: GitHub does not answer so"),
        (422, {"message": "no"}, "answer 422 of git/create-tree: documentation_url: Field required"),
        (403, {"message": "no", "why": ""}, "answer 403 of git/create-tree: `why` is unknown to GitHub"),
    ],
)
def test_an_answer_that_github_could_not_give_fails_the_test(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: dict[str, Any], told: str
) -> None:
    from tests.github_double import server

    monkeypatch.setitem(server.HANDLERS, "git/create-tree", lambda _: (status, answer))
    body = {"tree": [{"path": "a", "mode": "100644", "type": "blob", "content": ""}]}
    assert told in violation(lambda github: ask(github, "POST", f"{REPO}/git/trees", body))


def test_a_defect_of_the_double_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.github_double import server

    def fail(_: object) -> Any:
        raise ZeroDivisionError

    def use(github: GitHubDouble) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            ask(github, "GET", f"{REPO}/git/trees/{ZERO}")

    monkeypatch.setitem(server.HANDLERS, "git/get-tree", fail)
    assert "ZeroDivisionError" in violation(use)


def test_every_operation_is_githubs() -> None:
    """Method and path come from the description."""
    described = {name: contract.describe(name) for name in rest_git.HANDLERS}
    update = described["git/update-ref"]
    assert update.match("PATCH", f"{REPO}/git/refs/heads/fleet/update") == {
        "owner": "acme", "repo": "fleet", "ref": "heads/fleet/update",
    }  # fmt: skip
    assert update.match("POST", f"{REPO}/git/refs/heads/main") is None
    assert update.match("PATCH", f"{REPO}/git/refs") is None
    assert described["repos/create-or-update-file-contents"].match("PUT", f"{REPO}/contents/a%20b/c") == {
        "owner": "acme", "repo": "fleet", "path": "a b/c",
    }  # fmt: skip
    assert sorted(update.errors) == [409, 422]
    assert described["git/delete-ref"].response is None


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ('query { repository(owner: "acme", name: "fleet") { stars } }', "Cannot query field 'stars'"),
        ('query { repository(owner: "acme") { id } }', "of type 'String!' is required"),
    ],
)
def test_a_query_that_githubs_schema_does_not_know_fails_the_test(query: str, told: str) -> None:
    assert told in violation(lambda github: ask(github, "POST", "/graphql", {"query": query}))


def test_our_queries_are_in_githubs_schema() -> None:
    for document in DOCUMENTS:
        assert validate(graphql_api.schema(), parse(document)) == []


def test_a_cut_schema_is_cut_to_itself() -> None:
    once = cut(build_schema(graphql_api.SCHEMA.read_text()), DOCUMENTS)
    assert cut(build_schema(once), DOCUMENTS) == once
    assert "Repository" in once


# --- rules -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def commit(repository: Repository) -> str:
    """A child of main that no branch shows."""
    head = repository.git.commit(repository.head())
    return repository.git.put_commit(head.tree, [head.sha], "Work", head.author)


def replace(github: GitHubDouble, repository: Repository, before: str, after: str) -> Any:
    names = {"repository": repository.node_id, "name": "refs/heads/main", "before": before, "after": after}
    return ask(github, "POST", "/graphql", {"query": queries.REPLACE, "variables": names})[1]


def test_git_data_needs_a_first_commit(github: GitHubDouble) -> None:
    github.create("acme", "fleet")
    body = {"tree": [{"path": "a", "mode": "100644", "type": "blob", "content": ""}]}
    assert ask(github, "POST", f"{REPO}/git/trees", body)[0] == 409
    assert ask(github, "PUT", f"{REPO}/contents/a", {"message": "m", "content": ""})[0] == 201
    assert ask(github, "POST", f"{REPO}/git/trees", body)[0] == 201


def test_a_branch_moves_only_forward(github: GitHubDouble, repository: Repository, commit: str) -> None:
    old = repository.head()
    assert ask(github, "PATCH", f"{REPO}/git/refs/heads/main", {"sha": commit})[0] == 200
    status, answer = ask(github, "PATCH", f"{REPO}/git/refs/heads/main", {"sha": old})
    assert (status, answer["message"]) == (422, "Update is not a fast forward")
    assert ask(github, "PATCH", f"{REPO}/git/refs/heads/main", {"sha": old, "force": True})[0] == 200
    assert repository.head() == old


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/git/refs", {"ref": "refs/heads/main", "sha": "{head}"}, 422, "Reference already exists"),
        ("POST", "/git/refs", {"ref": "heads/x", "sha": "{head}"}, 422, "Reference name must start with 'refs/'"),
        ("POST", "/git/refs", {"ref": "refs/heads/x", "sha": ZERO[:-1] + "1"}, 422, "Object does not exist"),
        ("PATCH", "/git/refs/heads/x", {"sha": "{head}"}, 422, "Reference does not exist"),
        ("POST", "/git/commits", {"message": "m", "tree": ZERO}, 422, "Tree SHA does not exist"),
        ("GET", f"/git/trees/{ZERO}", None, 404, "Not Found"),
        ("PUT", "/contents/README.md", {"message": "m", "content": ""}, 422, "Invalid request."),
        ("PUT", "/contents/README.md", {"message": "m", "content": "", "sha": ZERO}, 409, "README.md does not match"),
        ("PUT", "/contents/a", {"message": "m", "content": "", "branch": "x"}, 404, "Branch x not found"),
        ("POST", "/pulls", {"title": "t", "head": "x", "base": "main"}, 422, "Validation Failed"),
        ("POST", "/pulls", {"title": "t", "head": "same", "base": "main"}, 422, "Validation Failed"),
        ("PATCH", "/pulls/9", {"title": "t"}, 404, "Not Found"),
    ],
)
def test_what_github_refuses(
    github: GitHubDouble, repository: Repository, method: str, path: str, body: Any, status: int, message: str
) -> None:
    repository.git.refs["refs/heads/same"] = repository.head()
    given = body and {key: repository.head() if value == "{head}" else value for key, value in body.items()}
    answered, answer = ask(github, method, REPO + path, given)
    assert answered == status
    assert answer["message"].startswith(message)


def test_a_protected_branch_takes_pull_requests_only(github: GitHubDouble, repository: Repository, commit: str) -> None:
    repository.protected.add("main")
    head = repository.head()
    status, answer = ask(github, "PATCH", f"{REPO}/git/refs/heads/main", {"sha": commit})
    assert (status, answer["message"].split("\n")[0]) == (422, "Repository rule violations found")
    content = base64.b64encode(b"x").decode()
    assert ask(github, "PUT", f"{REPO}/contents/a", {"message": "m", "content": content})[0] == 409
    assert replace(github, repository, head, commit)["errors"][0]["type"] == "UNPROCESSABLE"
    assert repository.head() == head


def test_compare_and_swap(github: GitHubDouble, repository: Repository, commit: str) -> None:
    head = repository.head()
    assert replace(github, repository, commit, commit)["errors"][0]["type"] == "STALE_DATA"
    assert repository.head() == head
    assert "errors" not in replace(github, repository, head, commit)
    assert "errors" not in replace(github, repository, commit, ZERO)
    assert repository.git.refs == {}


def test_a_pull_request_ends_with_its_branch(github: GitHubDouble, repository: Repository) -> None:
    repository.git.refs["refs/heads/topic"] = repository.head()
    head = repository.commit({"a": b""}, branch="topic")
    body = {"title": "t", "head": "topic", "base": "main"}
    assert ask(github, "POST", f"{REPO}/pulls", body)[1]["number"] == 1
    assert ask(github, "POST", f"{REPO}/pulls", body)[0] == 422
    assert ask(github, "DELETE", f"{REPO}/git/refs/heads/topic")[0] == 204
    assert (repository.pulls[1].state, repository.pulls[1].sha) == ("CLOSED", head)


def test_entries_of_a_tree_are_taken_one_by_one(github: GitHubDouble, repository: Repository) -> None:
    sha = repository.entries()["README.md"].sha
    base = repository.git.commit(repository.head()).tree
    new = {"path": "a/b.sh", "mode": "100755", "type": "blob", "sha": sha}
    gone = {"path": "README.md", "mode": "100644", "type": "blob", "sha": None}
    status, answer = ask(github, "POST", f"{REPO}/git/trees", {"base_tree": base, "tree": [new, gone]})
    assert status == 201
    assert repository.git.files(answer["sha"]) == {"a/b.sh": Item(mode="100755", sha=sha)}
    for wrong in ({**new, "content": ""}, {**new, "sha": ZERO}, {**gone, "path": "x"}):
        assert ask(github, "POST", f"{REPO}/git/trees", {"base_tree": base, "tree": [wrong]})[0] == 422


# --- access and faults -----------------------------------------------------------------------------------------------
def test_a_token_is_needed(github: GitHubDouble, repository: Repository) -> None:
    assert ask(github, "GET", f"{REPO}/git/trees/{repository.head()}", Authorization="Bearer other")[0] == 401
    assert ask(github, "GET", f"{REPO}/git/trees/{repository.head()}")[0] == 200


def test_a_fault_hits_the_calls_that_it_names(github: GitHubDouble, repository: Repository) -> None:
    path = f"{REPO}/git/trees/{repository.head()}"
    github.faults = [Fault(calls="GET .*trees", skip=1, times=2, status=500, headers={"Retry-After": "3"})]
    assert [ask(github, "GET", path)[0] for _ in range(4)] == [200, 500, 500, 200]
    assert [call.status for call in github.calls] == [200, 500, 500, 200]


@pytest.mark.parametrize(("drop", "moved"), [("before", False), ("after", True)])
def test_an_answer_is_lost(github: GitHubDouble, repository: Repository, commit: str, drop: Any, moved: bool) -> None:
    github.faults = [Fault(drop=drop)]
    with pytest.raises(httpx.RemoteProtocolError):
        ask(github, "PATCH", f"{REPO}/git/refs/heads/main", {"sha": commit})
    assert (repository.head() == commit) is moved


def test_an_enterprise_server_refuses_a_version_that_it_does_not_know(github: GitHubDouble) -> None:
    version = {"X-GitHub-Api-Version": "2026-03-10"}
    assert ask(github, "GET", f"/api/v3{REPO}/git/trees/{ZERO}", **version)[0] == 400
