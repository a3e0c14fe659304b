"""Two clusters in one stack with the real engine: what a lost, renamed, swapped or removed one does to the state."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from sandbox.build import Parts
from tests.sandbox.production import CLUSTERS, Production, running

pytestmark = [pytest.mark.sandbox, pytest.mark.engine]

Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Production]:
    """A stack whose first run lost a cluster half-way, and whose second one brought it up."""
    with running(tmp_path_factory.mktemp("engine") / "checkout", parts) as found:
        with found.dying("prod-us"):
            first = found.up()
        assert_told(first, "prod-us", "broke off, what failed is told on its own")
        assert found.is_ready("prod-eu")
        assert found.objects("prod-us") == {}
        found.gates["prod-us"].open()
        second = found.up()
        assert second.returncode == 0, second.stdout
        assert re.search(r"\+ 8 created\s+13 unchanged", second.stdout), "only what belongs to the cluster is added"
        assert all(found.is_ready(name) for name in CLUSTERS)
        yield found


@pytest.fixture(autouse=True)
def _as_at_first(production: Production) -> Iterator[None]:
    """Whatever a test leaves behind, and whether it fails."""
    yield
    production.reset()


def assert_told(run: Ran, cluster: str, message: str) -> None:
    """The run failed, and its last words are ours: no traceback of the language host."""
    assert run.returncode != 0, run.stdout
    assert f"clusters.{cluster}: {message}" in run.stdout, run.stdout
    assert "Traceback" not in run.stdout


def test_a_dead_cluster_keeps_its_state_while_others_change(production: Production) -> None:
    """The refresh passes, nothing is deleted, and the next run with the cluster back changes it too."""
    before, uids = production.state(), production.uids()
    production.gates["prod-us"].shut()
    production.use(runtimeInfo={"REGION": "one"})
    assert_told(production.up(), "prod-us", "left as it is: cannot be read: ")
    after = production.state()
    assert {urn: each for urn, each in after.items() if "prod-us" in urn} == {
        urn: each for urn, each in before.items() if "prod-us" in urn
    }
    assert after.keys() == before.keys()
    assert production.variables("prod-eu")["REGION"] == "one"
    assert "REGION" not in production.variables("prod-us")
    production.gates["prod-us"].open()
    run = production.up()
    assert run.returncode == 0, run.stdout
    assert [production.variables(name)["REGION"] for name in CLUSTERS] == ["one", "one"]
    assert production.uids() == uids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "broke off, what failed is told on its own"), (["--refresh=false"], "was lost during the run: ")],
    ids=["refreshed", "not refreshed"],
)
def test_a_cluster_that_dies_during_the_run_is_told(production: Production, arguments: list[str], message: str) -> None:
    """Also where its provider is opened too late to see more than that nobody answers, and takes all for done."""
    region = f"two {len(arguments)}"
    production.use(runtimeInfo={"REGION": region})
    with production.dying("prod-us"):
        run = production.up(*arguments)
    assert_told(run, "prod-us", message)
    assert production.variables("prod-eu")["REGION"] == region
    assert production.variables("prod-us")["REGION"] != region
    production.gates["prod-us"].open()
    assert production.up().returncode == 0
    assert production.variables("prod-us")["REGION"] == region


def test_a_preview_of_a_dead_cluster_shows_no_change(production: Production) -> None:
    """With a refresh, as the project has it always."""
    production.gates["prod-us"].shut()
    preview = production.pulumi("preview")
    production.gates["prod-us"].open()
    assert preview.returncode == 0, preview.stdout
    assert "clusters.prod-us: cannot be read" in preview.stdout
    assert not re.search(r"\d+ to (create|update|delete|replace|import)", preview.stdout), preview.stdout


def test_swapped_kubeconfigs_are_found_out(production: Production) -> None:
    before, uids = production.state(), production.uids()
    europe, america = (production.sources[name] for name in CLUSTERS)
    production.use({"prod-eu": america, "prod-us": europe})
    run = production.up()
    assert_told(run, "prod-eu", "left as it is: the live cluster is `prod-us`")
    assert_told(run, "prod-us", "left as it is: the live cluster is `prod-eu`")
    assert (production.state(), production.uids()) == (before, uids)


def test_a_rename_moves_the_folder_and_replaces_nothing(production: Production) -> None:
    """And is refused without a word about the former name, since all would be made anew and then deleted."""
    before, uids = production.state(), production.uids()
    production.checkout.edit(clusters={"prod-us": None, "prod-west": {"environment": "production"}})
    europe, america = (production.sources[name] for name in CLUSTERS)
    production.use({"prod-eu": europe, "prod-west": america})
    assert_told(production.up(), "prod-west", "left as it is: the live cluster is `prod-us`")
    assert (production.state(), production.uids()) == (before, uids)

    renamed = {"prod-eu": europe, "prod-west": america | {"renamedFrom": "prod-us"}}
    production.use(renamed)
    run = production.up()
    assert run.returncode == 0, run.stdout
    assert re.search(r"~ 1 updated\s+20 unchanged", run.stdout), run.stdout
    instance = production.objects("prod-us")["FluxInstance"]
    assert instance["spec"]["sync"]["path"] == "clusters/prod-west"
    assert production.state().keys() == before.keys()
    assert production.uids() == uids
    again = production.up()
    assert "21 unchanged" in again.stdout, again.stdout
    instance = production.objects("prod-us")["FluxInstance"]
    managers = {entry["manager"] for entry in instance["metadata"]["managedFields"]}
    assert managers == {"kustomize-controller", "flux-operator"}
    assert not any(key.startswith("pulumi.com/") for key in instance["metadata"].get("annotations") or {})
    variables = production.variables("prod-us")
    assert (variables["CLUSTER_NAME"], variables["FLEET_CLUSTER"]) == ("prod-west", "prod-us")

    production.reset()
    production.use({"prod-eu": europe, "prod-us": america | {"renamedFrom": "prod-us"}})
    back = production.up()
    assert re.search(r"~ 1 updated\s+20 unchanged", back.stdout), back.stdout
    assert production.uids() == uids


def test_the_removal_of_a_protected_cluster_is_refused(production: Production) -> None:
    """Nothing of it is deleted, though the engine goes on after the refusal."""
    before, uids = production.state(), production.uids()
    production.checkout.edit(clusters={"prod-us": None})
    production.use({"prod-eu": production.sources["prod-eu"]})
    run = production.up()
    assert run.returncode != 0
    assert re.search(r"prod-us-fluxinstance-flux\S+ cannot be deleted\s+because it is protected", run.stdout)
    assert (production.state().keys(), production.uids()) == (before.keys(), uids)


MADE_BY_US = """\
import dataclasses
import pulumi, pulumi_command
from fleet.resources import clusters
make = clusters.make
def make_with_command(name, *arguments, **words):
    provider = pulumi_command.Provider(f"{name}-maker")
    maker = pulumi_command.local.Command(f"{name}-maker", create="true", opts=pulumi.ResourceOptions(provider=provider))
    return dataclasses.replace(make(name, *arguments, **words), made_by=maker)
clusters.make = make_with_command
"""


def test_what_is_on_a_cluster_of_ours_goes_with_it(production: Production) -> None:
    """The stack is destroyed without a word to the API servers, which would no longer be there."""
    sources = {name: source | {"protect": False} for name, source in production.sources.items()}
    with production.patched(MADE_BY_US):
        production.use(sources)
        run = production.up()
        assert run.returncode == 0, run.stdout
        uids = production.uids()
        for gate in production.gates.values():
            gate.shut()
        destroyed = production.pulumi("destroy", "--yes", "--refresh=false")
    assert destroyed.returncode == 0, destroyed.stdout
    assert production.state() == {}
    assert production.uids() == uids
