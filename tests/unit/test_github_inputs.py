"""What each resource around a repository is declared with: settings, access, protection, environments, the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.manifests.trees import tree
from fleet.model import repositories_of
from fleet.resources.github import seed
from sandbox.program.registration import UNKNOWN, Secret
from tests.github_stack import APPS, GOOD, STACK, GitHubStack, Run, fleet_file, git_file, value_of
from tests.reader import Reader

pytestmark = pytest.mark.github

BOTH_APP = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases", "auth": "app"}}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader) -> GitHubStack:
    return GitHubStack(tmp_path, monkeypatch)


def inputs(run: Run, kind: str, name: str, *, without: tuple[str, ...] = ("repository",)) -> dict[str, Any]:
    """Of one resource, but for what says where it belongs."""
    return {key: value for key, value in run.one(kind, name).inputs.items() if key not in without}


# --- the repository --------------------------------------------------------------------------------------------------
def test_the_settings_of_a_new_repository(stack: GitHubStack) -> None:
    """A visibility in any case: without one the provider makes it public."""
    stack.oracle.answer = replace(GOOD, plan="enterprise")
    stack.file = fleet_file(github={"stack": STACK, "visibility": "internal"})
    assert inputs(stack.run(), "Repository", "infra-repository") == {
        "name": "infra",
        "description": "Platform components of the fleet, reconciled by Flux as cluster admin",
        "visibility": "internal",
        "topics": ["fluxcd", "gitops", "infra"],
        "autoInit": True,
        "hasIssues": True,
        "hasProjects": False,
        "hasWiki": False,
        "allowSquashMerge": True,
        "allowRebaseMerge": True,
        "allowMergeCommit": False,
        "deleteBranchOnMerge": True,
        "archiveOnDestroy": True,
    }


def test_merges_are_for_promotion_only(stack: GitHubStack) -> None:
    stack.file = git_file()
    run = stack.run()
    merges = {key: run.one("Repository", f"{key}-repository").inputs["allowMergeCommit"] for key in ("fleet", "infra")}
    assert merges == {"fleet": False, "infra": True}


def test_the_default_branch_is_main_whatever_github_names_it(stack: GitHubStack) -> None:
    given = {"branch": "main", "rename": True, "waitForRename": True}
    assert inputs(stack.run(), "BranchDefault", "infra-default-branch") == given


def test_the_production_branch_begins_at_main_and_is_never_moved(stack: GitHubStack) -> None:
    stack.file = git_file()
    run = stack.run()
    assert inputs(run, "Branch", "infra-production") == {"branch": "production", "sourceBranch": "main"}
    assert run.one("Branch", "infra-production").ignore_changes == ("sourceBranch", "sourceSha")


@pytest.mark.parametrize(
    ("workflow", "opens"),
    [(b"permissions: {contents: read}", False), (b"permissions:\n  pull-requests: write\n", True)],
)
def test_workflows_may_read_and_open_pull_requests_where_one_asks_for_it(
    stack: GitHubStack, workflow: bytes, opens: bool
) -> None:
    """GitHub knows one switch for opening and approving."""
    files = {".github/workflows/some.yaml": workflow, "docs/some.yaml": b"pull-requests: write"}
    stack.seed_with(files)
    given = {"defaultWorkflowPermissions": "read", "canApprovePullRequestReviews": opens}
    assert inputs(stack.run(), "WorkflowRepositoryPermissions", "infra-workflows") == given


# --- teams -----------------------------------------------------------------------------------------------------------
def test_teams_can_be_seen_and_their_members_are_exactly_those_named(stack: GitHubStack) -> None:
    """Logins in lower case, as GitHub tells them: others would differ on every run."""
    run = stack.run()
    team = run.one("Team", "github-team-platform")
    assert team.inputs == {"name": "platform", "description": "", "privacy": "closed"}
    assert run.one("TeamMembers", "github-members-platform").inputs == {
        "teamSlug": "platform",
        "members": [{"username": "ada", "role": "member"}, {"username": "grace-h", "role": "member"}],
    }
    members = run.one("TeamMembers", "github-members-flux-bots").inputs["members"]
    assert members == [{"username": "acme-bot", "role": "member"}]


@pytest.mark.covers("R2", "R11", "R33", "R44", "R70", "R101", "R156", "R162")
def test_what_the_teams_may_do(stack: GitHubStack) -> None:
    """By the number of the team: a name would be looked up with a call of its own."""
    run = stack.run()
    made = {name: asked.inputs for name, asked in run.kinds("TeamRepository").items()}
    assert {name: given["permission"] for name, given in made.items()} == {
        "fleet-team-platform": "admin",
        "fleet-team-flux-bots": "pull",
        "infra-team-platform": "maintain",
        "infra-team-flux-bots": "push",
        "apps-team-web": "push",
        "apps-team-data": "push",
        "apps-team-flux-bots": "push",
    }
    assert all(given["teamId"].isdigit() for given in made.values())


def test_people_in_no_team_get_in_where_they_are_named(stack: GitHubStack) -> None:
    stack.file = fleet_file(github={"stack": STACK, "collaborators": {"apps": {"Hopper": "triage"}}})
    run = stack.run()
    given = {name: asked.inputs for name, asked in run.kinds("RepositoryCollaborator").items()}
    assert given == {"apps-person-hopper": {"repository": "apps", "username": "hopper", "permission": "triage"}}


# --- protection ------------------------------------------------------------------------------------------------------
def pull_request(reviews: int, *methods: str, owners: bool = True) -> dict[str, Any]:
    return {
        "requiredApprovingReviewCount": reviews,
        "dismissStaleReviewsOnPush": True,
        "requireCodeOwnerReview": owners,
        "requireLastPushApproval": reviews > 0,
        "requiredReviewThreadResolution": False,
        "allowedMergeMethods": list(methods),
    }


CHECK = {"requiredChecks": [{"context": "validate", "integrationId": 15368}], "strictRequiredStatusChecksPolicy": False}


def actors(run: Run, ruleset: str) -> list[tuple[str, str, str]]:
    """Who passes it: kind, name of the team or number, and when."""
    teams = {asked.inputs["name"]: str(number) for number, asked in enumerate(run.kinds("Team").values())}
    assert teams
    return [
        (one["actorType"], str(one.get("actorId", "")), one["bypassMode"])
        for one in run.one("RepositoryRuleset", ruleset).inputs["bypassActors"]
    ]


def team_id(run: Run, key: str, team: str) -> str:
    return str(run.one("TeamRepository", f"{key}-team-{team}").inputs["teamId"])


@pytest.mark.parametrize("reviews", [0, 2])
def test_main_takes_reviewed_and_validated_pull_requests_only(stack: GitHubStack, reviews: int) -> None:
    stack.file = fleet_file(github={"stack": STACK, "reviews": {"main": reviews}})
    assert inputs(stack.run(), "RepositoryRuleset", "infra-ruleset-main") == {
        "name": "fleet: main",
        "target": "branch",
        "enforcement": "active",
        "conditions": {"refName": {"includes": ["refs/heads/main"], "excludes": []}},
        "bypassActors": [],
        "rules": {
            "deletion": True,
            "nonFastForward": True,
            "requiredLinearHistory": True,
            "pullRequest": pull_request(reviews, "squash", "rebase"),
            "requiredStatusChecks": CHECK,
        },
    }


@pytest.mark.covers("R26", "R61", "R171")
def test_production_takes_merges_with_more_reviews(stack: GitHubStack) -> None:
    """Of the Git design, whose fleet repository has main alone, and as many reviews there."""
    stack.file = git_file()
    run = stack.run()
    production = inputs(run, "RepositoryRuleset", "apps-ruleset-production")
    assert production["rules"]["pullRequest"] == pull_request(2, "merge")
    assert production["rules"]["requiredLinearHistory"] is False
    assert production["conditions"]["refName"]["includes"] == ["refs/heads/production"]
    assert inputs(run, "RepositoryRuleset", "fleet-ruleset-main")["rules"]["pullRequest"] == pull_request(
        2, "squash", "rebase"
    )


@pytest.mark.covers("R12")
def test_only_the_bot_passes_and_only_where_image_automation_commits(stack: GitHubStack) -> None:
    stack.file = git_file()
    run = stack.run()
    bot = ("Team", team_id(run, "infra", "flux-bots"), "always")
    assert actors(run, "infra-ruleset-main") == [bot]
    assert actors(run, "apps-ruleset-main") == [bot]
    assert actors(run, "infra-ruleset-production") == []
    assert actors(run, "fleet-ruleset-main") == []


def test_a_bot_that_is_an_app_passes_as_that_app(stack: GitHubStack) -> None:
    stack.file = git_file(environments=BOTH_APP)
    app = ("Integration", str(APPS["update"]["id"]), "always")
    assert actors(stack.run(), "infra-ruleset-main") == [app]


@pytest.mark.covers("R97")
def test_release_tags_are_made_by_people_and_never_moved(stack: GitHubStack) -> None:
    """Two rulesets: who passes one passes all of it. Owners without an id, which would read as none."""
    run = stack.run()
    fixed, made = (inputs(run, "RepositoryRuleset", f"infra-ruleset-{name}") for name in ("release-tags", "releases"))
    assert fixed["rules"] == {"update": True, "deletion": True, "nonFastForward": True}
    assert made["rules"] == {"creation": True}
    for ruleset in (fixed, made):
        assert ruleset["target"] == "tag"
        assert ruleset["conditions"] == {"refName": {"includes": ["refs/tags/*/v*"], "excludes": []}}
    assert fixed["bypassActors"] == []
    owners = ("OrganizationAdmin", "", "always")
    assert actors(run, "infra-ruleset-releases") == [("Team", team_id(run, "infra", "platform"), "always"), owners]
    tenants = [("Team", team_id(run, "apps", team), "always") for team in ("data", "web")]
    assert sorted(actors(run, "apps-ruleset-releases")) == sorted([*tenants, owners])
    includes = inputs(run, "RepositoryRuleset", "fleet-ruleset-release-tags")["conditions"]["refName"]["includes"]
    assert includes == ["refs/tags/v*"]


def test_classic_rules_say_the_same(stack: GitHubStack) -> None:
    stack.file = fleet_file(github={"stack": STACK, "protection": "classic", "reviews": {"main": 3}})
    assert inputs(stack.run(), "BranchProtection", "apps-protection-main") == {
        "repositoryId": "R_apps",
        "pattern": "main",
        "enforceAdmins": True,
        "allowsDeletions": False,
        "allowsForcePushes": False,
        "requiredLinearHistory": True,
        "requiredPullRequestReviews": [
            {
                "requiredApprovingReviewCount": 3,
                "dismissStaleReviews": True,
                "requireCodeOwnerReviews": True,
                "requireLastPushApproval": True,
            }
        ],
        "requiredStatusChecks": [{"strict": False, "contexts": ["validate"]}],
    }


@pytest.mark.parametrize("protection", ["rulesets", "classic"])
@pytest.mark.parametrize("path", [".github/CODEOWNERS", "CODEOWNERS", "docs/owners"])
def test_code_owners_review_where_the_tree_names_them(stack: GitHubStack, protection: str, path: str) -> None:
    named = path != "docs/owners"
    stack.file = fleet_file(github={"stack": STACK, "protection": protection})
    stack.seed_with({path: b"* @a"})
    run = stack.run()
    if protection == "rulesets":
        rules = inputs(run, "RepositoryRuleset", "infra-ruleset-main")["rules"]
        assert rules["pullRequest"] == pull_request(1, "squash", "rebase", owners=named)
    else:
        (reviews,) = inputs(run, "BranchProtection", "infra-protection-main")["requiredPullRequestReviews"]
        assert reviews["requireCodeOwnerReviews"] is named


def test_an_enterprise_server_knows_actions_by_another_number(stack: GitHubStack) -> None:
    stack.file = git_file(github={"stack": STACK, "url": "https://github.example.com"})
    rules = inputs(stack.run(), "RepositoryRuleset", "infra-ruleset-main")["rules"]
    assert rules["requiredStatusChecks"]["requiredChecks"] == [{"context": "validate", "integrationId": 0}]


# --- environments ----------------------------------------------------------------------------------------------------
def sources(run: Run, key: str) -> dict[str, Mapping[str, Any]]:
    """By environment, where its jobs may come from."""
    policies = run.around(key)
    found: dict[str, Mapping[str, Any]] = {}
    for label, asked in policies.items():
        if label.startswith("RepositoryEnvironmentDeploymentPolicy::"):
            given = dict(asked.inputs)
            assert given.pop("repository") == run.one("Repository", f"{key}-repository").inputs["name"]
            found[given.pop("environment")] = given
    return found


def test_the_environments_take_what_the_fleets_track(stack: GitHubStack) -> None:
    main, tag = {"branchPattern": "main"}, {"tagPattern": "*/v*"}
    run = stack.run()
    assert sources(run, "infra") == {"staging": main, "production": tag}
    assert sources(run, "fleet") == {"staging": main, "production": {"tagPattern": "v*"}}
    policy = run.one("RepositoryEnvironment", "infra-environment-staging").inputs["deploymentBranchPolicy"]
    assert policy == {"protectedBranches": False, "customBranchPolicies": True}


def test_the_environments_of_the_git_design_take_branches(stack: GitHubStack) -> None:
    """Nothing but main reaches what the bot signs in with; no job names another one."""
    stack.file = git_file()
    run = stack.run()
    assert sources(run, "infra") == {"bot": {"branchPattern": "main"}}
    assert sources(run, "fleet") == {}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("    environment: production", {"production"}),
        ("    environment: ${{ github.ref == 'x' && 'production' || 'staging' }}", {"production", "staging"}),
        ("    environment: {name: staging}", {"staging"}),
        ("    environment: pre-production", set()),
        ("    environment: production-eu", set()),
        ("    # environments: production", set()),
        ("    run: deploy production", set()),
    ],
)
def test_the_environments_are_those_that_a_job_names(stack: GitHubStack, line: str, named: set[str]) -> None:
    files = {".github/workflows/some.yaml": line.encode(), "docs/some.yaml": b"environment: staging\nproduction"}
    stack.seed_with(files)
    assert sources(stack.run(), "infra").keys() == named


def test_production_comes_from_its_branch_in_the_git_design(stack: GitHubStack) -> None:
    """And from main in the fleet repository, which has no other."""
    files = {".github/workflows/some.yaml": b"environment: production"}
    stack.seed_with(files)
    stack.file = git_file()
    run = stack.run()
    assert sources(run, "infra")["production"] == {"branchPattern": "production"}
    assert sources(run, "fleet")["production"] == {"branchPattern": "main"}


def test_the_bots_token_is_a_secret_of_its_environment(stack: GitHubStack) -> None:
    stack.file = git_file()
    assert stack.run().one("ActionsEnvironmentSecret", "infra-FLUX_BOT_TOKEN").inputs == {
        "repository": "infra",
        "environment": "bot",
        "secretName": "FLUX_BOT_TOKEN",
        "value": Secret(value_of("updateToken")),
    }


def test_of_an_app_the_key_is_a_secret_and_the_id_is_none(stack: GitHubStack) -> None:
    stack.file = git_file(environments=BOTH_APP)
    run = stack.run()
    key = run.one("ActionsEnvironmentSecret", "apps-FLUX_BOT_APP_KEY").inputs
    assert (key["secretName"], key["value"]) == ("FLUX_BOT_APP_KEY", Secret(value_of("updateAppKey")))
    assert run.one("ActionsEnvironmentVariable", "apps-FLUX_BOT_APP_ID").inputs == {
        "repository": "apps",
        "environment": "bot",
        "variableName": "FLUX_BOT_APP_ID",
        "value": str(APPS["update"]["id"]),
    }


# --- signing in ------------------------------------------------------------------------------------------------------
CLIENT = {"owner": "Acme-Corp", "legacyClient": "true", "parallelRequests": "true", "writeDelayMs": "0"}


def test_the_provider_signs_in_with_the_stacks_token(stack: GitHubStack) -> None:
    """And with the client that repeats a write whole after a rate limit."""
    given = {"baseUrl": "https://github.com", "token": Secret(value_of("githubToken"))}
    assert stack.run().one("github", "github").inputs == CLIENT | given


def test_the_provider_signs_in_as_an_app(stack: GitHubStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the environment becomes no argument. The names are the provider's, within the JSON too."""
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-shell")
    stack.file = git_file(environments=BOTH_APP)
    given = dict(stack.run().one("github", "github").inputs)
    app = given.pop("appAuth")
    assert given == CLIENT | {"baseUrl": "https://github.com", "token": Secret("")}
    assert isinstance(app, Secret)
    assert '"installationId": "200"' in app.value
    assert '"pemFile": "-----BEGIN' in app.value


