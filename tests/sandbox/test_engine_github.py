"""The repositories with the real engine and provider, on the double of GitHub: state, import, limits, destroy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.github_double import TOKEN, App, Fault, GitHubDouble, serve
from tests.github_double.faults import secondary_limit
from tests.github_double.organization import Environment
from tests.github_stack import STACK, fleet_file, git_file
from tests.sandbox.github_project import OWNER, Project

pytestmark = pytest.mark.engine

MAIN = {"ref_name": {"include": ["refs/heads/main"], "exclude": []}}


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as double:
        yield double


def start(root: Path, github: GitHubDouble, file: Mapping[str, Any]) -> Project:
    """A project whose stack can run."""
    project = Project(root / "project", github, file)
    project.configure()
    return project


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The Git design, made once; the tests with it go on where the one before has left it."""
    with serve() as double:
        project = start(tmp_path_factory.mktemp("git"), double, git_file())
        project.up()
        yield project


# --- the Git design, from its first run to its end -------------------------------------------------------------------
def test_everything_is_made(git: Project) -> None:
    assert git.counted["created"] >= 40
    infra = git.github.repository(OWNER, "infra")
    assert set(infra.git.refs) == {"refs/heads/main", "refs/heads/production", "refs/fleet/seed"}
    assert "components/cert-manager/controllers/base/kustomization.yaml" in infra.files()
    settings = git.settings("infra")
    assert (settings.visibility, settings.topics) == ("private", ["fluxcd", "gitops", "infra"])
    wanted = {"delete_branch_on_merge": True, "allow_merge_commit": True, "has_wiki": False, "archived": False}
    assert settings.values.items() >= wanted.items()
    teams = {team.slug: team for team in git.github.organization.teams.values()}
    assert teams.keys() == {"platform", "web", "data", "flux-bots"}
    assert teams["platform"].members == {"Ada": "maintainer", "Grace-H": "member"}
    assert teams["flux-bots"].members == {"Acme-Bot": "member"}
    assert (teams["platform"].access[infra.id], teams["flux-bots"].access[infra.id]) == ("maintain", "push")
    assert infra.id not in teams["web"].access
    bot = {"actor_id": teams["flux-bots"].id, "actor_type": "Team", "bypass_mode": "always"}
    assert settings.ruleset("fleet: main")["bypass_actors"] == [bot]
    assert settings.ruleset("fleet: main")["conditions"] == MAIN
    assert infra.protected == {"main", "production"}
    environment = settings.environments["bot"]
    assert list(environment.policies.values()) == [{"name": "main", "type": "branch"}]
    assert environment.secrets.keys() == {"FLUX_BOT_TOKEN"}
    assert '"seeded"' in git.output


def test_no_credential_travels_or_is_kept_in_the_clear(git: Project) -> None:
    assert TOKEN not in "".join(call.body.decode() for call in git.github.calls)
    assert TOKEN not in git.run("stack", "export")
    assert TOKEN not in git.run("stack", "output")


def test_a_second_run_changes_nothing(git: Project) -> None:
    """With a refresh, and in a plan too."""
    assert git.up().keys() == {"unchanged"}
    assert {call.method for call in git.made} == {"GET", "POST"}
    assert not [call for call in git.made if call.method == "POST" and not call.path.endswith("graphql")]
    git.run("preview", "--expect-no-changes")
    assert git.code == 0, git.output


def test_what_is_ours_is_put_right_and_what_is_peoples_stays(git: Project) -> None:
    before, settings = git.picture(), git.settings("infra")
    teams = {team.slug: team for team in git.github.organization.teams.values()}
    settings.values["delete_branch_on_merge"] = False
    settings.rulesets = {n: each for n, each in settings.rulesets.items() if each["name"] != "fleet: main"}
    teams["platform"].access.pop(git.github.repository(OWNER, "infra").id)
    teams["flux-bots"].members["Grace-H"] = "member"
    settings.workflow["can_approve_pull_request_reviews"] = True
    git.up()
    assert git.picture() == before
    settings.values |= {"description": "Mine", "homepage": "https://example.com", "has_wiki": True}
    settings.topics = sorted([*settings.topics, "mine"])
    settings.environments["bot"].rules |= {"wait_timer": 5}
    teams["platform"].description, changed = "Us", git.picture()
    git.up()
    assert git.picture() != changed, "the description of a team has a place in the picture"


def test_a_lost_state_is_found_again(git: Project) -> None:
    """Nothing is written but what is as it was, and nothing is deleted."""
    before = git.picture()
    git.forget()
    found = git.up()
    assert found["imported"] >= 15
    assert git.picture() == before
    assert "DELETE" not in {call.method for call in git.made}
    assert git.up().keys() == {"unchanged"}


