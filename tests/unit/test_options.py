"""The option policy of every object, by who owns it on the cluster: the word decides, never the call site."""

from __future__ import annotations

import pytest

from fleet import names
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
    "unknown": ("", ("spec",), {}),
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
            assert (asked.import_id, asked.ignore_changes) == ("", ("spec",))
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


def test_nothing_else_is_set_on_any_resource(checkout: Checkout, reader: Reader) -> None:
    """Options with a power of their own are used nowhere, or a destroy would leave or lose what it must not."""
    for asked in checkout.run("production").monitor.registrations:
        assert (asked.protect, asked.retain_on_delete, asked.delete_before_replace) == (None, None, None)
        assert (asked.replace_on_changes, asked.aliases, asked.custom_timeouts) == ((), (), {})
