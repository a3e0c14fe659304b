"""The option policy of every object, by who owns it on the cluster: the word decides, never the call site."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fleet import names
from fleet.config import read_stack_values
from fleet.ownership import ABSENT, OURS, UNKNOWN
from tests.checkout import DELIVERING, STACKS, Checkout, Run, label
from tests.reader import ADOPTED, SETS, Reader, found

VERDICTS = {"absent": ABSENT, "ours": OURS, "adopted": ADOPTED, "unknown": UNKNOWN}
GITOPS = (*SETS, "instance")
MANAGED = ("namespace", "secret", "runtime")
WAITING = {names.ANNOTATION_WAIT_FOR: "condition=Ready", names.ANNOTATION_TIMEOUT: "600"}
MANAGER = {names.ANNOTATION_FIELD_MANAGER: "kubectl-fleet"}
FORCE = {names.ANNOTATION_PATCH_FORCE: "true"}

Policy = tuple[str, tuple[str, ...], dict[str, str]]
"""Import id, ignored changes and Pulumi annotations."""
POLICY: dict[str, Policy] = {
    "absent": ("", (), MANAGER),
    "ours": ("", (), MANAGER),
    "adopted": ("flux-system/{name}", ("spec",), {}),
    "unknown": ("", ("spec", "metadata.annotations"), {}),
}
"""Of a gitops object, by verdict."""


def options(run: Run) -> dict[str, Policy]:
    """What each object of a cluster was declared with; the Release has a test of its own."""
    found = {word: run.of("staging", word) for word in (*GITOPS, *MANAGED)}
    return {
        word: (asked.import_id, asked.ignore_changes, run.annotations("staging", word)) for word, asked in found.items()
    }


def policy(word: str, state: str) -> Policy:
    import_id, ignored, annotations = POLICY[state]
    waits = word == "instance" and state in ("absent", "ours")
    name = "flux" if word == "instance" else word
    return import_id.format(name=name), ignored, annotations | (WAITING if waits else {})


@pytest.mark.parametrize("state", VERDICTS)
@pytest.mark.parametrize("word", GITOPS)
@pytest.mark.covers("R98", "R109")
def test_gitops_objects_follow_their_own_verdict(checkout: Checkout, reader: Reader, word: str, state: str) -> None:
    """Never forced; managed objects beside them are not touched by any verdict, always forced and never imported."""
    others = "adopted" if VERDICTS[state].is_ours_to_write else "ours"
    expected = {other: policy(other, others) for other in GITOPS} | {word: policy(word, state)}
    expected |= dict.fromkeys(MANAGED, ("", (), FORCE))
    reader.answer = lambda kubeconfig: found(word, VERDICTS[state], VERDICTS[others])
    assert options(checkout.run("sandbox")) == expected


@pytest.mark.parametrize("state", VERDICTS)
def test_an_adopted_release_is_only_read(checkout: Checkout, reader: Reader, state: str) -> None:
    """Ignored changes do not survive a refresh of a Release, so an adopted one is not declared at all."""
    reader.answer = lambda kubeconfig: found("operator", VERDICTS[state], OURS)
    asked = checkout.run("sandbox").of("staging", "operator")
    if state == "adopted":
        assert (asked.read_id, asked.inputs) == ("flux-system/flux-operator", {})
    else:
        assert (asked.read_id, asked.inputs["name"]) == ("", "flux-operator")
    assert (asked.import_id, asked.ignore_changes) == ("", ())


@pytest.mark.parametrize("stack", STACKS)
def test_an_unreadable_cluster_is_planned_without_touching_what_may_be_flux(checkout: Checkout, stack: str) -> None:
    """Nothing listens where the kubeconfigs point to."""
    run = checkout.run(stack, preview=True)
    for cluster in STACKS[stack]:
        planned = [word for word in GITOPS if label(cluster, word) in run.resources]
        assert planned == (list(GITOPS) if (stack, cluster) in DELIVERING else ["instance"])
        for word in planned:
            asked = run.of(cluster, word)
            assert (asked.import_id, asked.ignore_changes) == ("", ("spec", "metadata.annotations"))
            assert run.annotations(cluster, word) == {}
        assert run.of(cluster, "operator").read_id == ""


def test_the_patience_with_an_instance_is_the_stacks(checkout: Checkout, reader: Reader) -> None:
    run = checkout.run("sandbox", readyTimeout=42)
    assert run.annotations("staging", "instance") == MANAGER | WAITING | {names.ANNOTATION_TIMEOUT: "42"}


def test_annotations_of_the_manifest_stay_beside_pulumis(checkout: Checkout, reader: Reader) -> None:
    """And an object without any has no empty map, which would be a difference on every run."""
    reader.answer = lambda kubeconfig: found("instance", ADOPTED, OURS)
    run = checkout.run("sandbox")
    metadata = {word: run.of("staging", word).inputs["metadata"] for word in GITOPS}
    every = {names.ANNOTATION_RECONCILE_EVERY: "5m"}
    assert {word: metadata[word]["annotations"] for word in SETS} == dict.fromkeys(SETS, every | MANAGER)
    assert metadata["instance"] == {"name": "flux", "namespace": "flux-system"}
    assert run.of("staging", "secret").inputs["metadata"]["labels"] == {names.LABEL_WATCH: "Enabled"}


def test_objects_of_a_kind_cluster_go_with_it(checkout: Checkout, reader: Reader) -> None:
    """The engine hands `deletedWith` down from the component; a cluster that others made stays, so its objects are
    deleted one by one."""
    kind, existing = checkout.run("staging"), checkout.run("sandbox")
    component = "fleet:index:FluxCluster::staging"
    assert kind.resources[component].deleted_with == kind.resources["command:local:Command::staging-kind"].urn
    assert existing.resources[component].deleted_with == ""


ANCHORS = ("namespace", "instance")


@pytest.mark.parametrize("chosen", [None, True, False])
@pytest.mark.parametrize("stack", ["sandbox", "production"])
def test_the_anchors_of_a_cluster_are_protected_where_it_tracks_releases(
    checkout: Checkout, reader: Reader, stack: str, chosen: bool | None
) -> None:
    """Unless the stack says otherwise for a cluster; said in either case, so that the state follows."""
    sources = read_stack_values(checkout.root, stack)["fleet:clusters"]
    changed, *others = STACKS[stack]
    sources[changed] |= {} if chosen is None else {"protect": chosen}
    run, default = checkout.run(stack, clusters=sources), stack == "production"
    expected = {changed: default if chosen is None else chosen} | dict.fromkeys(others, default)
    for cluster, protect in expected.items():
        found = {asked.name: asked.protect for asked in run.monitor.registrations if asked.name.startswith(cluster)}
        anchors = {label(cluster, word).rpartition("::")[2] for word in ANCHORS}
        assert found == {name: protect if name in anchors else None for name in found}
        assert anchors <= found.keys()


@pytest.mark.parametrize("stack", ["production", "staging"])
def test_the_operator_stays_on_a_cluster_that_lasts(checkout: Checkout, reader: Reader, stack: str) -> None:
    """Only it can finish what Git has put beside it; on a cluster of ours all goes with the cluster."""
    run = checkout.run(stack)
    kept = {label(cluster, word) for cluster in STACKS[stack] for word in ("namespace", "operator")}
    for asked in run.monitor.registrations:
        expected = True if stack == "production" and asked.label in kept else None
        assert asked.retain_on_delete is expected, asked.label


def test_nothing_else_is_set_on_any_resource(checkout: Checkout, reader: Reader) -> None:
    """Options with a power of their own are used nowhere, or a destroy would leave or lose what it must not."""
    for asked in checkout.run("production").monitor.registrations:
        assert asked.delete_before_replace is None
        assert (asked.replace_on_changes, asked.aliases, asked.custom_timeouts) == ((), (), {})


# --- a renamed cluster -----------------------------------------------------------------------------------------------
def renamed(checkout: Checkout, new: str, **kept: Any) -> Run:
    """Stack `production`, of which `prod-us` has another name now."""
    clusters = checkout.sections["clusters"]
    checkout.change_fleet(clusters={new if name == "prod-us" else name: each for name, each in clusters.items()})
    sources = read_stack_values(checkout.root, "production")["fleet:clusters"]
    return checkout.run("production", clusters={"prod-eu": sources["prod-eu"], new: sources["prod-us"] | kept})


def test_a_rename_changes_no_name_in_the_state(checkout: Checkout, reader: Reader) -> None:
    """Nor the identity of the provider; the cluster keeps the kubeconfig that belongs to it."""
    before = checkout.run("production")
    after = renamed(checkout, "prod-west", renamedFrom="prod-us")
    assert after.resources.keys() == before.resources.keys()
    provider = "pulumi:providers:kubernetes::prod-us"
    assert after.resources[provider].inputs["clusterIdentifier"] == "prod-us"
    assert {asked.urn for asked in after.monitor.registrations} == {asked.urn for asked in before.monitor.registrations}
    assert sorted(after.outputs["clusters"]) == ["prod-eu", "prod-west"]


@pytest.mark.parametrize("instance", VERDICTS)
@pytest.mark.parametrize(
    ("path", "kept", "moves"),
    [
        ("clusters/prod-between", {"renamedFrom": "prod-west"}, True),
        ("clusters/prod-us", {"renamedFrom": "prod-us"}, True),
        ("clusters/prod-between", {"renamedFrom": "prod-us"}, True),
        ("clusters/prod-west", {"renamedFrom": "prod-us"}, False),
        ("", {"renamedFrom": "prod-us"}, False),
        ("clusters/elsewhere", {}, False),
    ],
)
def test_only_the_folder_of_a_renamed_cluster_is_written_over_flux(
    checkout: Checkout, reader: Reader, instance: str, path: str, kept: dict[str, str], moves: bool
) -> None:
    """Once, by force, and only the instance; another one that Flux has taken over stays Flux's."""
    verdict = VERDICTS[instance]
    reader.answer = lambda kubeconfig: dataclasses.replace(found("instance", verdict, ADOPTED), path=path)
    run, made_as = renamed(checkout, "prod-west", **kept), kept.get("renamedFrom", "prod-west")
    asked, annotations = run.of(made_as, "instance"), run.annotations(made_as, "instance")
    if moves and instance == "adopted":
        assert (asked.import_id, asked.ignore_changes, annotations) == ("", (), MANAGER | WAITING | FORCE)
        assert asked.inputs["spec"]["sync"]["path"] == "clusters/prod-west"
    else:
        assert (asked.import_id, asked.ignore_changes, annotations) == policy("instance", instance)
    for word in SETS:
        assert run.of(made_as, word).ignore_changes == ("spec",)
