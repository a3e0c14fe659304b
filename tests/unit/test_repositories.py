"""The GitHub repositories that follow from a fleet: what is in each, who may do what, how main is protected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from fleet.model import Branch, Fleet, Repository, repositories_of
from tests.rendering import CASES, load_case, make_fleet

each_case: Final = pytest.mark.parametrize("case", CASES)
each_design: Final = pytest.mark.parametrize("design", ["oci", "git"])

TEAMS: Final = {
    "platform": {"role": "platform"},
    "sre": {"role": "platform"},
    "web": {"role": "tenant"},
    "data": {"role": "tenant"},
    "idle": {"role": "tenant"},
}
TENANTS: Final[dict[str, dict[str, Any]]] = {
    "frontend": {"team": "web", "source": "Frontend"},
    "backend": {"team": "data"},
    "shop": {"team": "web", "repository": "Shop.Deploy", "source": "shop"},
    "cart": {"team": "data", "repository": "Shop.Deploy", "source": "shop"},
    "metrics": {"team": "sre", "repository": "metrics"},
}


def made(design: str = "oci", **sections: Any) -> dict[str, Repository]:
    given: dict[str, Any] = {
        "design": design,
        "repositories": {"fleet": "f", "infra": "i", "apps": "a"},
        "teams": TEAMS,
        "components": {"ingress": {}},
        "tenants": TENANTS,
    }
    return repositories_of(make_fleet(**given | sections))


def access(repositories: Mapping[str, Repository]) -> dict[str, dict[str, str]]:
    return {name: dict(repository.access) for name, repository in repositories.items()}


# --- which there are -------------------------------------------------------------------------------------------------
@each_design
@pytest.mark.covers("R1", "R10", "R32", "R69", "R122", "R136")
def test_there_are_three_and_those_of_tenants_that_want_one(design: str) -> None:
    """Platform components in infra; a tenant's folder in apps or in a repository of its own; code beside it."""
    found = {name: (repository.role, repository.workloads) for name, repository in made(design).items()}
    assert found == {
        "f": ("fleet", ()),
        "i": ("infra", ("ingress",)),
        "a": ("apps", ("frontend", "backend")),
        "Shop.Deploy": ("apps", ("shop", "cart")),
        "metrics": ("apps", ("metrics",)),
        "Frontend": ("source", ("frontend",)),
        "shop": ("source", ("shop", "cart")),
    }
    assert all(name == repository.name for name, repository in made(design).items())


def test_a_tenant_that_names_the_shared_repository_shares_it() -> None:
    found = made(tenants={"frontend": {"team": "web", "repository": "a"}})
    assert list(found) == ["f", "i", "a"]
    assert found["a"].workloads == ("frontend",)


@each_case
def test_every_workload_is_in_one_repository_that_delivers(case: str) -> None:
    fleet = load_case(case)
    found = [name for r in repositories_of(fleet).values() if r.role != "source" for name in r.workloads]
    assert sorted(found) == sorted([*fleet.components, *fleet.tenants])


def test_a_repository_says_what_it_is() -> None:
    found = made()
    assert len({repository.description for repository in found.values()}) == len(found)
    assert all("\n" not in repository.description and repository.description for repository in found.values())
    assert {r.topics[-1] for r in found.values()} == {"fleet", "infra", "apps", "source"}


# --- who may do what -------------------------------------------------------------------------------------------------
BOT: Final = {"flux-bots": "push"}


@each_design
@pytest.mark.covers("R2", "R11", "R33", "R44", "R70", "R101", "R117", "R128", "R137", "R139", "R156", "R162")
def test_each_team_reaches_what_is_its_own(design: str) -> None:
    """Platform: admin of fleet, maintains infra; tenants: push to where their tenants are; nobody else anything."""
    platform = dict.fromkeys(("platform", "sre"), "maintain")
    tenants, both = dict.fromkeys(("web", "data", "idle"), "push"), dict.fromkeys(("web", "data"), "push")
    assert access(made(design)) == {
        "f": {"platform": "admin", "sre": "admin", "flux-bots": "pull"},
        "i": platform | BOT,
        "a": tenants | BOT,
        "Shop.Deploy": platform | both | BOT,
        "metrics": platform | BOT,
        "Frontend": {"web": "push"},
        "shop": both,
    }


@each_design
def test_nobody_but_the_platform_team_may_change_settings(design: str) -> None:
    """Whoever is admin, or maintains, could lift the protection of main."""
    for repository in made(design).values():
        mighty = {team for team, permission in repository.access.items() if permission in ("maintain", "admin")}
        assert mighty <= {"platform", "sre"}


@pytest.mark.parametrize(
    ("design", "auth", "account"),
    [("oci", "token", True), ("oci", "app", True), ("git", "token", True), ("git", "app", False)],
)
@pytest.mark.covers("R100")
def test_the_bots_team_is_there_where_the_bot_is_an_account(design: str, auth: str, account: bool) -> None:
    """An App is no user; but container registries know users only."""
    found = made(design, environments={"staging": {"tracks": "main", "auth": auth}})
    assert {name for name, repository in found.items() if "flux-bots" in repository.access} == (
        {"f", "i", "a", "Shop.Deploy", "metrics"} if account else set()
    )


