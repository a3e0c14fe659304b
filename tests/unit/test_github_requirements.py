"""What must be true before the repositories are made: a clean case, and for each rule what breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from fleet.github import requirements
from fleet.github.inventory import Inventory
from fleet.github.preflight import Answer, Installation
from fleet.github.requirements import Case
from fleet.model import Fleet, Stack, credentials_of, parse_fleet
from tests.github_stack import GOOD, STACK, fleet_file, git_file, live_repository

BOTH_APP = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases", "auth": "app"}}
EVERYONE = frozenset({"ada", "grace-h", "acme-bot"})
NEEDED = (
    "Administration: write",
    "Actions: write",
    "Contents: write",
    "Environments: write",
    "Members: write",
    "Metadata: read",
    "Pull requests: write",
    "Secrets: write",
    "Workflows: write",
)
"""Permissions of an App that GitHub's description names."""


def fleet(**sections: Any) -> Fleet:
    return parse_fleet(fleet_file(**sections), "fleet.yaml")


def case(answer: Answer = GOOD, *, held: Mapping[str, str] = MappingProxyType({}), **sections: Any) -> Case:
    """A clean case, but for what is given."""
    wanted = fleet(**sections)
    credential = credentials_of(wanted, "staging", STACK)[0]
    return Case(
        fleet=wanted, credential=credential, source="githubToken", bot_source="updateToken", answer=answer, held=held
    )


def told(given: Case) -> list[str]:
    """Path and message of each fault."""
    return [f"{problem.path}: {problem.message}" for problem in requirements.faults(given)]


def having(**found: Any) -> Answer:
    """An answer with one repository that exists."""
    repositories = {"infra": live_repository(**found)}
    return replace(GOOD, inventory=Inventory(repositories=repositories, people=EVERYONE))


def test_a_clean_case_has_no_fault() -> None:
    assert told(case()) == []
    assert list(requirements.warnings(case(), datetime.now(UTC))) == []


# --- the organisation ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("account", "message"),
    [("User", "`Acme-Corp` is a user, not an organisation"), (None, "`Acme-Corp` is not the name of an organisation")],
)
def test_the_owner_is_an_organisation(account: str | None, message: str) -> None:
    """The provider would take a misspelled owner for a user. Nothing else can be told then."""
    assert told(case(replace(GOOD, account=account, plan="free", bot="x"))) == [f"fleet.yaml.owner: {message}"]


@pytest.mark.parametrize(
    ("plan", "visibility", "message"),
    [
        ("free", "private", "`Acme-Corp` is on GitHub's free plan, which protects no private repository"),
        ("free", "internal", "`Acme-Corp` is on GitHub's free plan, which protects no internal repository"),
        ("free", "public", ""),
        ("team", "private", ""),
        ("team", "internal", "only an enterprise has internal repositories"),
        ("enterprise", "internal", ""),
        (None, "private", ""),
    ],
)
@pytest.mark.parametrize("protection", ["rulesets", "classic"])
def test_the_plan_protects_what_is_wanted(plan: str | None, visibility: str, message: str, protection: str) -> None:
    """Rulesets and classic rules need the same plan, so that one is no way out of the other."""
    github = {"stack": STACK, "visibility": visibility, "protection": protection}
    found = told(case(replace(GOOD, plan=plan), github=github))
    assert found == ([f"fleet.yaml.github.visibility: {message}"] if message else [])


# --- the credential --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        ({"repo", "workflow", "admin:org"}, ""),
        ({"repo", "workflow", "admin:org", "gist"}, ""),
        ({"repo", "admin:org"}, "`workflow`"),
        ({"public_repo", "write:org"}, "`repo`, `workflow`, `admin:org`"),
        (set(), "`repo`, `workflow`, `admin:org`"),
    ],
)
def test_a_classic_token_has_its_scopes(scopes: set[str], missing: str) -> None:
    found = list(requirements.faults(case(replace(GOOD, scopes=frozenset(scopes)))))
    assert [problem.message for problem in found] == ([f"the token lacks {missing}"] if missing else [])
    if found:
        assert "or make a fine-grained token with `Administration: write`" in found[0].hint


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (replace(GOOD, creates_repositories=False), "may not make repositories: `fleet`, `infra`, `apps`"),
        (replace(GOOD, creates_teams=False), "may not make teams: `data`, `flux-bots`, `platform`, `web`"),
    ],
)
def test_whoever_runs_it_may_make_what_is_missing(answer: Answer, message: str) -> None:
    (found,) = told(case(answer))
    assert found == f"githubToken: whom the token belongs to {message}"


