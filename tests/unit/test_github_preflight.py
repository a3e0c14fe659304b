"""What is asked of GitHub before anything is made, and how its answers are read, against the double of its API."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fleet.github import preflight
from fleet.github.connection import App, Token
from fleet.github.faults import GitHubError
from fleet.github.inventory import Inventory, LiveTeam, Names
from fleet.github.preflight import Answer, Installation, Question, Unreachable
from tests.github_double import TOKEN, Fault, GitHubDouble, serve
from tests.github_double import App as DoubleApp
from tests.github_double.organization import Environment
from tests.github_stack import live_repository

pytestmark = pytest.mark.github

NAMES = Names(repositories=("fleet", "infra"), teams=("platform", "web"), people=("acme-bot", "nobody"))


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as double:
        yield double


def question(github: GitHubDouble, **changes: Any) -> Question:
    asked = Question(
        api=f"{github.url}/api/v3", auth=Token(token=TOKEN, source="admin"), owner="acme-corp", names=NAMES, bot=None
    )
    return replace(asked, **changes)


def ask(asked: Question) -> Answer:
    return preflight.ask(asked, lambda _: None)


def calls(github: GitHubDouble) -> list[str]:
    return [str(call).replace("/api/v3", "") for call in github.calls]


# --- what is asked ---------------------------------------------------------------------------------------------------
def test_two_requests_tell_of_an_empty_organisation(github: GitHubDouble) -> None:
    assert ask(question(github)) == Answer(
        account="Organization",
        plan="team",
        scopes=None,
        expires=None,
        creates_repositories=True,
        creates_teams=True,
        inventory=Inventory(people=frozenset({"acme-bot"})),
    )
    assert calls(github) == ["GET /orgs/acme-corp", "POST /api/graphql"]


def test_whom_the_bots_token_belongs_to_is_asked_with_that_token(github: GitHubDouble) -> None:
    github.tokens.add("of-the-bot")
    github.organization.tokens["of-the-bot"] = "Acme-Bot"
    assert ask(question(github, bot=Token(token="of-the-bot", source="bot"))).bot == "Acme-Bot"  # noqa: S106
    (asked,) = [call for call in github.calls if call.headers["authorization"] == "token of-the-bot"]
    assert asked.path == "/api/v3/user"


def test_an_installation_is_asked_for_as_the_app(github: GitHubDouble) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    github.app = DoubleApp(id="11", installation=22, public_key=public.decode())
    github.organization.permissions = {"members": "read"}
    github.organization.suspended = True
    answer = ask(question(github, auth=App(id="11", installation=22, private_key=pem.decode())))
    assert answer.installation == Installation(account="Acme-Corp", suspended=True, permissions={"members": "read"})
    assert calls(github)[-1] == "GET /app/installations/22"


# --- what is there ---------------------------------------------------------------------------------------------------
def made(github: GitHubDouble) -> None:
    """Let there be a repository and a team with something of everything."""
    repository = github.create("Acme-Corp", "infra", auto_init=True)
    settings = github.organization.settings_of(repository)
    settings.visibility, settings.topics = "public", ["gitops"]
    condition = {"ref_name": {"include": ["refs/heads/main"], "exclude": []}}
    rules: dict[str, Any] = {"name": "fleet: main", "enforcement": "active", "conditions": condition, "rules": []}
    settings.rulesets[31] = rules
    settings.rules["BPR_1"] = {"pattern": "old/*"}
    custom = {"deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True}}
    for number, name in enumerate(("staging", "bot")):
        settings.environments[name] = Environment(id=number, name=name, rules=custom)
    settings.environments["staging"].policies[41] = {"name": "main", "type": "branch"}
    settings.environments["bot"].variables["FLUX_BOT_APP_ID"] = "1"
    team = github.organization.add_team("Platform")
    team.members = {"Ada": "maintainer", "Grace-H": "member"}


def test_what_is_there_is_read(github: GitHubDouble) -> None:
    made(github)
    found = ask(question(github)).inventory
    assert found.repositories == {
        "infra": live_repository(
            visibility="public",
            topics=frozenset({"gitops"}),
            rulesets={"fleet: main": 31},
            protections=frozenset({"old/*"}),
            environments=frozenset({"staging", "bot"}),
        )
    }
    (number,) = github.organization.teams
    roles = {"ada": "maintainer", "grace-h": "member"}
    assert found.teams == {"platform": LiveTeam(id=number, name="Platform", roles=roles)}
    assert len(github.calls) == 2


def test_a_repository_of_others_is_read_as_it_is(github: GitHubDouble) -> None:
    made(github)
    repository = github.repository("acme-corp", "infra")
    repository.git.refs["refs/heads/master"] = repository.git.refs.pop("refs/heads/main")
    repository.default_branch = "master"
    github.organization.settings_of(repository).values["archived"] = True
    github.organization.administers = False
    live = ask(question(github)).inventory.repositories["infra"]
    assert (live.default_branch, live.branches, live.archived, live.administered) == (
        "master",
        frozenset(),
        True,
        False,
    )


def test_a_repository_that_was_renamed_is_not_there_any_more(github: GitHubDouble) -> None:
    """GitHub leads from the old name to the new one, and what is found there is not ours to take."""
    github.create("Acme-Corp", "elsewhere", auto_init=True)
    github.organization.moved["acme-corp/infra"] = "acme-corp/elsewhere"
    assert ask(question(github)).inventory.repositories == {}


def test_an_empty_repository_has_no_branch(github: GitHubDouble) -> None:
    github.create("Acme-Corp", "infra")
    live = ask(question(github)).inventory.repositories["infra"]
    assert (live.default_branch, live.branches) == (None, frozenset())


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        ({"policies": {"infra": frozenset({"staging", "gone"})}}, ["/environments/staging/deployment-branch-policies"]),
        ({"policies": {"fleet": frozenset({"staging"})}}, []),
        ({"variables": frozenset({"infra", "fleet"})}, ["/environments/bot/variables"]),
    ],
)
def test_more_is_asked_only_of_what_exists_and_is_wanted(
    github: GitHubDouble, wanted: Mapping[str, Any], more: list[str]
) -> None:
    made(github)
    live = ask(question(github, **wanted)).inventory.repositories["infra"]
    assert [call.partition("?")[0].partition("/infra")[2] for call in calls(github)[2:]] == more
    assert live.policies == ({("staging", "main"): 41} if "deployment" in "".join(more) else {})
    assert live.variables == ({"FLUX_BOT_APP_ID"} if "variables" in "".join(more) else set())


# --- what GitHub says of us ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "scopes"), [("repo, workflow", {"repo", "workflow"}), ("", set()), ("repo", {"repo"}), (None, None)]
)
def test_the_scopes_of_a_classic_token(github: GitHubDouble, said: str | None, scopes: set[str] | None) -> None:
    """A token without any is another thing than a token that knows none."""
    github.organization.headers = {} if said is None else {"X-OAuth-Scopes": said}
    assert ask(question(github)).scopes == scopes


@pytest.mark.parametrize(
    ("said", "expires"),
    [
        ("2026-04-05 06:07:08 UTC", datetime(2026, 4, 5, 6, 7, 8, tzinfo=UTC)),
        ("2026-04-05 08:07:08 +0200", datetime(2026, 4, 5, 6, 7, 8, tzinfo=UTC)),
        ("", None),
    ],
)
def test_when_a_token_expires(github: GitHubDouble, said: str, expires: datetime | None) -> None:
    github.organization.headers = {"github-authentication-token-expiration": said} if said else {}
    answer = ask(question(github, bot=Token(token=TOKEN, source="bot")))
    assert (answer.expires, answer.bot_expires) == (expires, expires)


@pytest.mark.parametrize(("owner", "account"), [("ada", "User"), ("acme", None)])
def test_an_owner_that_is_no_organisation(github: GitHubDouble, owner: str, account: str | None) -> None:
    answer = ask(question(github, owner=owner))
    assert (answer.account, answer.plan, answer.refusals) == (account, None, ())


def test_a_plan_that_we_may_not_know(github: GitHubDouble) -> None:
    github.organization.plan = None
    assert ask(question(github)).plan is None


def test_what_github_refuses_to_tell_is_kept(github: GitHubDouble) -> None:
    """Each refusal once; what does not exist is none."""
    errors = [
        {"type": "FORBIDDEN", "message": "Resource not accessible", "path": ["organization", "team0"]},
        {"type": "FORBIDDEN", "message": "Resource not accessible", "path": ["organization", "team1"]},
        {"type": "NOT_FOUND", "message": "Could not resolve", "path": ["repository0"]},
    ]
    content = b'{"data": {"account": {"__typename": "Organization"}}, "errors": %s}'
    github.faults.append(Fault(calls="graphql", status=200, content=content % str(errors).replace("'", '"').encode()))
    answer = ask(question(github))
    assert (answer.account, answer.refusals) == ("Organization", ("Resource not accessible",))
    assert answer.inventory == Inventory()


# --- faults ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrong", ["admin", "bot"])
def test_a_token_that_github_does_not_take_is_named(github: GitHubDouble, wrong: str) -> None:
    tokens = {name: Token(token="bad" if name == wrong else TOKEN, source=name) for name in ("admin", "bot")}
    with pytest.raises(GitHubError) as raised:
        ask(question(github, auth=tokens["admin"], bot=tokens["bot"]))
    assert not isinstance(raised.value, Unreachable)
    (problem,) = raised.value.problems
    assert (problem.path, problem.message) == (f"`{wrong}`", "GitHub does not accept it: Bad credentials")
    assert "bad" not in str(raised.value).replace("Bad", "")


def test_a_refusal_of_the_organisation_is_told(github: GitHubDouble) -> None:
    """As single sign-on gives it to a token that is not authorised; only what does not exist is no fault yet."""
    github.faults.append(
        Fault(calls="orgs", status=403, message="Resource protected by organization SAML enforcement.")
    )
    with pytest.raises(GitHubError, match="GitHub forbids it: Resource protected by organization SAML"):
        ask(question(github))


def test_both_tokens_are_told_at_once(github: GitHubDouble) -> None:
    github.tokens.clear()
    with pytest.raises(GitHubError) as raised:
        ask(question(github, bot=Token(token=TOKEN, source="bot")))
    assert [problem.path for problem in raised.value.problems] == ["`admin`", "`bot`"]


@pytest.mark.parametrize("name", ["orgs", "user"])
def test_a_defect_is_no_answer_of_github(github: GitHubDouble, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It comes through as it is."""

    def broken(*_: object) -> None:
        raise KeyError(name)

    monkeypatch.setattr(preflight, "_read" if name == "orgs" else "_expiry", broken)
    with pytest.raises(KeyError, match=name):
        ask(question(github, bot=Token(token=TOKEN, source="bot")))


def test_a_github_that_is_not_there(github: GitHubDouble) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match="cannot be reached"):
        ask(question(github, api=nobody, bot=Token(token=TOKEN, source="bot")))


def test_an_answer_that_is_lost(github: GitHubDouble) -> None:
    github.faults.append(Fault(drop="before"))
    with pytest.raises(Unreachable, match="answer was lost"):
        ask(question(github))


def test_an_answer_of_somebody_else(github: GitHubDouble) -> None:
    """A proxy's page, say."""
    github.faults.append(Fault(calls="orgs", status=200, content=b"<html>Sign in</html>"))
    with pytest.raises(GitHubError, match=r"the answer is not GitHub's"):
        ask(question(github))