def test_a_rotated_token_is_given_to_the_workflows(git: Project) -> None:
    git.github.tokens.add("ghp_rotated")
    git.github.organization.tokens["ghp_rotated"] = "Acme-Bot"
    before = git.settings("infra").environments["bot"].secrets["FLUX_BOT_TOKEN"]
    git.configure(updateToken="ghp_rotated")
    assert git.up()["updated"] == 2
    assert git.settings("infra").environments["bot"].secrets["FLUX_BOT_TOKEN"] != before
    assert "ghp_rotated" not in git.run("stack", "export")


def test_a_team_that_leaves_fleet_yaml_loses_its_access_and_nothing_else(git: Project) -> None:
    teams = {team.slug: team for team in git.github.organization.teams.values()}
    teams["data"].members = {"Grace-H": "member"}
    git.write({**git.file, "teams": {name: each for name, each in git.file["teams"].items() if name != "data"}})
    git.up()
    assert (teams["data"].access, teams["data"].members) == ({}, {"Grace-H": "member"})
    assert teams["data"].id in git.github.organization.teams


def test_a_renamed_repository_keeps_everything(git: Project) -> None:
    """Also the production branch and the access of the teams, which the provider makes anew."""
    repository = git.github.repository(OWNER, "infra")
    before = git.picture()["repositories"]["infra"]
    git.write({**git.file, "repositories": {"infra": "platform-infra"}})
    git.up()
    assert git.github.repository(OWNER, "platform-infra") is repository
    proposed = sorted([*before["refs"], "refs/heads/fleet/update"])
    assert git.picture()["repositories"]["platform-infra"] == before | {"refs": proposed}
    teams = {team.slug: team.access.get(repository.id) for team in git.github.organization.teams.values()}
    assert teams == {"platform": "maintain", "flux-bots": "push", "web": None, "data": None}
    assert git.up().keys() == {"unchanged"}


def test_destroying_archives_the_repositories_and_deletes_nothing_of_people(git: Project) -> None:
    """What protects them stays too, for the day when they are taken out of the archive."""
    before = git.picture()
    git.run("destroy", "--yes")
    assert git.code == 0, git.output
    after = git.picture()
    for repository in before["repositories"].values():
        repository["settings"]["archived"] = True
    assert after == before
    assert {call.method for call in git.made} <= {"GET", "POST", "PATCH"}


def test_archived_repositories_are_told_before_anything_is_made(git: Project) -> None:
    before = git.picture()
    git.run("up", "--yes", "--skip-preview")
    assert git.code
    assert "the repositories cannot be made, nothing was changed (3 problems)" in git.output
    assert "`gh repo unarchive Acme-Corp/platform-infra`, or choose another name" in git.output
    assert git.picture() == before


# --- other beginnings ------------------------------------------------------------------------------------------------
def test_the_oci_design_protects_release_tags(tmp_path: Path, github: GitHubDouble) -> None:
    """And lets publishing jobs come from main and from release tags only."""
    project = start(tmp_path, github, fleet_file())
    project.up()
    infra = project.settings("infra")
    assert infra.ruleset("fleet: release-tags")["conditions"]["ref_name"]["include"] == ["refs/tags/*/v*"]
    assert {rule["type"] for rule in infra.ruleset("fleet: release-tags")["rules"]} >= {"update", "deletion"}
    (team,) = [team for team in github.organization.teams.values() if team.slug == "platform"]
    assert infra.ruleset("fleet: releases")["bypass_actors"] == [
        {"actor_id": team.id, "actor_type": "Team", "bypass_mode": "always"},
        {"actor_type": "OrganizationAdmin", "bypass_mode": "always"},
    ]
    policies = {name: list(each.policies.values()) for name, each in infra.environments.items()}
    assert policies == {
        "staging": [{"name": "main", "type": "branch"}],
        "production": [{"name": "*/v*", "type": "tag"}],
    }
    assert project.up().keys() == {"unchanged"}


def test_classic_rules_settle_and_are_found_again(tmp_path: Path, github: GitHubDouble) -> None:
    project = start(tmp_path, github, fleet_file(github={"stack": STACK, "protection": "classic"}))
    project.up()
    (rule,) = project.settings("infra").rules.values()
    strict = ("isAdminEnforced", "requiresLinearHistory", "requiresStatusChecks", "requiresApprovingReviews")
    assert {key: rule[key] for key in strict} == dict.fromkeys(strict, True)
    assert (rule["requiredStatusCheckContexts"], rule["allowsForcePushes"], rule["allowsDeletions"]) == (
        ["validate"],
        False,
        False,
    )
    assert project.up().keys() == {"unchanged"}
    before = project.picture()
    project.forget()
    project.up()
    assert project.picture() == before