def test_one_environment_with_tokens_is_enough_for_an_account() -> None:
    environments = {"staging": {"tracks": "main", "auth": "app"}, "production": {"tracks": "releases"}}
    clusters = {name: {"environment": name} for name in environments}
    assert "flux-bots" in made("git", environments=environments, clusters=clusters)["f"].access


@each_case
def test_only_teams_of_the_file_and_the_bots_have_access(case: str) -> None:
    fleet = load_case(case)
    for repository in repositories_of(fleet).values():
        assert repository.access.keys() <= {*fleet.teams, "flux-bots"}


# --- protection ------------------------------------------------------------------------------------------------------
REVIEWS: Final = {"reviews": {"main": 1, "production": 3}}


@pytest.mark.covers("R20", "R52")
def test_in_the_oci_design_everything_goes_through_pull_requests() -> None:
    """Image automation too: it proposes. What is released is a tag."""
    for name, repository in made("oci", github=REVIEWS).items():
        assert repository.branches == (Branch(name="main", reviews=1),), name
        assert not any(branch.bot_pushes for branch in repository.branches)


@pytest.mark.covers("R12", "R20", "R26", "R52", "R61", "R171")
def test_in_the_git_design_only_the_bot_pushes_and_production_is_reviewed_as_such() -> None:
    """To main of infra and apps, where it moves chart versions; main of fleet reaches production at once."""
    delivered = (Branch(name="main", reviews=1, bot_pushes=True), Branch(name="production", reviews=3))
    assert {name: repository.branches for name, repository in made("git", github=REVIEWS).items()} == {
        "f": (Branch(name="main", reviews=3),),
        "i": delivered,
        "a": delivered,
        "Shop.Deploy": delivered,
        "metrics": delivered,
        "Frontend": (Branch(name="main", reviews=1),),
        "shop": (Branch(name="main", reviews=1),),
    }


@each_case
def test_the_bot_pushes_to_no_main_that_image_automation_does_not_write_to(case: str) -> None:
    fleet = load_case(case)
    for repository in repositories_of(fleet).values():
        pushes = {branch.name for branch in repository.branches if branch.bot_pushes}
        assert pushes == ({"main"} if fleet.design == "git" and repository.automated else set())
        assert not pushes or repository.access.get("flux-bots", "push") == "push"


@pytest.mark.parametrize(
    ("design", "tags"),
    [
        ("oci", {"f": "v*", "i": "*/v*", "a": "*/v*", "Shop.Deploy": "*/v*", "metrics": "*/v*"}),
        ("git", dict.fromkeys(("f", "i", "a", "Shop.Deploy", "metrics"))),
    ],
)
@pytest.mark.covers("R97")
def test_tags_that_release_are_nobodys_to_move(design: str, tags: dict[str, str | None]) -> None:
    """A tag of the fleet is one of all, a tag of the others names the component; code has releases in any design."""
    found = {name: repository.release_tags for name, repository in made(design).items()}
    assert found == tags | {"Frontend": "v*", "shop": "v*"}


UPDATING: Final[dict[str, Any]] = {
    "environments": {"staging": {"tracks": "main"}, "update": {"tracks": "main", "role": "update"}},
    "clusters": {"staging": {"environment": "staging"}, "update": {"environment": "update"}},
}


@pytest.mark.parametrize(
    ("design", "sections", "writing"),
    [
        ("oci", {}, set()),
        ("oci", UPDATING, {"f"}),
        ("git", {}, {"i", "a", "Shop.Deploy", "metrics"}),
    ],
)
def test_workflows_act_as_the_bot_only_where_they_must(design: str, sections: Any, writing: set[str]) -> None:
    """Where an update cluster is started, or where production is proposed."""
    found = made(design, **sections)
    assert {name for name, repository in found.items() if repository.bot_writes} == writing


# --- names -----------------------------------------------------------------------------------------------------------
def test_a_namespace_of_image_automation_is_one_for_kubernetes() -> None:
    names = {name: repository.update_namespace for name, repository in made().items() if repository.automated}
    assert names == {
        "i": "i-update",
        "a": "a-update",
        "Shop.Deploy": "shop-deploy-update",
        "metrics": "metrics-update",
    }


def test_an_owner_in_upper_case_gives_paths_of_the_registry_in_lower_case() -> None:
    """And keeps its name where GitHub is meant."""
    fleet: Fleet = make_fleet(owner="Acme-Corp", registry="ghcr.io", repositories={"fleet": "Fleet"})
    assert fleet.artifacts == "ghcr.io/acme-corp"
    assert fleet.repository_url("Fleet") == "https://github.com/Acme-Corp/Fleet.git"
