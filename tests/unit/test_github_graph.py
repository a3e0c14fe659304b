"""Which resources the stack that makes the repositories declares, in which order, and with which options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.github_stack import GITHUB, STACK, GitHubStack, Run, fleet_file, git_file, short
from tests.reader import Reader

pytestmark = pytest.mark.github


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader) -> GitHubStack:
    return GitHubStack(tmp_path, monkeypatch)


# --- what there is ---------------------------------------------------------------------------------------------------
EVERYWHERE = {
    "Repository::repository",
    "BranchDefault::default-branch",
    "WorkflowRepositoryPermissions::workflows",
    "Command::seed",
    "RepositoryRuleset::ruleset-main",
}
TAGS = {"RepositoryRuleset::ruleset-release-tags", "RepositoryRuleset::ruleset-releases"}
PRODUCTION = {"Branch::production", "RepositoryRuleset::ruleset-production"}
PUBLISHING = {
    "RepositoryEnvironment::environment-staging",
    "RepositoryEnvironment::environment-production",
    "RepositoryEnvironmentDeploymentPolicy::policy-staging",
    "RepositoryEnvironmentDeploymentPolicy::policy-production",
}
BOT = {"RepositoryEnvironment::environment-bot", "RepositoryEnvironmentDeploymentPolicy::policy-bot"}
TOKEN = BOT | {"ActionsEnvironmentSecret::FLUX_BOT_TOKEN"}


def access(*teams: str) -> set[str]:
    return {f"TeamRepository::team-{team}" for team in teams}


def test_the_repositories_of_the_oci_design(stack: GitHubStack) -> None:
    run = stack.run()
    platform, tenants = access("platform", "flux-bots"), access("web", "data", "flux-bots")
    assert run.kinds("FleetRepository").keys() == {"fleet", "infra", "apps"}
    assert run.around("fleet").keys() == EVERYWHERE | PUBLISHING | TAGS | platform
    assert run.around("infra").keys() == EVERYWHERE | PUBLISHING | TAGS | platform
    assert run.around("apps").keys() == EVERYWHERE | PUBLISHING | TAGS | tenants


def test_the_repositories_of_the_git_design(stack: GitHubStack) -> None:
    """Promotion is a merge to production, and image automation acts as the bot."""
    stack.file = git_file()
    run = stack.run()
    assert run.around("fleet").keys() == EVERYWHERE | access("platform", "flux-bots")
    assert run.around("infra").keys() == EVERYWHERE | PRODUCTION | TOKEN | access("platform", "flux-bots")
    assert run.around("apps").keys() == EVERYWHERE | PRODUCTION | TOKEN | access("web", "data", "flux-bots")


def test_an_update_cluster_makes_the_fleet_repository_act_as_the_bot(stack: GitHubStack) -> None:
    """Its workflow starts image automation; no job of another branch gets the token, and no environment is its own."""
    updates = {"updates": {"tracks": "main", "role": "update"}}
    stack.file = fleet_file(environments=stack.file["environments"] | updates)
    stack.file["clusters"] |= {"updates": {"environment": "updates"}}
    run = stack.run()
    assert run.around("fleet").keys() == EVERYWHERE | PUBLISHING | TAGS | TOKEN | access("platform", "flux-bots")
    assert run.around("infra").keys() == EVERYWHERE | PUBLISHING | TAGS | access("platform", "flux-bots")


def test_classic_rules_take_the_place_of_rulesets_for_branches_only(stack: GitHubStack) -> None:
    """Tags have no other protection any more."""
    stack.file = fleet_file(github={"stack": STACK, "protection": "classic"})
    own = EVERYWHERE - {"RepositoryRuleset::ruleset-main"} | {"BranchProtection::protection-main"}
    assert stack.run().around("infra").keys() == own | PUBLISHING | TAGS | access("platform", "flux-bots")


def test_a_bot_that_is_an_app_has_no_team_and_signs_in_with_its_key(stack: GitHubStack) -> None:
    apps = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases", "auth": "app"}}
    stack.file = git_file(environments=apps)
    run = stack.run()
    app = {"ActionsEnvironmentVariable::FLUX_BOT_APP_ID", "ActionsEnvironmentSecret::FLUX_BOT_APP_KEY"}
    assert run.around("infra").keys() == EVERYWHERE | PRODUCTION | BOT | app | access("platform")
    assert run.kinds("Team").keys() == {"github-team-platform", "github-team-web", "github-team-data"}
    assert run.kinds("TeamMembers").keys() == {"github-members-platform"}


def test_a_tenant_with_a_repository_of_its_own(stack: GitHubStack) -> None:
    """Its team works there, and the platform team maintains it."""
    stack.file["tenants"] |= {"shop": {"team": "data", "repository": "shop-deploy"}}
    run = stack.run()
    assert run.kinds("FleetRepository").keys() == {"fleet", "infra", "apps", "own-shop-deploy"}
    assert run.around("own-shop-deploy").keys() == EVERYWHERE | PUBLISHING | TAGS | access(
        "platform", "data", "flux-bots"
    )
    assert run.one("Repository", "own-shop-deploy-repository").inputs["name"] == "shop-deploy"


def test_a_shared_repository_keeps_its_name_within_the_stack_when_it_is_renamed(stack: GitHubStack) -> None:
    """So it is renamed on GitHub, instead of archived and made anew."""
    stack.file["repositories"] = {"infra": "platform-infra"}
    assert stack.run().one("Repository", "infra-repository").inputs["name"] == "platform-infra"


def test_the_teams_and_those_whose_members_are_named(stack: GitHubStack) -> None:
    run = stack.run()
    names = {f"github-team-{name}" for name in ("platform", "web", "data", "flux-bots")}
    assert run.kinds("Team").keys() == names
    assert run.kinds("TeamMembers").keys() == {"github-members-platform", "github-members-flux-bots"}


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_every_other_stack_only_uses_the_names(stack: GitHubStack, preview: bool) -> None:
    """It asks neither GitHub nor for its own state."""
    run = stack.run(stack="other", environment="production", preview=preview)
    assert not [asked for asked in run.monitor.registrations if "github" in asked.type.lower()]
    assert (stack.oracle.asked, run.monitor.invoked) == ([], [])
    assert "repositories" not in run.outputs


def test_a_fleet_whose_repositories_others_make(stack: GitHubStack) -> None:
    stack.file = fleet_file(github={})
    assert not stack.run().kinds("FleetRepository")


# --- order -----------------------------------------------------------------------------------------------------------
def stages(run: Run, key: str) -> list[set[str]]:
    """What is around a repository, step by step: each needs something of the step before, and nothing of its own."""
    around = run.around(key)
    labels = {short(asked): label for label, asked in around.items()}
    earlier = {label: {labels[b] for b in run.before(asked) if b in labels} for label, asked in around.items()}
    found: list[set[str]] = []
    while earlier:
        found.append({label for label, before in earlier.items() if not before & earlier.keys()})
        earlier = {label: before for label, before in earlier.items() if label not in found[-1]}
    return found


def test_the_steps_of_a_repository_in_the_git_design(stack: GitHubStack) -> None:
    """Content before protection, which would refuse it; the environments before it too, since the first commit starts
    workflows; credentials when main is protected."""
    stack.file = git_file()
    assert stages(stack.run(), "infra") == [
        {"Repository::repository"},
        {
            "BranchDefault::default-branch",
            "WorkflowRepositoryPermissions::workflows",
            "RepositoryEnvironment::environment-bot",
        },
        {"RepositoryEnvironmentDeploymentPolicy::policy-bot"},
        {"Command::seed"},
        {"Branch::production"},
        access("platform", "flux-bots"),
        {"RepositoryRuleset::ruleset-main", "RepositoryRuleset::ruleset-production"},
        {"ActionsEnvironmentSecret::FLUX_BOT_TOKEN"},
    ]


@pytest.mark.parametrize("protection", ["rulesets", "classic"])
def test_the_steps_of_a_repository_in_the_oci_design(stack: GitHubStack, protection: str) -> None:
    stack.file = fleet_file(github={"stack": STACK, "protection": protection})
    *_, seed, admitted, protected = stages(stack.run(), "apps")
    main = "RepositoryRuleset::ruleset-main" if protection == "rulesets" else "BranchProtection::protection-main"
    assert (seed, admitted, protected) == ({"Command::seed"}, access("web", "data", "flux-bots"), {main, *TAGS})


def test_repositories_wait_for_no_other_and_teams_for_no_repository(stack: GitHubStack) -> None:
    run = stack.run()
    for key in ("fleet", "infra", "apps"):
        earlier = run.before(*run.around(key).values())
        assert not {each for each in earlier if each.startswith("Repository::")} - {f"Repository::{key}-repository"}
    assert not {each for each in run.before(*run.kinds("Team").values()) if "Repository" in each}


# --- options ---------------------------------------------------------------------------------------------------------
PRECIOUS = {"Team", "TeamMembers", "Branch"}


@pytest.mark.parametrize("archive", [True, False])
def test_nothing_that_people_work_with_is_ever_deleted(stack: GitHubStack, archive: bool) -> None:
    """The provider archives a repository instead, or is not asked to delete it; what is around it goes with it."""
    stack.file = git_file(github={"stack": STACK, "archiveOnDestroy": archive})
    run = stack.run()
    for asked in run.resources.values():
        kind = asked.type.rpartition(":")[2]
        if kind == "Repository":
            assert (asked.inputs["archiveOnDestroy"], asked.retain_on_delete or False) == (archive, not archive)
        elif kind in PRECIOUS:
            assert asked.retain_on_delete, asked.label
        elif asked.type.startswith((GITHUB, "command:local")):
            key = asked.parent.rpartition("::")[2]
            assert asked.deleted_with == run.one("Repository", f"{key}-repository").urn
            assert (asked.retain_on_delete, asked.delete_before_replace) == (None, True)


def test_every_resource_has_the_explicit_provider(stack: GitHubStack) -> None:
    run = stack.run()
    providers = {"github": "pulumi:providers:github::github", "command": "pulumi:providers:command::github"}
    for asked in run.resources.values():
        package = asked.type.partition(":")[0]
        if package in providers and not asked.type.startswith("pulumi:providers:"):
            used = asked.provider.rpartition("::")[0]
            assert used.split("::", 2)[2].rpartition("$")[2] == providers[package], asked.label


def test_on_github_for_the_first_time_nothing_is_imported(stack: GitHubStack) -> None:
    assert {asked.import_id for asked in stack.run().resources.values()} == {""}
