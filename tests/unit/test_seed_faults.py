"""What goes wrong between us and GitHub: it is told, nothing is lost, and the next run reaches the same end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fleet.github import App, GitHubError, Token, connect
from fleet.github.marks import BOT_BRANCH, SEED_REF
from tests.github_double import TOKEN, Fault, GitHubDouble, serve
from tests.github_double import App as InstalledApp
from tests.github_double.faults import primary_limit, secondary_limit
from tests.github_double.seeder import FILES, NEXT, Seeder

pytestmark = pytest.mark.github

FOREVER = 10_000
NEWER = NEXT | {"clusters/edge.yaml": b"b: 2\n"}


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as github:
        yield github


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that githubkit would have waited."""
    waited: list[float] = []
    monkeypatch.setattr("githubkit.core.time", SimpleNamespace(sleep=waited.append))
    return waited


def first(github: GitHubDouble) -> Seeder:
    """Before the first run on an empty repository, which has the most calls."""
    return Seeder(github, auto_init=False)


def update(github: GitHubDouble) -> Seeder:
    """Before a change that people's edits meet."""
    seeder = Seeder(github)
    seeder.seed(FILES)
    seeder.repository.commit({"clusters/prod.yaml": b"mine\n" + FILES["clusters/prod.yaml"]})
    return seeder


def newer(github: GitHubDouble) -> Seeder:
    """Before a change of what is proposed already."""
    seeder = update(github)
    seeder.seed(NEXT)
    return seeder


def withdrawn(github: GitHubDouble) -> Seeder:
    """Before what is proposed is not rendered any more."""
    seeder = update(github)
    seeder.seed(NEXT)
    return seeder


Start = Callable[[GitHubDouble], Seeder]
STARTS: list[tuple[Start, dict[str, bytes], int]] = [
    (first, FILES, 8),
    (update, NEXT, 11),
    (newer, NEWER, 11),
    (withdrawn, FILES, 3),
]
"""How a run starts, what it seeds, and how many calls it makes."""
CUTS = [(start, files, cut) for start, files, count in STARTS for cut in range(count)]
WRITING = [case for case in CUTS if case[0] in (first, update)]
"""Between them they have every kind of call but one, the move of the bot's branch."""


def end_state(seeder: Seeder) -> dict[str, Any]:
    """All that a run leaves, without the names of commits, which differ by time."""
    git, refs = seeder.repository.git, seeder.repository.git.refs
    history = {
        ref: [(git.commit(commit).tree, git.commit(commit).message) for commit in sorted(git.ancestry(sha))]
        for ref, sha in refs.items()
    }
    pulls = [(pull.state, pull.body.split("<!--")[0]) for pull in seeder.repository.pulls.values()]
    return {"refs": {ref: sorted(commits) for ref, commits in history.items()}, "pulls": pulls}


def undisturbed(start: Start, files: dict[str, bytes]) -> dict[str, Any]:
    return _undisturbed(start, tuple(files.items()))


@cache
def _undisturbed(start: Start, files: tuple[tuple[str, bytes], ...]) -> dict[str, Any]:
    with serve() as github:
        seeder = start(github)
        seeder.seed(dict(files))
        return end_state(seeder)


def problem_of(seeder: Seeder, files: dict[str, bytes] = FILES, **options: Any) -> tuple[str, str, str]:
    """Path, message and hint of the one problem that a run ends with."""
    with pytest.raises(GitHubError) as raised:
        seeder.seed(files, **options)
    (problem,) = raised.value.problems
    assert TOKEN not in str(raised.value)
    return problem.path, problem.message, problem.hint


# --- interrupted -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("start", "files", "count"), STARTS)
def test_the_number_of_calls_is_known(github: GitHubDouble, start: Start, files: dict[str, bytes], count: int) -> None:
    """Or the tests below would miss a cut."""
    seeder = start(github)
    seeder.seed(files)
    assert len(seeder.made) == count


@pytest.mark.parametrize("done", [True, False], ids=["done", "not-done"])
@pytest.mark.parametrize(("start", "files", "cut"), CUTS)
def test_an_interrupted_run_is_run_again(
    github: GitHubDouble, start: Start, files: dict[str, bytes], cut: int, done: bool
) -> None:
    """After each single call, which GitHub has carried out or not, nothing gets through any more."""
    seeder = start(github)
    github.faults = [Fault(skip=cut, drop="after" if done else "before"), Fault(skip=cut, times=FOREVER, drop="before")]
    with pytest.raises(GitHubError):
        seeder.seed(files)
    github.faults.clear()
    seeder.seed(files)
    assert end_state(seeder) == undisturbed(start, files)
    assert seeder.seed(files).action in ("unchanged", "proposed")
    assert len(seeder.made) == 1


