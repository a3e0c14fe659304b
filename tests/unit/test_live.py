"""Who owns what on a cluster is read with five requests; what cannot be read is never guessed."""

from __future__ import annotations

import traceback

import httpx2
import pytest
import yaml

from fleet import names
from fleet.errors import ClusterError
from fleet.ownership import ABSENT, OURS, Verdict
from fleet.resources import connection, live
from fleet.resources.deploy import LeftError
from sandbox.program.registration import Answer, Registration
from tests.checkout import KIND, KIND_STACKS, STACKS, Checkout, kubeconfig, kubeconfig_token, label, order_of
from tests.kubernetes_api import (
    DEPLOYMENT,
    FLUX,
    INFO,
    INSTANCE,
    PATHS,
    SETS,
    SYSTEM,
    KubernetesApi,
    labelled,
    serve,
)
from tests.reader import Reader
from tests.recording import RecordingMonitor

HELM = {names.OWNER_HELM_RELEASE: "flux-operator"}
KUSTOMIZE = {names.OWNER_KUSTOMIZATION: "flux-system"}


def read(api: KubernetesApi) -> live.Verdicts:
    return live.read(kubeconfig("c", api.url))


# --- the reader ------------------------------------------------------------------------------------------------------
def test_five_requests_with_the_token(api: KubernetesApi) -> None:
    read(api)
    assert api.requests == [(path, f"Bearer {kubeconfig_token('c')}") for path in PATHS]


def test_an_empty_cluster_has_nothing(api: KubernetesApi) -> None:
    """The operator's kinds are not even served yet, which the API server tells in plain text."""
    found = read(api)
    assert found == live.Verdicts(operator=ABSENT, instance=ABSENT)
    assert found.resource_set("policies") == ABSENT


def test_owners_are_read_from_labels(api: KubernetesApi) -> None:
    sets = [labelled("policies", KUSTOMIZE), labelled("infra", {"app": "x"}), labelled("apps")]
    api.objects = {
        DEPLOYMENT: labelled("flux-operator", HELM),
        INSTANCE: labelled("flux", KUSTOMIZE),
        SETS: {"kind": "ResourceSetList", "metadata": {}, "items": sets},
    }
    found, flux = read(api), Verdict("adopted", "Kustomization/flux-system")
    assert (found.operator, found.instance) == (Verdict("adopted", "HelmRelease/flux-operator"), flux)
    assert {name: found.resource_set(name) for name in ("policies", "infra", "apps", "gone")} == {
        "policies": flux,
        "infra": OURS,
        "apps": OURS,
        "gone": ABSENT,
    }


def test_what_tells_a_cluster_from_others_is_read_too(api: KubernetesApi) -> None:
    api.objects = {
        SYSTEM: {"metadata": {"name": "kube-system", "uid": "u-1"}},
        INFO: {"metadata": {"name": "flux-runtime-info"}, "data": {"FLEET_STACK": "production"}},
        INSTANCE: labelled("flux") | {"spec": {"sync": {"path": "clusters/eu"}}},
    }
    found = read(api)
    assert (found.uid, found.variables, found.path) == ("u-1", {"FLEET_STACK": "production"}, "clusters/eu")


def test_an_instance_that_syncs_nothing_and_an_empty_config_map_are_no_fault(api: KubernetesApi) -> None:
    api.objects = {INFO: {"metadata": {"name": "flux-runtime-info"}}, INSTANCE: labelled("flux")}
    found = read(api)
    assert (found.variables, found.path, found.instance) == ({}, "", OURS)


def test_another_context_is_another_cluster(api: KubernetesApi) -> None:
    near, far = yaml.safe_load(kubeconfig("near")), yaml.safe_load(kubeconfig("far", api.url))
    both = near | {section: near[section] + far[section] for section in ("clusters", "contexts", "users")}
    live.read(yaml.safe_dump(both | {"current-context": "far"}))
    assert {authorization for _, authorization in api.requests} == {f"Bearer {kubeconfig_token('far')}"}