def test_nobody_needs_a_right_for_what_is_there() -> None:
    repositories = {name: live_repository() for name in ("fleet", "infra", "apps")}
    answer = replace(GOOD, creates_repositories=False, inventory=Inventory(repositories=repositories, people=EVERYONE))
    assert told(case(answer)) == []


def granted() -> dict[str, str]:
    """What the App needs, as GitHub names it."""
    wanted = case().credential.permissions.items()
    return {name.lower().replace(" ", "_"): access for name, access in wanted if name != "Variables"}


def installed(**changes: Any) -> Answer:
    usual = Installation(account="acme-corp", suspended=False, permissions=granted())
    return replace(GOOD, creates_repositories=False, creates_teams=False, installation=replace(usual, **changes))


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({}, []),
        ({"account": "Other"}, ["the App is installed in `Other`, not in `Acme-Corp`"]),
        ({"suspended": True}, ["the App is suspended"]),
        ({"permissions": granted() | {"members": "read"}}, ["the App lacks `Members: write`"]),
        ({"permissions": granted() | {"metadata": "write"}}, []),
        ({"permissions": {}}, [f"the App lacks {', '.join(f'`{name}`' for name in NEEDED)}"]),
    ],
)
def test_an_app_may_do_what_is_needed(changes: Mapping[str, Any], messages: list[str]) -> None:
    """Rights of users say nothing of it."""
    assert told(case(installed(**changes))) == [f"githubToken: {message}" for message in messages]


# --- what is there already -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, ""),
        ({"archived": True}, "is archived"),
        ({"administered": False}, "exists, and the credential does not administer it"),
        (
            {"visibility": "public"},
            "exists and is public, fleet.yaml says private: a change would lose stars or open it up",
        ),
    ],
)
def test_what_is_there_can_be_taken_over(found: Mapping[str, Any], message: str) -> None:
    assert told(case(having(**found))) == ([f"`Acme-Corp/infra`: {message}"] if message else [])


def test_of_our_own_repositories_the_visibility_may_change() -> None:
    """fleet.yaml says so, and the plan shows it."""
    assert told(case(having(visibility="public"), held={"infra": "infra"})) == []


def renamed(*there: str) -> list[str]:
    """What is told when `infra` shall be called `platform`, and these are on GitHub."""
    repositories = {name: live_repository(archived=name == "old") for name in there}
    answer = replace(GOOD, inventory=Inventory(repositories=repositories, people=EVERYONE))
    return told(case(answer, held={"platform": there[0]}, repositories={"infra": "platform"}))


def test_a_repository_is_not_given_the_name_of_another() -> None:
    assert renamed("infra") == []
    found = "`Acme-Corp/platform`: exists already, so that `infra` cannot be renamed so"
    assert renamed("infra", "platform") == [found]
    assert renamed("old") == ["`Acme-Corp/platform`: is archived"]


def test_what_is_there_is_told() -> None:
    now = datetime.now(UTC)
    (problem,) = requirements.warnings(case(having()), now)
    assert str(problem).startswith("`Acme-Corp/infra`: exists already and is taken over: what is in it stays")
    assert list(requirements.warnings(case(having(), held={"infra": "infra"}), now)) == []


def test_what_github_does_not_tell_is_told() -> None:
    """A token that may not see teams, say: without them the program would make others of the same name."""
    answer = replace(GOOD, refusals=("Resource not accessible by personal access token",))
    told_ = told(case(answer))
    assert told_ == ["GitHub: does not tell what it must: Resource not accessible by personal access token"]


# --- people ----------------------------------------------------------------------------------------------------------
def test_everybody_named_is_known_to_github() -> None:
    answer = replace(GOOD, inventory=replace(GOOD.inventory, people=frozenset({"ada"})))
    assert told(case(answer)) == [
        "fleet.yaml.teams.platform.members.1: GitHub has no user `Grace-H`",
        "fleet.yaml.bot.name: GitHub has no user `Acme-Bot`",
    ]