def test_an_app_makes_everything_as_itself(tmp_path: Path, github: GitHubDouble) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    github.app = App(id="11", installation=22, public_key=public)
    github.organization.permissions = dict.fromkeys(
        ("administration", "actions", "contents", "environments", "members", "metadata", "pull_requests", "secrets"),
        "write",
    ) | {"workflows": "write"}
    apps = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases", "auth": "app"}}
    project = Project(tmp_path / "project", github, git_file(environments=apps))
    used = {use: {"id": 11, "installation": 22} for use in ("github", "platform", "tenants", "update")}
    project.configure(used, **{f"{use}AppKey": pem for use in used})
    project.up()
    github.tokens.clear()
    assert project.up().keys() == {"unchanged"}, "no call was made with a token"
    infra = project.settings("infra")
    assert infra.environments["bot"].variables == {"FLUX_BOT_APP_ID": "11"}
    assert infra.environments["bot"].secrets.keys() == {"FLUX_BOT_APP_KEY"}
    bot = {"actor_id": 11, "actor_type": "Integration", "bypass_mode": "always"}
    assert infra.ruleset("fleet: main")["bypass_actors"] == [bot]
    assert pem.splitlines()[3] not in project.run("stack", "export")
    before = project.picture()
    project.forget()
    project.up()
    assert project.picture() == before


def test_what_others_made_is_taken_over_without_a_loss(tmp_path: Path, github: GitHubDouble) -> None:
    """A repository with a history, settings, an environment and a ruleset of its own, and a team within another."""
    organization, theirs = github.organization, github.create(OWNER, "infra", auto_init=True)
    theirs.git.refs["refs/heads/master"] = theirs.git.refs.pop("refs/heads/main")
    theirs.default_branch = "master"
    head = theirs.commit({"own.txt": b"mine"}, "master")
    settings = organization.settings_of(theirs)
    own = {"description": "Mine", "homepage": "https://example.com", "has_wiki": True, "allow_auto_merge": True}
    settings.values |= own | {"squash_merge_commit_title": "PR_TITLE", "is_template": True, "has_discussions": True}
    settings.topics = ["mine"]
    above = organization.add_team("Everyone")
    team = organization.add_team(
        "Platform", description="Us", parent=above.id, notification_setting="notifications_disabled"
    )
    team.members = {"Ada": "maintainer"}
    reviewers = [{"type": "Team", "id": team.id}]
    settings.environments["production"] = Environment(
        id=1, name="production", rules={"reviewers": reviewers, "wait_timer": 30, "deployment_branch_policy": None}
    )
    ruleset = {"name": "mine", "target": "branch", "enforcement": "active", "conditions": MAIN, "bypass_actors": []}
    settings.rulesets[9] = ruleset | {"rules": [{"type": "deletion"}]}
    project = start(tmp_path, github, fleet_file())
    project.run("preview")
    assert "`Acme-Corp/infra`: exists already and is taken over" in project.output
    assert project.counted["import"] >= 3
    project.up()
    assert settings.values.items() >= own.items()
    assert (settings.values["squash_merge_commit_title"], settings.values["is_template"]) == ("PR_TITLE", True)
    assert settings.topics == ["fluxcd", "gitops", "infra", "mine"]
    assert {"mine", "fleet: main"} <= {each["name"] for each in settings.rulesets.values()}
    production = settings.environments["production"].rules
    assert (production["reviewers"], production["wait_timer"]) == (reviewers, 30)
    assert (team.name, team.description, team.parent, team.privacy) == ("Platform", "Us", above.id, "closed")
    assert team.members == {"Ada": "maintainer", "Grace-H": "member"}
    assert theirs.default_branch == "main"
    assert theirs.head() == head, "main is people's"
    assert [pull.head for pull in theirs.pulls.values()] == ["fleet/update"]
    assert project.up().keys() == {"unchanged"}


def test_repositories_can_be_left_as_they_are(tmp_path: Path, github: GitHubDouble) -> None:
    project = start(tmp_path, github, git_file(github={"stack": STACK, "archiveOnDestroy": False}))
    project.up()
    before = project.picture()
    project.run("destroy", "--yes")
    assert project.code == 0, project.output
    assert project.picture() == before