# --- content ---------------------------------------------------------------------------------------------------------
def test_the_command_brings_the_content_and_tells_nothing(stack: GitHubStack) -> None:
    """Its credential travels in the environment. It deletes nothing: there is no command for that. It runs again for
    other content, and for a repository that was made anew."""
    asked = stack.run().one("Command", "infra-seed")
    given = dict(asked.inputs)
    command = given.pop("create")
    assert command.endswith(f" -m fleet seed --stack {STACK} --repository infra")
    environment = {"GITHUB_TOKEN": Secret(value_of("githubToken"))}
    empty = dict.fromkeys(("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY"), "")
    infra = repositories_of(stack.fleet)["infra"]
    assert given == {
        "environment": environment | empty,
        "logging": "none",
        "triggers": [seed.digest(tree(stack.fleet, infra)), len("infra")],
    }


def test_the_command_signs_in_as_an_app(stack: GitHubStack) -> None:
    """Whatever token the shell may have, it must not be used."""
    stack.file = git_file(environments=BOTH_APP)
    assert stack.run().one("Command", "infra-seed").inputs["environment"] == {
        "GITHUB_TOKEN": "",
        "GITHUB_APP_ID": "100",
        "GITHUB_APP_INSTALLATION_ID": "200",
        "GITHUB_APP_PRIVATE_KEY": Secret(value_of("githubAppKey")),
    }


