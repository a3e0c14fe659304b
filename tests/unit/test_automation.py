"""Image automation: on which clusters, with which rights, and where it writes to.

What it may choose from, and the markers it finds versions by, are in test_releases.py.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from fleet import names
from fleet.manifests.automation import COMMIT_MESSAGE, automation_resource_set
from fleet.manifests.delivery import resource_sets_of, tenant_resource_sets
from fleet.manifests.instance import flux_instance
from fleet.model import Fleet, repositories_of
from tests.checkout import UPDATE_APP, Checkout, label
from tests.reader import Reader
from tests.rendering import CASES, delivering, load_case, make_fleet, tree_of

each_case: Final = pytest.mark.parametrize("case", CASES)
AUTOMATION: Final = {"image-reflector-controller", "image-automation-controller"}


def automating(fleet: Fleet) -> list[str]:
    """Clusters on which something applies the ResourceSet of image automation."""
    own = [name for name in fleet.clusters if f"clusters/{name}/automation.yaml" in tree_of(fleet, "fleet")]
    return [*own, *(name for name in delivering(fleet) if names.AUTOMATION in resource_sets_of(fleet, name))]


def resource(fleet: Fleet, kind: str) -> Any:
    (found,) = [r for r in automation_resource_set(fleet)["spec"]["resources"] if r["kind"] == kind]
    return found


# --- where it runs ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("case", "clusters"), [("default", ["update"]), ("complete", ["update"]), ("git", ["qa"])])
@pytest.mark.covers("R28", "R62", "R172")
def test_it_runs_on_one_cluster_and_its_controllers_only_there(case: str, clusters: list[str]) -> None:
    """Two of them would push against each other."""
    fleet = load_case(case)
    assert automating(fleet) == clusters
    controllers = {name: set(flux_instance(fleet, name)["spec"]["components"]) for name in fleet.clusters}
    assert [name for name, installed in controllers.items() if installed & AUTOMATION] == clusters
    assert all(controllers[name] >= AUTOMATION for name in clusters)


@pytest.mark.parametrize(
    ("tracks", "chosen"),
    [({"a": "main", "b": "main"}, "a-1"), ({"a": "releases", "b": "main"}, "b-1"), ({"a": "releases"}, None)],
)
def test_in_the_git_design_the_first_cluster_that_tracks_main_is_chosen(tracks: dict[str, str], chosen: str) -> None:
    fleet = make_fleet(
        design="git",
        environments={name: {"tracks": follows} for name, follows in tracks.items()},
        clusters={f"{name}-{n}": {"environment": name} for name in tracks for n in (1, 2)},
    )
    assert automating(fleet) == ([chosen] if chosen else [])
    assert (names.AUTOMATION in tenant_resource_sets(fleet)) is (chosen is not None)


def test_controllers_that_a_cluster_names_are_kept_beside_those_of_image_automation() -> None:
    named = ["source-controller", "kustomize-controller", "notification-controller", "image-reflector-controller"]
    fleet = make_fleet(design="git", flux={"components": named})
    assert fleet.controllers_of("staging") == (*named, "image-automation-controller")


# --- what it may do --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("design", ["git", "git with apps"])
def test_the_credential_that_writes_is_on_no_other_cluster(checkout: Checkout, reader: Reader, design: str) -> None:
    """Also within the environment: a stack with two clusters has it on one (Q17)."""
    clusters = {"staging": {"environment": "staging"}, "second": {"environment": "staging"}}
    production = {"prod-eu": {"environment": "production"}, "prod-us": {"environment": "production"}}
    values = checkout.use(design, "sandbox", clusters=clusters | production)
    sources = {name: {"kind": "existing", "kubeconfig": f"{name}.kubeconfig"} for name in clusters}
    run = checkout.run("sandbox", **values, clusters=sources)
    found = {name: label(name, "update") in run.resources for name in clusters}
    assert found == {"staging": True, "second": False}
    assert all(label(name, "platform") in run.resources for name in clusters)
    assert ("githubApps" in values) is (design == "git with apps")
    assert not values or values["githubApps"].items() >= UPDATE_APP.items()


@each_case
def test_the_credential_that_writes_is_copied_to_the_namespaces_of_image_automation_only(case: str) -> None:
    fleet = load_case(case)
    sets = tenant_resource_sets(fleet) | {names.AUTOMATION: automation_resource_set(fleet)}
    holders = {
        name
        for name, resource_set in sets.items()
        for manifest in resource_set["spec"]["resources"]
        if (manifest["kind"], manifest["metadata"]["name"]) == ("Secret", names.GIT_SECRET)
    }
    assert holders == {names.AUTOMATION}


@each_case
def test_each_repository_with_versions_has_a_namespace_of_its_own(case: str) -> None:
    fleet = load_case(case)
    inputs = automation_resource_set(fleet)["spec"]["inputs"]
    repositories = {name for name, repository in repositories_of(fleet).items() if repository.role in ("infra", "apps")}
    assert {given["repository"] for given in inputs} == repositories
    namespaces = [given["namespace"] for given in inputs]
    assert len(set(namespaces)) == len(namespaces)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in namespaces)
    assert not {*namespaces} & {*fleet.components, *fleet.tenants}


# --- what it does ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("case", "branch"), [("complete", "image-updates"), ("git", "main")])
@pytest.mark.covers("R30", "R65", "R173", "R174")
def test_it_reads_main_and_writes_where_the_design_wants_it(case: str, branch: str) -> None:
    """In the oci design never to main: a pull request is where people and checks have their say."""
    fleet = load_case(case)
    source, automation = resource(fleet, "GitRepository")["spec"], resource(fleet, "ImageUpdateAutomation")["spec"]
    assert source["url"] == f"{fleet.github.url}/{fleet.owner}/<< inputs.repository >>.git"
    assert (source["ref"], source["secretRef"]) == ({"branch": "main"}, {"name": names.GIT_SECRET})
    assert automation["git"]["checkout"]["ref"] == {"branch": "main"}
    assert automation["git"]["push"] == {"branch": branch}
    assert automation["git"]["commit"]["author"] == {"name": fleet.bot.name, "email": fleet.bot.address}
    assert automation["update"] == {"path": "./components", "strategy": "Setters"}


@each_case
def test_the_policies_come_from_the_repository_itself(case: str) -> None:
    """Applied to the namespace that the markers name, by an account that may do nothing elsewhere."""
    spec, own = resource(load_case(case), "Kustomization")["spec"], "<< inputs.namespace >>"
    assert (spec["path"], spec["targetNamespace"], spec["serviceAccountName"]) == ("./update", own, "flux")
    binding = resource(load_case(case), "RoleBinding")
    assert (binding["roleRef"]["name"], binding["metadata"]["namespace"]) == ("admin", own)


def test_the_message_of_a_commit_survives_both_kinds_of_placeholders() -> None:
    """Go's templates are the controller's; the operator's and Flux's have other marks."""
    assert "<<" not in COMMIT_MESSAGE
    assert not re.search(r"\$\{", COMMIT_MESSAGE)
    assert yaml.safe_load(yaml.safe_dump(COMMIT_MESSAGE)) == COMMIT_MESSAGE