def test_a_repository_that_somebody_deleted_is_made_again(tmp_path: Path, github: GitHubDouble) -> None:
    """Not by a refresh: the provider fails to read the workflow permissions of what is not there. One run without it
    makes the repository, and the next one with it finds everything in place."""
    project = start(tmp_path, github, git_file())
    project.up()
    before = project.picture()
    github.repositories["gone"] = github.repositories.pop(f"{OWNER}/infra".lower())
    github.repositories["gone"].name = "gone"
    project.run("up", "--yes", "--skip-preview")
    assert project.code
    project.run("up", "--yes", "--skip-preview", "--refresh=false")
    project.up()
    assert project.picture()["repositories"]["infra"] == before["repositories"]["infra"]


# --- GitHub is not always there --------------------------------------------------------------------------------------
WRITES = (
    r"POST .*/orgs/.*/repos$",
    r"PUT .*/topics$",
    r"PATCH .*/repos/[^/]*/infra$",
    r"POST .*/teams$",
    r"PUT .*/memberships/",
    r"PUT .*/team/.*/repos/",
    r"PUT .*/environments/[a-z]+$",
    r"POST .*/deployment-branch-policies$",
    r"PUT .*/secrets/",
    r"PUT .*/permissions/workflow$",
    r"POST .*/rulesets$",
    r"POST .*/git/refs$",
    r"POST .*/git/trees$",
)
"""One for each kind of thing that is written."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an undisturbed run makes of the Git design."""
    with serve() as double:
        project = start(tmp_path_factory.mktemp("reference"), double, git_file())
        project.up()
        return project.picture()


def disturb(project: Project, faults: list[Fault]) -> int:
    """Runs until one succeeds; how many it took."""
    project.github.faults += faults
    for number in range(1, 6):
        project.run("up", "--yes", "--skip-preview")
        if project.code == 0:
            return number
    raise AssertionError(project.output)


def test_a_limit_on_every_kind_of_write_loses_none(
    tmp_path: Path, github: GitHubDouble, reference: Mapping[str, Any]
) -> None:
    project = start(tmp_path, github, git_file())
    assert disturb(project, [secondary_limit(calls, seconds=1) for calls in WRITES]) == 1
    assert [call.status for call in github.calls].count(403) == len(WRITES)
    assert project.picture() == reference
    assert project.up().keys() == {"unchanged"}


def test_errors_of_github_on_every_kind_of_write_lose_none(
    tmp_path: Path, github: GitHubDouble, reference: Mapping[str, Any]
) -> None:
    project = start(tmp_path, github, git_file())
    assert disturb(project, [Fault(calls=calls, status=502) for calls in WRITES]) == 1
    assert project.picture() == reference


def test_lost_answers_are_made_good_by_the_next_runs(
    tmp_path: Path, github: GitHubDouble, reference: Mapping[str, Any]
) -> None:
    """What was made although nobody heard of it is taken over; nothing is there twice.

    GitHub makes whoever makes a team its maintainer, and so it stays where that answer was lost: a team that exists is
    people's, and its members are left alone unless fleet.yaml names them.
    """
    project = start(tmp_path, github, git_file())
    assert disturb(project, [Fault(calls=calls, drop="after") for calls in WRITES]) > 1
    for team in github.organization.teams.values():
        if team.slug in ("web", "data"):
            assert team.members in ({}, {"Ada": "maintainer"})
            team.members = {}
    assert project.picture() == reference
    assert project.up().keys() == {"unchanged"}


STEPS = {
    "repository": r"PUT .*/topics$",
    "environments": r"POST .*/deployment-branch-policies$",
    "seed": r"POST .*/git/trees$",
    "access": r"PUT .*/team/.*/repos/",
    "protection": r"POST .*/rulesets$",
    "credentials": r"PUT .*/secrets/",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_fails_at_any_step_is_resumed(
    tmp_path: Path, github: GitHubDouble, reference: Mapping[str, Any], step: str
) -> None:
    """Refused outright, as for a missing permission."""
    project = start(tmp_path, github, git_file())
    github.faults.append(Fault(calls=STEPS[step], status=403, message="Resource not accessible by this token"))
    project.run("up", "--yes", "--skip-preview")
    assert project.code
    project.up()
    assert project.picture() == reference


def test_a_plan_needs_no_github(tmp_path: Path, github: GitHubDouble) -> None:
    """Made without knowing, and it says so; `up` is refused."""
    project = start(tmp_path, github, git_file())
    github.faults.append(Fault(times=10_000, drop="before"))
    project.run("preview")
    assert project.code == 0, project.output
    assert project.counted["create"] >= 40
    assert "the plan is made without knowing what is on GitHub already" in project.output
    project.run("up", "--yes", "--skip-preview")
    assert project.code
    assert "the repositories cannot be made, nothing was changed" in project.output
    assert github.repositories == {}