def test_a_proxy_of_the_shell_is_not_used(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert read(api).operator == ABSENT


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_refusal_is_not_taken_for_absence(api: KubernetesApi, status: int) -> None:
    api.refusal = status
    with pytest.raises(httpx2.HTTPStatusError, match="the tests refuse this"):
        read(api)
    assert len(api.requests) == 1


def test_a_busy_server_is_asked_again(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """CRDs that have just come are answered with 429 for a moment; that is neither absence nor a fault."""
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    api.busy = 3
    api.objects[SYSTEM] = {"metadata": {"name": "kube-system", "uid": "u-1"}}
    assert live.read(kubeconfig("staging", api.url)).uid == "u-1"
    assert len(api.requests) == len(PATHS) + 3


def test_a_server_that_stays_busy_is_a_fault(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    api.busy = 100
    with pytest.raises(httpx2.HTTPStatusError, match="storage is"):
        live.read(kubeconfig("staging", api.url))
    assert len(api.requests) == connection.RETRIES + 1


def test_waiting_for_an_answer_has_an_end(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection.TIMEOUT <= 10
    monkeypatch.setattr(connection, "TIMEOUT", 0.05)
    api.silent = True
    with pytest.raises(httpx2.TimeoutException):
        read(api)
    assert len(api.requests) == 1


SECRET = "token-in-a-broken-file"  # noqa: S105
BROKEN = {
    f"users: {SECRET}: x": "the kubeconfig is not valid YAML",
    f"- {SECRET}": "the kubeconfig is not a mapping",
    "": "the kubeconfig is not a mapping",
    "current-context: c": "the kubeconfig lacks `contexts`",
    "clusters: []": "the kubeconfig lacks `current-context`",
    kubeconfig("c").replace("user: c", "user: d"): "the kubeconfig lacks `d`",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items(), ids=BROKEN.values())
def test_a_broken_kubeconfig_is_told_without_its_content(text: str, message: str) -> None:
    """YAML's own errors quote the line, credentials and all."""
    with pytest.raises(ValueError, match=f"^{message}$") as raised:
        live.read(text)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


# --- the program on clusters that cannot be read ---------------------------------------------------------------------
def unread(stack: str) -> set[str]:
    """Names in the error of an `up`; nothing may be declared beyond what is there before the clusters are read."""
    return {f"clusters.{cluster}" for cluster in STACKS[stack]}


@pytest.mark.parametrize("stack", STACKS)
def test_up_names_every_cluster_that_does_not_answer_and_declares_nothing_on_it(checkout: Checkout, stack: str) -> None:
    """Also when the kind cluster was made in this very run."""
    stdout = {f"{name}-kind": {"stdout": checkout.kubeconfig(name)} for name in KIND_STACKS}
    monitor = RecordingMonitor(outputs=stdout)
    with pytest.raises(ClusterError) as raised:
        checkout.run(stack, monitor=monitor)
    assert {problem.path for problem in raised.value.problems} == unread(stack)
    assert all("cannot be read" in problem.message for problem in raised.value.problems)
    before = ["pulumi:providers:command", KIND] if stack in KIND_STACKS else []
    assert [asked.type for asked in monitor.registrations] == before
    assert monitor.outputs.keys() <= {f"urn:pulumi:{stack}::fleet::pulumi:pulumi:Stack::fleet-{stack}"}


@pytest.mark.parametrize("kind_exists", [True, False])
@pytest.mark.parametrize("stack", STACKS)
def test_preview_warns_and_plans_everything(
    checkout: Checkout, caplog: pytest.LogCaptureFixture, stack: str, kind_exists: bool
) -> None:
    """Only a cluster that is there and does not answer is worth a warning."""
    run = checkout.run(stack, preview=True, kind_exists=kind_exists)
    silent = [] if stack in KIND_STACKS and not kind_exists else STACKS[stack]
    objects = sum(map(len, order_of("oci", stack))) + len(["component", "provider"])
    assert len(run.resources) == objects * len(STACKS[stack]) + (2 if stack in KIND_STACKS else 0)
    assert sorted(text.partition(":")[0] for text in caplog.messages) == [f"clusters.{name}" for name in silent]
    assert all("without knowing what Flux has taken over" in text for text in caplog.messages)


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_one_refusal_among_several_clusters_stops_no_other(
    checkout: Checkout, api: KubernetesApi, caplog: pytest.LogCaptureFixture, preview: bool
) -> None:
    """Nothing is declared for it, and the run fails at its end; only a preview plans it too."""
    with serve() as refusing:
        refusing.refusal = 403
        checkout.servers = {"prod-eu": api.url, "prod-us": refusing.url}
        alone = RecordingMonitor()
        if preview:
            checkout.run("production", monitor=alone, preview=True)
        else:
            with pytest.raises(LeftError) as raised:
                checkout.run("production", monitor=alone)
            (problem,) = raised.value.problems
            refused = "left as it is: cannot be read: the tests refuse this"
            assert (problem.path, problem.message) == ("clusters.prod-us", refused)
            assert problem.hint == "is it running, and does the kubeconfig still admit us?"
    every = sum(map(len, order_of("oci", "production"))) + len(["component", "provider"])
    declared = [sum(each.name.startswith(name) for each in alone.registrations) for name in STACKS["production"]]
    assert declared == [every, every if preview else 0]
    outputs = next(found for urn, found in alone.outputs.items() if "pulumi:pulumi:Stack" in urn)
    assert sorted(outputs["clusters"]) == (STACKS["production"] if preview else ["prod-eu"])
    assert [path for path, _ in api.requests] == (PATHS if preview else [*PATHS, FLUX])


def test_a_refusal_is_a_warning_in_a_preview(
    checkout: Checkout, api: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.refusal = 403
    checkout.servers = {"staging": api.url}
    run = checkout.run("sandbox", preview=True)
    assert "the tests refuse this" in caplog.text
    assert run.of("staging", "instance").ignore_changes == ("spec", "metadata.annotations")


def test_what_is_read_reaches_the_options(checkout: Checkout, api: KubernetesApi) -> None:
    """No stand-in anywhere between the labels on the wire and what is declared."""
    api.objects = {DEPLOYMENT: labelled("flux-operator", HELM), INSTANCE: labelled("flux", KUSTOMIZE)}
    checkout.servers = {"staging": api.url}
    run = checkout.run("sandbox")
    assert run.of("staging", "operator").read_id == "flux-system/flux-operator"
    assert run.of("staging", "instance").import_id == "flux-system/flux"
    assert run.of("staging", "apps").import_id == ""


# --- the end of a run ------------------------------------------------------------------------------------------------
def test_a_cluster_that_is_lost_during_the_run_is_told(checkout: Checkout, reader: Reader) -> None:
    """Its provider would have taken everything for done."""
    reader.lost = {checkout.kubeconfig("prod-us")}
    with pytest.raises(LeftError) as raised:
        checkout.run("production")
    (problem,) = raised.value.problems
    assert (problem.path, problem.message) == ("clusters.prod-us", "was lost during the run: gone")


@pytest.mark.parametrize("word", ["namespace", "secret", "instance"])
def test_a_cluster_that_breaks_off_is_told_once(checkout: Checkout, reader: Reader, word: str) -> None:
    """Whatever of it failed; it is not asked again, and the other one is complete."""
    name = label("prod-us", word).rpartition("::")[2]
    monitor = Failing(name)
    reader.lost = {checkout.kubeconfig("prod-us")}
    with pytest.raises(LeftError) as raised:
        checkout.run("production", monitor=monitor)
    (problem,) = raised.value.problems
    assert (problem.path, problem.message) == ("clusters.prod-us", "broke off, what failed is told on its own")


def test_a_cluster_that_could_not_be_made_is_left(checkout: Checkout, reader: Reader) -> None:
    """Its kubeconfig stays unknown, where the engine goes on after the failure."""
    (maker,) = [asked.name for asked in checkout.run("staging").monitor.registrations if asked.type == KIND]
    monitor = Failing(maker)
    with pytest.raises(LeftError) as raised:
        checkout.run("staging", monitor=monitor)
    (problem,) = raised.value.problems
    assert problem.message == "left as it is: was not made, what failed is told on its own"
    assert not [asked for asked in monitor.registrations if asked.type.startswith("kubernetes:")]


class Failing(RecordingMonitor):
    """A cluster refuses one resource, and so all that need it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._failed: set[str] = set()

    def register(self, asked: Registration) -> Answer:
        answer = super().register(asked)
        if asked.name == self._name or asked.dependencies & self._failed:
            self._failed.add(asked.urn)
            return Answer(failed=True)
        return answer
