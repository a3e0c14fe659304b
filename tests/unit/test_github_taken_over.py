"""What is on GitHub already is taken over, and nothing of it is lost; what the state holds is never imported again."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.errors import Problem
from fleet.github.inventory import LiveTeam
from fleet.github.preflight import Question, Unreachable
from fleet.github.requirements import PreflightError
from sandbox.program.registration import UNKNOWN, Secret
from tests.github_stack import GOOD, STACK, GitHubStack, Run, fleet_file, git_file, live_repository
from tests.reader import Reader

pytestmark = pytest.mark.github

EVERYTHING = live_repository(
    topics=frozenset({"ours", "gitops"}),
    branches=frozenset({"main", "production"}),
    rulesets={
        "fleet: main": 11,
        "fleet: releases": 12,
        "fleet: release-tags": 13,
        "fleet: production": 14,
        "theirs": 15,
    },
    protections=frozenset({"main", "old/*"}),
    environments=frozenset({"staging", "production", "bot", "their-own"}),
    policies={("staging", "main"): 21, ("production", "*/v*"): 22, ("bot", "main"): 23, ("production", "main"): 24},
    variables=frozenset({"FLUX_BOT_APP_ID", "THEIRS"}),
)
PLATFORM = LiveTeam(id=7, name="Platform Team", roles={"ada": "maintainer", "somebody": "member"})
BOTH_APP = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases", "auth": "app"}}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader) -> GitHubStack:
    return GitHubStack(tmp_path, monkeypatch)


def imported(run: Run) -> dict[str, str]:
    """Ids that are imported, by kind and name."""
    return {label: asked.import_id for label, asked in run.resources.items() if asked.import_id}


def state(*labels: str, name: str = "infra") -> dict[str, str]:
    """A state with these, by URN; all of them have that name on GitHub."""
    found = {}
    for label in labels:
        kind, own = label.split("::")
        module = kind[0].lower() + kind[1:]
        parents = "fleet:index:GitHub$fleet:index:FleetRepository"
        found[f"urn:pulumi:{STACK}::fleet::{parents}$github:index/{module}:{kind}::{own}"] = name
    return found


INFRA = {
    "Repository::infra-repository": "infra",
    "RepositoryEnvironment::infra-environment-staging": "infra:staging",
    "RepositoryEnvironment::infra-environment-production": "infra:production",
    "RepositoryEnvironmentDeploymentPolicy::infra-policy-staging": "infra:staging:21",
    "RepositoryEnvironmentDeploymentPolicy::infra-policy-production": "infra:production:22",
    "RepositoryRuleset::infra-ruleset-main": "infra:11",
    "RepositoryRuleset::infra-ruleset-releases": "infra:12",
    "RepositoryRuleset::infra-ruleset-release-tags": "infra:13",
}


def test_what_is_there_is_imported(stack: GitHubStack) -> None:
    """And then brought into line by the same run. What GitHub replaces by itself needs no import."""
    stack.oracle.finds({"infra": EVERYTHING}, {"platform": PLATFORM})
    teams = {"Team::github-team-platform": "7", "TeamMembers::github-members-platform": "7"}
    assert imported(stack.run()) == INFRA | teams


def test_classic_rules_are_imported(stack: GitHubStack) -> None:
    stack.file = fleet_file(github={"stack": STACK, "protection": "classic"})
    stack.oracle.finds({"infra": EVERYTHING})
    found = imported(stack.run())
    assert found["BranchProtection::infra-protection-main"] == "infra:main"
    assert "RepositoryRuleset::infra-ruleset-main" not in found


def test_the_variable_of_an_app_is_imported(stack: GitHubStack) -> None:
    stack.file = git_file(environments=BOTH_APP)
    stack.oracle.finds({"infra": EVERYTHING})
    found = imported(stack.run())
    assert found["ActionsEnvironmentVariable::infra-FLUX_BOT_APP_ID"] == "infra:bot:FLUX_BOT_APP_ID"
    assert found["RepositoryEnvironmentDeploymentPolicy::infra-policy-bot"] == "infra:bot:23"


@pytest.mark.parametrize("held", [[label] for label in INFRA] + [list(INFRA)], ids=[*INFRA, "all"])
def test_what_the_state_holds_is_not_imported(stack: GitHubStack, held: Collection[str]) -> None:
    """An id to import by is another one than that in the state for some, and would replace what is held."""
    stack.oracle.finds({"infra": EVERYTHING})
    expected = {label: number for label, number in INFRA.items() if label not in held}
    assert imported(stack.run(held=state(*held))) == expected


def test_the_state_is_that_of_this_very_stack(stack: GitHubStack) -> None:
    run = stack.run()
    asked = {"stackName": f"organization/fleet/{STACK}"}
    assert run.monitor.invoked == [("pulumi:pulumi:readStackResourceOutputs", asked)]


# --- nothing is lost -------------------------------------------------------------------------------------------------
def test_what_is_peoples_own_is_left_to_them(stack: GitHubStack) -> None:
    """Whoever made it: settings are given once, when the program makes the object."""
    run = stack.run()
    repository = run.one("Repository", "infra-repository")
    own = {"description", "hasIssues", "hasProjects", "hasWiki", "autoInit"}
    assert own | {"homepageUrl", "pages", "isTemplate", "allowAutoMerge"} <= set(repository.ignore_changes)
    ours = repository.inputs.keys() - own
    assert not ours & set(repository.ignore_changes)
    team = run.one("Team", "github-team-platform")
    assert {"description", "parentTeamId", "notificationSetting"} <= set(team.ignore_changes)
    assert not {"name", "privacy"} & set(team.ignore_changes)
    environment = run.one("RepositoryEnvironment", "infra-environment-production")
    assert set(environment.ignore_changes) == {"reviewers", "waitTimer", "preventSelfReview", "canAdminsBypass"}


def test_people_may_add_to_a_classic_rule(stack: GitHubStack) -> None:
    stack.file = fleet_file(github={"stack": STACK, "protection": "classic"})
    rule = stack.run().one("BranchProtection", "infra-protection-main")
    assert set(rule.ignore_changes) & rule.inputs.keys() == set()
    assert {"restrictPushes", "lockBranch", "requireSignedCommits"} <= set(rule.ignore_changes)


def test_topics_of_others_stay(stack: GitHubStack) -> None:
    stack.oracle.finds({"infra": EVERYTHING})
    topics = stack.run().one("Repository", "infra-repository").inputs["topics"]
    assert topics == ["fluxcd", "gitops", "infra", "ours"]


def test_topics_of_others_stay_when_a_repository_is_renamed(stack: GitHubStack) -> None:
    """It is looked for by the name that the state has for it."""
    stack.file["repositories"] = {"infra": "platform"}
    stack.oracle.finds({"infra": EVERYTHING})
    run = stack.run(held=state("Repository::infra-repository"))
    repository = run.one("Repository", "infra-repository")
    assert (repository.inputs["name"], repository.import_id) == ("platform", "")
    assert repository.inputs["topics"] == ["fluxcd", "gitops", "infra", "ours"]
    assert stack.oracle.asked[0].names.repositories == ("fleet", "platform", "apps", "infra")


def test_a_team_keeps_its_name_and_its_maintainers(stack: GitHubStack) -> None:
    """An owner of the organisation maintains every team, so that another role would differ on every run."""
    stack.oracle.finds({}, {"platform": PLATFORM})
    run = stack.run()
    assert run.one("Team", "github-team-platform").inputs["name"] == "Platform Team"
    members = run.one("TeamMembers", "github-members-platform").inputs["members"]
    assert members == [{"username": "ada", "role": "maintainer"}, {"username": "grace-h", "role": "member"}]


@pytest.mark.parametrize(
    ("default", "branches", "renamed"), [("master", set(), True), ("master", {"main"}, False), ("main", {"main"}, True)]
)
def test_a_default_branch_is_renamed_unless_there_is_a_main_beside_it(
    stack: GitHubStack, default: str, branches: set[str], renamed: bool
) -> None:
    stack.oracle.finds({"infra": live_repository(default_branch=default, branches=frozenset(branches))})
    assert stack.run().one("BranchDefault", "infra-default-branch").inputs["rename"] is renamed


def test_taking_over_is_told(stack: GitHubStack, caplog: pytest.LogCaptureFixture) -> None:
    """Once: from then on the state holds it."""
    stack.oracle.finds({"infra": EVERYTHING})
    caplog.set_level(logging.WARNING)
    stack.run()
    assert "`Acme-Corp/infra`: exists already and is taken over" in caplog.text
    caplog.clear()
    stack.run(held=state("Repository::infra-repository"))
    assert "taken over" not in caplog.text


# --- what is asked ---------------------------------------------------------------------------------------------------
def asked(stack: GitHubStack, held: Collection[str] = ()) -> Question:
    stack.run(held=state(*held))
    (question,) = stack.oracle.asked
    return question


def test_everything_is_asked_for_once(stack: GitHubStack) -> None:
    question = asked(stack)
    assert (question.api, question.owner) == ("https://api.github.com", "Acme-Corp")
    assert question.names.repositories == ("fleet", "infra", "apps")
    assert set(question.names.teams) == {"platform", "web", "data", "flux-bots"}
    assert question.names.people == ("acme-bot", "ada", "grace-h")


def test_policies_are_asked_for_where_the_state_lacks_them(stack: GitHubStack) -> None:
    policies = asked(stack, ["RepositoryEnvironmentDeploymentPolicy::infra-policy-staging"]).policies
    assert policies == {"fleet": {"staging", "production"}, "infra": {"production"}, "apps": {"staging", "production"}}


@pytest.mark.parametrize(("auth", "wanted"), [("token", set()), ("app", {"fleet", "apps"})])
def test_variables_are_asked_for_where_the_state_lacks_them(stack: GitHubStack, auth: str, wanted: set[str]) -> None:
    """Only an App has any."""
    stack.file = git_file(environments=BOTH_APP if auth == "app" else stack.file["environments"])
    question = asked(stack, ["ActionsEnvironmentVariable::infra-FLUX_BOT_APP_ID"])
    assert question.variables == wanted
    assert (question.bot is None) == (auth == "app")


# --- without GitHub --------------------------------------------------------------------------------------------------
SILENT = Unreachable([Problem("GitHub", "cannot be reached: refused")])


def test_a_plan_is_made_without_github(stack: GitHubStack, caplog: pytest.LogCaptureFixture) -> None:
    """The provider plans without asking GitHub when it does not know its credential."""
    stack.oracle.answer = SILENT
    run = stack.run(preview=True)
    assert run.one("github", "github").inputs["token"] == Secret(UNKNOWN)
    assert imported(run) == {}
    assert "GitHub: cannot be reached: refused\nthe plan is made without knowing" in caplog.text


def test_a_run_needs_github(stack: GitHubStack) -> None:
    stack.oracle.answer = SILENT
    with pytest.raises(PreflightError, match="cannot be reached"):
        stack.run()


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_faults_are_told_together_before_anything_is_made(stack: GitHubStack, preview: bool) -> None:
    stack.oracle.answer = replace(
        GOOD, plan="free", bot="somebody", inventory=replace(GOOD.inventory, people=frozenset())
    )
    stack.file = git_file()
    with pytest.raises(PreflightError) as raised:
        stack.run(preview=preview)
    paths = [problem.path for problem in raised.value.problems]
    assert paths == [
        "fleet.yaml.github.visibility",
        "fleet.yaml.teams.platform.members.0",
        "fleet.yaml.teams.platform.members.1",
        "fleet.yaml.bot.name",
        f"Pulumi.{STACK}.yaml.updateToken",
    ]
    assert stack.declared == []


@pytest.mark.parametrize("name", ["GITHUB_OWNER", "GITHUB_ORGANIZATION"])
def test_an_owner_in_the_environment_stops_the_run(
    stack: GitHubStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The provider would follow it; GitHub is not even asked."""
    monkeypatch.setenv(name, "somebody-else")
    with pytest.raises(PreflightError, match=f"{name}: names another owner than fleet.yaml, `somebody-else`"):
        stack.run()
    assert (stack.oracle.asked, stack.declared) == ([], [])