def test_the_digest_is_of_paths_and_contents() -> None:
    one = {"a": b"1", "b": b"2"}
    others = [{"a": b"2", "b": b"1"}, {"a": b"1"}, {"a": b"1b2"}, {"ab": b"12"}, {"a": b"1", "c": b"2"}]
    assert seed.digest(dict(reversed(one.items()))) == seed.digest(one)
    assert len({seed.digest(each) for each in (one, *others)}) == 1 + len(others)


def test_the_interpreter_is_named_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where it lies below the project: an absolute path would be a change for everybody else."""
    monkeypatch.setattr("pulumi.runtime.get_root_directory", lambda: str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv/bin/python"))
    assert seed.interpreter() == ".venv/bin/python"
    monkeypatch.setattr("sys.executable", "/opt/python")
    assert seed.interpreter() == "/opt/python"


def test_the_outputs_tell_where_the_repositories_are_and_what_became_of_them(stack: GitHubStack) -> None:
    outputs = stack.run().outputs["repositories"]
    assert outputs["infra"] == {
        "url": "https://github.com/Acme-Corp/infra",
        "content": {"action": "seeded", "pull_request": None},
    }
    assert outputs.keys() == {"fleet", "infra", "apps"}


def test_a_plan_knows_what_only_a_run_can_tell_not(stack: GitHubStack) -> None:
    """The numbers of teams, say."""
    run = stack.run(preview=True)
    assert run.one("Repository", "infra-repository").inputs["name"] == "infra"
    assert UNKNOWN not in str(run.one("RepositoryRuleset", "infra-ruleset-main").inputs)