@pytest.mark.parametrize("done", [True, False], ids=["done", "not-done"])
@pytest.mark.parametrize(("start", "files", "cut"), CUTS)
def test_one_lost_answer_changes_nothing(
    github: GitHubDouble, start: Start, files: dict[str, bytes], cut: int, done: bool
) -> None:
    seeder = start(github)
    github.faults = [Fault(skip=cut, drop="after" if done else "before")]
    seeder.seed(files)
    assert end_state(seeder) == undisturbed(start, files)


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_lost_answer_is_no_refusal(github: GitHubDouble, drop: Literal["before", "after"]) -> None:
    """Main may still be written: nobody said no."""
    seeder = Seeder(github)
    github.faults = [Fault(calls="PATCH .*heads/main", drop=drop)]
    assert seeder.seed(FILES).action == ("seeded" if drop == "before" else "unchanged")
    assert seeder.repository.pulls == {}


# --- limits and server errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("start", "files", "cut"), WRITING)
def test_a_secondary_limit_is_waited_for_and_loses_no_write(
    github: GitHubDouble, waits: list[float], start: Start, files: dict[str, bytes], cut: int
) -> None:
    """A client that repeats a write without its body would pass unseen; ours sends the same bytes."""
    seeder = start(github)
    before = len(github.calls)
    github.faults = [secondary_limit(skip=cut, seconds=7)]
    seeder.seed(files)
    refused, repeated = github.calls[before:][cut : cut + 2]
    assert (refused.method, refused.path, refused.body) == (repeated.method, repeated.path, repeated.body)
    assert bool(refused.body) is (refused.method != "GET")
    assert waits == [7]
    assert "GitHub asks for patience: next try in 7 s" in seeder.told
    assert end_state(seeder) == undisturbed(start, files)


def test_a_secondary_limit_that_does_not_end_is_told(github: GitHubDouble, waits: list[float]) -> None:
    github.faults = [secondary_limit(times=FOREVER, seconds=50)]
    path, message, hint = problem_of(Seeder(github))
    assert path == "acme/fleet: state"
    assert message == "GitHub's rate limit is used up for another 50 s"
    assert "wait, then run it again" in hint
    assert waits == [50, 50, 50]


def test_all_waits_of_a_run_together_have_an_end(github: GitHubDouble, waits: list[float]) -> None:
    github.faults = [secondary_limit("git/", times=FOREVER, seconds=40), secondary_limit("graphql", seconds=150)]
    problem_of(Seeder(github))
    assert waits == [150]


def test_a_limit_without_a_time_is_told(github: GitHubDouble) -> None:
    message = "You have exceeded a secondary rate limit."
    github.faults = [Fault(status=403, message=message)]
    _, told, hint = problem_of(Seeder(github))
    assert told == message
    assert hint.startswith("wait a few minutes, then run it again")


def test_the_limit_of_the_hour_is_told_and_not_waited_for(github: GitHubDouble, waits: list[float]) -> None:
    github.faults = [primary_limit(reset=4_000_000_000)]
    assert "rate limit is used up" in problem_of(Seeder(github))[1]
    assert waits == []


def test_the_limit_of_the_hour_is_waited_for_when_it_ends_soon(github: GitHubDouble, waits: list[float]) -> None:
    """A reset that lies in the past would make githubkit wait for a minute."""
    limit = primary_limit(reset=0)
    limit.times = 1
    github.faults = [limit]
    assert Seeder(github).seed(FILES).action == "seeded"
    assert waits == [1]