def test_a_bot_that_is_an_app_needs_no_account() -> None:
    answer = replace(GOOD, inventory=replace(GOOD.inventory, people=frozenset({"ada", "grace-h"})), bot=None)
    assert told(case(answer, **git_file(environments=BOTH_APP))) == []


@pytest.mark.parametrize(
    ("login", "message"), [("ACME-bot", ""), ("ada", "the token belongs to `ada`, not to the bot")]
)
def test_the_bots_token_is_the_bots(login: str, message: str) -> None:
    """Another account would be in no team that passes protection."""
    found = told(case(replace(GOOD, bot=login)))
    assert found == ([f"updateToken: {message}, `Acme-Bot`"] if message else [])


@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False), (-1, True)])
@pytest.mark.parametrize("source", ["githubToken", "updateToken"])
def test_a_token_that_soon_expires_is_told(days: int, warned: bool, source: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    expires = now + timedelta(days=days)
    mine = source == "githubToken"
    answer = replace(GOOD, expires=expires if mine else None, bot_expires=None if mine else expires)
    found = [str(problem) for problem in requirements.warnings(case(answer), now)]
    line = f"{source}: the token expires on {expires:%Y-%m-%d}\n    hint: make a new one in time"
    assert found == ([line] if warned else [])


# --- without GitHub --------------------------------------------------------------------------------------------------
def stopped(given: Fleet, variables: Mapping[str, str] = MappingProxyType({}), **stack: Any) -> list[str]:
    chosen = Stack(**{"environment": "staging", "clusters": {}, **stack})
    return [f"{problem.path}: {problem.message}" for problem in requirements.obstacles(given, chosen, variables)]


@pytest.mark.parametrize("name", ["GITHUB_OWNER", "GITHUB_ORGANIZATION"])
@pytest.mark.parametrize(("value", "stops"), [("", False), ("acme-CORP", False), ("acme", True)])
def test_the_environment_names_no_other_owner(name: str, value: str, stops: bool) -> None:
    """The provider follows it rather than its arguments, and makes everything elsewhere."""
    expected = f"{name}: names another owner than fleet.yaml, `acme`, and the provider would follow it"
    assert stopped(fleet(), {name: value}) == ([expected] if stops else [])


def test_the_environment_names_no_app_beside_a_token() -> None:
    """The provider signs in as that App then. All three are needed for it; Actions sets none of them."""
    app = {"GITHUB_APP_ID": "1", "GITHUB_APP_INSTALLATION_ID": "2", "GITHUB_APP_PEM_FILE": "3"}
    assert len(stopped(fleet(), app)) == 1
    assert stopped(fleet(environments=BOTH_APP), app) == []
    assert stopped(fleet(), app | {"GITHUB_APP_ID": ""}) == []
    actions = {"GITHUB_REPOSITORY_OWNER": "other", "GITHUB_TOKEN": "x", "GITHUB_ACTOR": "x", "GITHUB_REPOSITORY": "o/r"}
    assert stopped(fleet(), actions) == []


def test_classic_rules_leave_image_automation_no_way() -> None:
    """Nobody passes a required check of theirs."""
    classic = {"stack": STACK, "protection": "classic"}
    (found,) = stopped(fleet(**git_file(github=classic)))
    assert found == (
        "fleet.yaml.github.protection: image automation could not commit to main of `infra`, `apps`: "
        "nobody passes a required check there"
    )
    assert stopped(fleet(github=classic)) == []
    assert stopped(fleet(**git_file())) == []


def test_the_app_of_image_automation_is_known_to_whoever_protects() -> None:
    """It is that of another environment's stack where the two sign in differently."""
    apps = {"update": {"id": 1, "installation": 2}}
    mixed = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases"}}
    (found,) = stopped(fleet(**git_file(environments=mixed)), environment="production")
    assert found.startswith("fleet.yaml.environments.staging.auth: image automation signs in as an App that this stack")
    assert stopped(fleet(**git_file(environments=mixed)), github_apps=apps) == []
    assert stopped(fleet(environments=mixed), environment="production") == []
