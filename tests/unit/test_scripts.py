"""The scripts of the generated repositories, run for real, with stand-ins for what they would change elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from fleet.manifests.instance import flux_instance
from tests.documents import fleet_of, texts_of, trusted_by, trusted_subjects
from tests.scripts import Checkout, github

# --- publishing ------------------------------------------------------------------------------------------------------
PUSH: Final = "push-artifact.sh"
OWNER: Final = "acme-platform"
INFRA: Final = "ghcr.io/acme-platform/infra"
FLEET_ARTIFACT: Final = "ghcr.io/acme-platform/fleet"
MAIN: Final = github(f"{OWNER}/infra", "refs/heads/main", "push-artifact.yaml")
FLEET_MAIN: Final = github(f"{OWNER}/fleet", "refs/heads/main", "push-artifact.yaml")


@pytest.fixture
def infra(tmp_path: Path) -> Checkout:
    """The infra repository of the default fleet, with two components."""
    components = {f"components/{name}/base/x.yaml": b"a: 1\n" for name in ("cert-manager", "monitoring")}
    return Checkout.make(tmp_path, documents_of("default", "infra") | components)


@pytest.fixture
def fleet(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path, documents_of("default", "fleet") | {"clusters/staging/x.yaml": b"a: 1\n"})


def documents_of(case: str, repository: str) -> dict[str, bytes]:
    return {path: text.encode() for path, text in texts_of(case)[repository].items()}


def tag(component: str, version: str, workflow: str = "release-artifact.yaml") -> dict[str, str]:
    return github(f"{OWNER}/infra", f"refs/tags/{component}/{version}", workflow)


def released(version: str) -> dict[str, str]:
    return github(f"{OWNER}/fleet", f"refs/tags/{version}", "push-artifact.yaml")


def tags_of(checkout: Checkout, repository: str) -> dict[str, str]:
    return {
        name.rpartition(":")[2]: digest
        for name, digest in checkout.state["tags"].items()
        if name.rpartition(":")[0] == repository
    }


@pytest.mark.covers("R91", "R113")
def test_main_publishes_each_component_as_latest_and_later_only_what_changed(infra: Checkout) -> None:
    """A new folder is enough for a component to be published."""
    assert infra.run(PUSH, **MAIN).returncode == 0
    before = {name: tags_of(infra, f"{INFRA}/{name}") for name in ("cert-manager", "monitoring")}
    infra.write("components/monitoring/base/x.yaml", "a: 2\n")
    infra.write("components/new/base/x.yaml", "a: 1\n")
    commit = infra.commit()
    run = infra.run(PUSH, **MAIN)
    assert run.returncode == 0, run.stderr
    assert tags_of(infra, f"{INFRA}/cert-manager") == before["cert-manager"]
    assert f"{INFRA}/cert-manager: unchanged" in run.stdout
    for name in ("monitoring", "new"):
        tags = tags_of(infra, f"{INFRA}/{name}")
        assert tags["latest"] == tags[f"main-{commit[:8]}"] != before.get(name, {}).get("latest")
        artifact = infra.state["artifacts"][tags["latest"]]
        assert artifact["revision"] == f"main@sha1:{commit}"
        assert artifact["source"] == f"https://github.com/{OWNER}/infra"
        assert list(artifact["files"]) == ["base/x.yaml"]
        assert infra.state["signers"][tags["latest"]] == [f"https://github.com/{MAIN['GITHUB_WORKFLOW_REF']}"]
    pushed = [call for call in infra.calls if call[:2] == ["flux", "push"]]
    names = [call[3].rpartition("/")[2].partition(":")[0] for call in pushed]
    assert names == ["cert-manager", "monitoring", "monitoring", "new"]
    assert all("--reproducible" in call for call in pushed), "the same commit is the same artifact, if pushed again"


@pytest.mark.covers("R79")
def test_clusters_never_meet_an_artifact_before_its_signature(infra: Checkout) -> None:
    """`latest` stays where it is when signing fails, and moves when the run is repeated."""
    infra.run(PUSH, **MAIN)
    before = tags_of(infra, f"{INFRA}/monitoring")["latest"]
    infra.write("components/monitoring/base/x.yaml", "a: 2\n")
    infra.commit()
    infra.state |= {"fails": [["cosign", "sign"]]}
    assert infra.run(PUSH, **MAIN).returncode == 1
    assert tags_of(infra, f"{INFRA}/monitoring")["latest"] == before
    infra.state |= {"fails": []}
    assert infra.run(PUSH, **MAIN).returncode == 0
    after = tags_of(infra, f"{INFRA}/monitoring")["latest"]
    assert after != before
    assert infra.state["signers"][after]


def test_a_component_that_cannot_be_published_holds_no_other_back(infra: Checkout) -> None:
    infra.state |= {"fails": [["push", "/cert-manager:"]]}
    run = infra.run(PUSH, **MAIN)
    assert run.returncode == 1
    assert "not published: cert-manager\n" in run.stderr
    assert tags_of(infra, f"{INFRA}/cert-manager") == {}
    assert "latest" in tags_of(infra, f"{INFRA}/monitoring")


@pytest.mark.covers("R92", "R93", "R97")
def test_a_tag_releases_its_component_as_a_version_that_production_trusts(infra: Checkout) -> None:
    run = infra.run(PUSH, **tag("monitoring", "v1.2.3"))
    assert run.returncode == 0, run.stderr
    tags = tags_of(infra, f"{INFRA}/monitoring")
    assert set(tags) == {"v1.2.3", "latest-stable"}
    assert tags["v1.2.3"] == tags["latest-stable"]
    assert tags_of(infra, f"{INFRA}/cert-manager") == {}
    (signer,) = infra.state["signers"][tags["v1.2.3"]]
    trusted = {name: subject for _, name, subject in trusted_subjects(fleet_of("default"), "prod-eu")}
    assert [name for name, subject in trusted.items() if re.search(subject, signer)] == ["monitoring/v1.2.3"]
    assert infra.run(PUSH, **tag("monitoring", "v1.3.0")).returncode == 0
    newer = tags_of(infra, f"{INFRA}/monitoring")
    assert newer["latest-stable"] == newer["v1.3.0"] != newer["v1.2.3"] == tags["v1.2.3"]


@pytest.mark.parametrize(
    "name",
    [
        *("monitoring/1.2.3", "monitoring/v1.2", "monitoring/v1.2.3.4", "monitoring/v01.2.3", "monitoring/v1.2.3-rc.1"),
        *(
            "monitoring/v1.2.3/v1.2.3",
            "other/v1.2.3",
            "../v1.2.3",
            "./v1.2.3",
            "monitoring/base/v1.2.3",
            "monitoring/v",
        ),
        *("v1.2.3", "monitoring/v1.2.3+1", "monitoring/v1.2.3 v2.0.0"),
    ],
)
def test_a_tag_that_is_no_release_of_a_component_publishes_nothing(name: str, infra: Checkout) -> None:
    run = infra.run(PUSH, **github(f"{OWNER}/infra", f"refs/tags/{name}", "release-artifact.yaml"))
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert infra.calls == []


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/pull/1/merge"])
@pytest.mark.parametrize("repository", ["infra", "fleet"])
def test_other_branches_publish_nothing(repository: str, ref: str, request: pytest.FixtureRequest) -> None:
    checkout: Checkout = request.getfixturevalue(repository)
    run = checkout.run(PUSH, **github(f"{OWNER}/{repository}", ref, "push-artifact.yaml"))
    assert run.returncode == 1
    assert checkout.calls == []


@pytest.mark.parametrize("repository", ["infra", "fleet"])
def test_a_release_must_lie_on_main(repository: str, request: pytest.FixtureRequest) -> None:
    """A tag on a branch that nobody reviewed is a mistake that production would take."""
    checkout: Checkout = request.getfixturevalue(repository)
    checkout.write("components/monitoring/base/x.yaml", "a: 3\n")
    checkout.commit(on_main=False)
    release = tag("monitoring", "v1.2.3") if repository == "infra" else released("v1.2.3")
    run = checkout.run(PUSH, **release)
    assert run.returncode == 1
    assert "is not on main" in run.stderr
    assert checkout.calls == []


@pytest.mark.covers("R97")
def test_a_version_is_never_overwritten(infra: Checkout) -> None:
    """Q16: not even by a Git tag that was moved."""
    infra.run(PUSH, **tag("monitoring", "v1.2.3"))
    before = infra.state
    infra.write("components/monitoring/base/x.yaml", "a: 2\n")
    infra.commit()
    run = infra.run(PUSH, **tag("monitoring", "v1.2.3"))
    assert run.returncode == 1
    assert "versions never change" in run.stderr
    assert infra.state == before


def test_a_release_that_could_not_be_signed_is_finished_by_repeating_it(infra: Checkout) -> None:
    infra.state |= {"fails": [["cosign", "sign"]]}
    assert infra.run(PUSH, **tag("monitoring", "v1.2.3")).returncode == 1
    assert set(tags_of(infra, f"{INFRA}/monitoring")) == {"v1.2.3"}
    infra.state |= {"fails": []}
    assert infra.run(PUSH, **tag("monitoring", "v1.2.3")).returncode == 0
    tags = tags_of(infra, f"{INFRA}/monitoring")
    assert tags["latest-stable"] == tags["v1.2.3"]
    assert len(infra.state["signers"][tags["v1.2.3"]]) == 1
    again = infra.run(PUSH, **tag("monitoring", "v1.2.3"))
    assert again.returncode == 0
    assert "v1.2.3 was released before" in again.stdout


def test_repeating_an_old_release_does_not_bring_it_back(infra: Checkout) -> None:
    for version in ("v1.0.0", "v2.0.0"):
        infra.run(PUSH, **tag("monitoring", version))
    before = infra.state
    run = infra.run(PUSH, **tag("monitoring", "v1.0.0"))
    assert run.returncode == 1
    assert "run the workflow `rollback`" in run.stderr
    assert infra.state == before


def test_a_registry_that_does_not_answer_is_not_taken_for_an_empty_one(infra: Checkout) -> None:
    infra.state |= {"fails": [["flux", "list"]]}
    run = infra.run(PUSH, **tag("monitoring", "v1.2.3"))
    assert run.returncode == 1
    assert "does not answer: the stand-in was told to fail" in run.stderr
    assert infra.state["tags"] == {}


@pytest.mark.covers("R81", "R82", "R83", "R84")
def test_the_fleet_is_published_as_commits_and_versions(fleet: Checkout) -> None:
    first = fleet.commit()
    assert fleet.run(PUSH, **FLEET_MAIN).returncode == 0
    fleet.write("README.md", "# Changed\n")
    second = fleet.commit()
    run = fleet.run(PUSH, **FLEET_MAIN)
    assert run.returncode == 0, run.stderr
    tags = tags_of(fleet, FLEET_ARTIFACT)
    assert set(tags) == {"latest", f"main-{first[:8]}", f"main-{second[:8]}"}
    assert len(set(tags.values())) == 1, "clusters read no README, so this is no new artifact"
    assert list(fleet.state["artifacts"][tags["latest"]]["files"]) == [".gitignore", "clusters/staging/x.yaml"]
    assert fleet.run(PUSH, **released("v1.2.3")).returncode == 0
    tags = tags_of(fleet, FLEET_ARTIFACT)
    assert tags["latest-stable"] == tags["v1.2.3"] != tags["latest"]
    (signer,) = fleet.state["signers"][tags["v1.2.3"]]
    assert re.search(trusted_by(flux_instance(fleet_of("default"), "prod-eu")), signer)
    assert not re.search(trusted_by(flux_instance(fleet_of("default"), "staging")), signer)


@pytest.mark.covers("R96")
@pytest.mark.parametrize("version", ["v1.0.0", "v2.0.0"])
def test_rollback_moves_latest_stable_back_and_forth(version: str, infra: Checkout) -> None:
    for known in ("v1.0.0", "v2.0.0"):
        infra.run(PUSH, **tag("monitoring", known))
    run = infra.run("rollback.sh", COMPONENT="monitoring", VERSION=version, **MAIN)
    assert run.returncode == 0, run.stderr
    tags = tags_of(infra, f"{INFRA}/monitoring")
    assert tags["latest-stable"] == tags[version]


def test_the_fleet_rolls_back_too(fleet: Checkout) -> None:
    for known in ("v1.0.0", "v2.0.0"):
        fleet.run(PUSH, **released(known))
    assert fleet.run("rollback.sh", VERSION="v1.0.0", **FLEET_MAIN).returncode == 0
    tags = tags_of(fleet, FLEET_ARTIFACT)
    assert tags["latest-stable"] == tags["v1.0.0"]


@pytest.mark.parametrize(
    ("component", "version", "said"),
    [
        ("monitoring", "v9.9.9", "has no version v9.9.9"),
        ("cert-manager", "v1.0.0", "is not signed by its release"),
        ("monitoring", "latest", "is no version"),
        ("../infra/monitoring", "v1.0.0", "is no name of a component"),
        ("monitoring", "v1.0.0 --tag x", "is no version"),
    ],
)
def test_rollback_refuses_what_clusters_would(component: str, version: str, said: str, infra: Checkout) -> None:
    """Among it a version that another workflow has signed."""
    infra.run(PUSH, **tag("monitoring", "v1.0.0"))
    infra.run(PUSH, **tag("cert-manager", "v1.0.0", workflow="other.yaml"))
    before = infra.state
    run = infra.run("rollback.sh", COMPONENT=component, VERSION=version, **MAIN)
    assert run.returncode == 1
    assert said in run.stderr
    assert infra.state == before


# --- proposing -------------------------------------------------------------------------------------------------------
PROPOSE: Final = ("propose.sh", "main", "production", "Promote main to production")


@pytest.fixture
def promoting(tmp_path: Path) -> Checkout:
    """The infra repository of the git design; main is one commit ahead of production."""
    made = Checkout.make(tmp_path, documents_of("git", "infra"))
    made.environment["GH_TOKEN"] = "the bot's"  # noqa: S105 not a token
    made.state = {"repositories": {"o/infra": {"branches": {"main": ["a", "b"], "production": ["a"]}}}}
    return made


@pytest.mark.covers("R26", "R61", "R171")
def test_promotion_is_a_pull_request_of_the_bot_and_one_only(promoting: Checkout) -> None:
    for _ in range(2):  # Q6: one that is open already is success
        run = promoting.run(*PROPOSE, "o/infra")
        assert run.returncode == 0, run.stderr
        assert run.stdout == "o/infra: https://github.test/o/infra/pull/1\n"
    told = promoting.state["repositories"]["o/infra"]
    assert told["pulls"] == [["main", "production"]]
    assert (told["title"], told["body"], told["token"]) == ("Promote main to production", "- b\n", "the bot's")
    assert len([call for call in promoting.calls if call[1:3] == ["pr", "create"]]) == 1
    assert not [call for call in promoting.calls if "the bot's" in call]


@pytest.mark.parametrize(
    ("branches", "said"),
    [
        ({"main": ["a"], "production": ["a"]}, "production has all of main"),
        ({"production": ["a"]}, "there is no branch main"),
    ],
)
def test_nothing_to_promote_is_success(branches: Mapping[str, list[str]], said: str, promoting: Checkout) -> None:
    promoting.state = {"repositories": {"o/infra": {"branches": branches}}}
    run = promoting.run(*PROPOSE, "o/infra")
    assert (run.returncode, said in run.stdout) == (0, True)
    assert not [call for call in promoting.calls if call[1] == "pr"]


def test_a_pull_request_that_another_run_has_just_opened_is_success(promoting: Checkout) -> None:
    state = promoting.state
    state["repositories"]["o/infra"]["racing"] = True
    promoting.state = state
    assert promoting.run(*PROPOSE, "o/infra").returncode == 0


def test_one_repository_that_does_not_answer_holds_no_other_back(promoting: Checkout) -> None:
    state = promoting.state
    state["repositories"]["o/apps"] = "away"
    promoting.state = state
    run = promoting.run(*PROPOSE, "o/apps", "o/infra")
    assert run.returncode == 1
    assert "error: o/apps: gh: Service Unavailable (HTTP 503)" in run.stderr
    assert promoting.state["repositories"]["o/infra"]["pulls"] == [["main", "production"]]


# --- tools -----------------------------------------------------------------------------------------------------------
VERSIONS: Final = {"yq": "yq version v4.52.5", "kustomize": "v5.8.1", "kubeconform": "v0.8.0"}


def tools(checkout: Checkout, **versions: str) -> None:
    for name, said in (VERSIONS | versions).items():
        checkout.stand_in(name, f"end(0, out={said!r} + chr(10))")


@pytest.mark.parametrize(
    ("version", "works"),
    [("v5.8.1", True), ("v5.10.0", True), ("v6.0.0", True), ("(devel)", True), ("v5.7.9", False), ("v4.99.0", False)],
)
def test_tools_are_new_enough_or_named(version: str, works: bool, infra: Checkout) -> None:
    tools(infra, kustomize=version)
    run = infra.run("tools.sh")
    assert (run.returncode == 0) == works
    if not works:
        assert "error: kustomize 5.8 or newer is needed" in run.stderr
        assert "hint: scripts/tools.sh install" in run.stderr
        assert "yq" not in run.stderr


def test_missing_tools_are_installed_at_pinned_versions(tmp_path: Path, infra: Checkout) -> None:
    tools(infra, yq="yq 3.4.3")
    infra.stand_in("go", "end(0, out='/somewhere/bin\\n' if given[:2] == ['env', 'GOBIN'] else '')")
    run = infra.run("tools.sh", "install", GITHUB_PATH=str(tmp_path / "path"))
    assert run.returncode == 0, run.stderr
    (installed,) = (call[2] for call in infra.calls if call[:2] == ["go", "install"])
    assert re.fullmatch(r"github\.com/mikefarah/yq/v4@v4\.\d+\.\d+", installed)
    assert (tmp_path / "path").read_text() == "/somewhere/bin\n"