def test_a_limit_within_graphql_is_told(github: GitHubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"data": None, "errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
    monkeypatch.setattr("tests.github_double.graphql_api.execute", lambda *_: answer)
    assert "rate limit" in problem_of(Seeder(github))[1]


@pytest.mark.parametrize(("start", "files", "cut"), WRITING)
def test_a_server_error_passes(
    github: GitHubDouble, waits: list[float], start: Start, files: dict[str, bytes], cut: int
) -> None:
    seeder = start(github)
    github.faults = [Fault(skip=cut, times=2, status=502)]
    seeder.seed(files)
    assert waits == [1, 4]
    assert end_state(seeder) == undisturbed(start, files)


def test_a_server_error_that_stays_is_told(github: GitHubDouble, waits: list[float]) -> None:
    github.faults = [Fault(calls="git/trees", times=FOREVER, status=502, message="Server Error")]
    assert problem_of(Seeder(github))[:2] == ("acme/fleet: tree", "GitHub answers 502: Server Error")
    assert waits == [1, 4, 9]


def test_retries_are_told_in_one_line(github: GitHubDouble, caplog: pytest.LogCaptureFixture) -> None:
    """githubkit logs each with a traceback, which Python prints where nobody configured logging."""
    github.faults = [secondary_limit(), Fault(status=500, skip=1)]
    seeder = Seeder(github)
    seeder.seed(FILES)
    assert [record for record in caplog.records if record.name.startswith("githubkit")] == []
    assert len([line for line in seeder.told if "patience" in line]) == 2


# --- refusals --------------------------------------------------------------------------------------------------------
def test_an_expired_token(github: GitHubDouble) -> None:
    github.tokens.clear()
    path, message, hint = problem_of(Seeder(github))
    assert (path, message) == ("`GITHUB_TOKEN`", "GitHub does not accept it: Bad credentials")
    assert "expired" in hint


def test_a_token_that_expires_on_the_way(github: GitHubDouble) -> None:
    seeder = first(github)
    github.faults = [Fault(calls="PATCH", run=github.tokens.clear)]
    assert problem_of(seeder)[0] == "`GITHUB_TOKEN`"
    github.tokens.add(TOKEN)
    seeder.seed(FILES)
    assert end_state(seeder) == undisturbed(first, FILES)


def test_a_missing_permission(github: GitHubDouble) -> None:
    github.faults = [Fault(calls="git/trees", status=403, message="Resource not accessible by personal access token")]
    path, message, hint = problem_of(Seeder(github))
    assert path == "acme/fleet: tree"
    assert message == "GitHub forbids it: Resource not accessible by personal access token"
    assert "write access to contents, pull requests and workflows" in hint


def test_the_permission_that_github_names(github: GitHubDouble) -> None:
    headers = {"X-Accepted-GitHub-Permissions": "contents=write; contents=write,workflows=write"}
    github.faults = [Fault(calls="git/trees", status=403, headers=headers)]
    assert problem_of(Seeder(github))[2] == "it asks for: contents=write; contents=write,workflows=write"


def test_a_missing_repository(github: GitHubDouble) -> None:
    seeder = Seeder(github)
    github.repositories.clear()
    path, message, hint = problem_of(seeder)
    assert path == "acme/fleet: state"
    assert "Could not resolve to a Repository with the name 'acme/fleet'" in message
    assert "owner and name" in hint


def test_workflows_without_their_permission(github: GitHubDouble) -> None:
    """GitHub answers 404 to a tree with workflows when the token may not write those."""
    github.faults = [Fault(calls="git/trees", status=404, message="Not Found")]
    path, message, hint = problem_of(Seeder(github))
    assert (path, message) == ("acme/fleet: tree", "GitHub does not find it: Not Found")
    assert "workflow" in hint


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("calls", ["POST .*git/refs", "PATCH .*git/refs/fleet/seed", "PUT .*contents", "POST .*pulls"])
def test_a_refusal_that_stays_is_told_in_githubs_words(github: GitHubDouble, calls: str, status: int) -> None:
    github.faults = [Fault(calls=calls, times=FOREVER, status=status, message="Not today")]
    starts = {"PUT .*contents": first, "POST .*git/refs": first}
    seeder = starts.get(calls, update)
    with pytest.raises(GitHubError, match="GitHub refuses: Not today"):
        seeder(github).seed(FILES if calls in starts else NEXT)


@pytest.mark.parametrize(
    ("status", "calls"), [(409, "git/trees"), (422, "git/trees"), (422, "git/commits"), (400, "graphql")]
)
def test_a_refusal_that_no_look_mends_is_told_at_once(github: GitHubDouble, status: int, calls: str) -> None:
    github.faults = [Fault(calls=calls, times=FOREVER, status=status, message="Invalid")]
    seeder = Seeder(github)
    assert problem_of(seeder)[1] == f"GitHub answers {status}: Invalid"
    assert len([call for call in seeder.made if "graphql" in call]) == 1


def test_what_github_says_of_single_fields_is_told(github: GitHubDouble) -> None:
    """A base that is gone: people renamed main while we worked."""
    seeder = update(github)
    refs = seeder.repository.git.refs

    def rename() -> None:
        refs["refs/heads/trunk"] = refs.pop("refs/heads/main")

    github.faults = [Fault(calls="POST .*pulls", run=rename)]
    assert problem_of(seeder, NEXT)[1] == "has no branch `main`"
    assert any("Validation Failed – base invalid" in line for line in seeder.told)


@pytest.mark.parametrize("kind", ["FORBIDDEN", "INSUFFICIENT_SCOPES"])
def test_a_token_that_graphql_refuses(github: GitHubDouble, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    answer = {"data": None, "errors": [{"type": kind, "message": "Resource not accessible by integration"}]}
    monkeypatch.setattr("tests.github_double.graphql_api.execute", lambda *_: answer)
    _, message, hint = problem_of(Seeder(github))
    assert message == "GitHub forbids it: Resource not accessible by integration"
    assert "write access" in hint


def test_another_tree_than_ours_is_never_used(github: GitHubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub names what it made; we know what its name must be."""
    from tests.github_double import git

    seeder = Seeder(github)
    honest = git.Git.put_tree
    monkeypatch.setattr(git.Git, "put_tree", lambda self, files: honest(self, dict(list(files.items())[:-1])))
    head = seeder.repository.head()
    assert "GitHub made another one" in problem_of(seeder)[1]
    assert seeder.repository.head() == head


# --- somebody else at the same time ----------------------------------------------------------------------------------
def test_somebody_pushes_during_the_first_run(github: GitHubDouble) -> None:
    """Main is theirs then, and what is rendered becomes a proposal."""
    seeder = Seeder(github)
    repository = seeder.repository
    github.faults = [Fault(calls="PATCH .*heads/main", run=lambda: repository.commit({"mine": b"mine\n"}))]
    assert seeder.seed(FILES).action == "proposed"
    assert repository.files().keys() == {"README.md", "mine"}
    assert repository.files(BOT_BRANCH)["mine"] == b"mine\n"
    assert any("Update is not a fast forward; looking again" in line for line in seeder.told)


@pytest.mark.parametrize("calls", ["PUT", "POST .*git/refs", "PATCH .*heads/main"])
def test_two_first_runs_at_the_same_time(github: GitHubDouble, calls: str) -> None:
    seeder = first(github)
    github.faults = [Fault(calls=calls, run=lambda: seeder.seed(FILES))]
    assert seeder.seed(FILES).action == "unchanged"
    assert end_state(seeder) == undisturbed(first, FILES)


def test_two_proposals_at_the_same_time(github: GitHubDouble) -> None:
    seeder = update(github)
    github.faults = [Fault(calls="POST .*pulls", run=lambda: seeder.seed(NEXT))]
    assert seeder.seed(NEXT).action == "proposed"
    assert end_state(seeder) == undisturbed(update, NEXT)


def test_somebody_commits_to_the_bots_branch_while_it_is_moved(github: GitHubDouble) -> None:
    """The branch is moved by force, but only from where we saw it."""
    seeder = newer(github)
    theirs: list[str] = []

    def push() -> None:
        theirs.append(seeder.repository.commit({"mended": b"mended\n"}, branch=BOT_BRANCH))

    github.faults = [Fault(calls="graphql", skip=2, run=push)]
    assert seeder.seed(NEWER).action == "held"
    assert seeder.repository.head(BOT_BRANCH) == theirs[0]


def test_somebody_commits_to_the_bots_branch_while_it_is_deleted(github: GitHubDouble) -> None:
    seeder = withdrawn(github)
    github.faults = [
        Fault(calls="graphql", skip=1, run=lambda: seeder.repository.commit({"mine": b"mine\n"}, branch=BOT_BRANCH))
    ]
    assert seeder.seed(FILES).action == "withdrawn"
    assert seeder.repository.files(BOT_BRANCH)["mine"] == b"mine\n"
    assert any(f"`refs/heads/{BOT_BRANCH}`: stays" in line for line in seeder.told)


def test_somebody_merges_to_main_while_it_is_proposed(github: GitHubDouble) -> None:
    """The proposal stands on what was main; the next run brings it up to date."""
    seeder = update(github)
    github.faults = [Fault(calls="POST .*pulls", run=lambda: seeder.repository.commit({"mine": b"mine\n"}))]
    assert seeder.seed(NEXT).action == "proposed"
    seeder.seed(NEXT)
    assert seeder.repository.files(BOT_BRANCH)["mine"] == b"mine\n"
    assert len(seeder.repository.pulls) == 1


def test_somebody_who_never_stops_is_told(github: GitHubDouble) -> None:
    seeder = Seeder(github)
    count = iter(range(FOREVER))

    def push() -> None:
        seeder.repository.git.refs.pop(SEED_REF, None)
        seeder.repository.git.refs[SEED_REF] = seeder.repository.commit({"n": b"%d" % next(count)}, branch="other")

    github.faults = [Fault(calls="git/refs", times=FOREVER, run=push)]
    assert "Reference" in problem_of(seeder)[1] or "fast forward" in problem_of(seeder)[1]


# --- the way to GitHub -----------------------------------------------------------------------------------------------
def test_nothing_listens(github: GitHubDouble) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    seeder = Seeder(github)
    github.url = f"http://127.0.0.1:{port}"
    _, message, hint = problem_of(seeder)
    assert message.startswith("GitHub cannot be reached: ")
    assert "github.url" in hint


@pytest.mark.parametrize("content", [b"<html>Welcome</html>", b"{}", b'{"data": null}'])
def test_something_else_answers(github: GitHubDouble, content: bytes) -> None:
    github.faults = [Fault(status=200, content=content)]
    assert problem_of(Seeder(github))[1] == "the answer is not GitHub's"


def test_an_error_page_is_told_by_its_status(github: GitHubDouble) -> None:
    github.faults = [Fault(times=FOREVER, status=503, content=b"<html>Unicorn</html>")]
    assert problem_of(Seeder(github))[1] == "GitHub answers 503: Service Unavailable"


@pytest.mark.parametrize("api", ["http://github.example.com/api/v3", "http://10.0.0.1", "ftp://127.0.0.2.example.com"])
def test_a_token_does_not_travel_in_clear(api: str) -> None:
    with (
        pytest.raises(GitHubError, match="is not https"),
        connect(Token(token=TOKEN), api, progress=lambda _: None),
    ):
        pytest.fail("connected")


def test_a_proxy_of_the_shell_is_not_used_on_loopback(github: GitHubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Seeder(github).seed(FILES).action == "seeded"


def test_an_enterprise_server(github: GitHubDouble) -> None:
    """Its API lies at another place, and knows only older versions."""
    seeder = Seeder(github)
    address, github.url = github.url, f"{github.url}/api/v3"
    seeder.seed(FILES)
    assert seeder.seed(NEXT).action == "proposed"
    github.url = address
    rest = [call for call in github.calls if "graphql" not in call.path]
    assert {call.headers["x-github-api-version"] for call in rest} == {"2022-11-28"}
    assert {call.path for call in github.calls if "graphql" in call.path} == {"/api/graphql"}


def test_an_app(github: GitHubDouble, waits: list[float]) -> None:
    """One call more, for the token of the installation, which serves REST and GraphQL."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    github.app = InstalledApp(id="7", installation=8, public_key=public)
    github.tokens.clear()
    seeder = Seeder(github)
    seeder.auth = App(id="7", installation=8, private_key=pem)
    seeder.seed(FILES)
    assert [call for call in seeder.made if "/app/" in call] == ["POST /app/installations/8/access_tokens"]
    assert len(seeder.made) == 8

    seeder.auth = App(id="7", installation=9, private_key=pem)
    assert problem_of(seeder)[1] == "GitHub does not find it: Integration not found"
    seeder.auth = App(id="6", installation=8, private_key=pem)
    path, message, _ = problem_of(seeder)
    assert (path, message) == (
        "`GITHUB_APP_PRIVATE_KEY`",
        "GitHub does not accept it: A JSON web token could not be decoded",
    )


def test_a_key_that_is_none(github: GitHubDouble) -> None:
    seeder = Seeder(github)
    seeder.auth = App(
        id="7", installation=8, private_key="-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    )
    path, message, _ = problem_of(seeder)
    assert (path, message) == ("`GITHUB_APP_PRIVATE_KEY`", "cannot be used")
