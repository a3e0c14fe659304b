"""Who owns what on a cluster is read with three requests; what cannot be read is never guessed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import httpx2
import pytest
import yaml

from fleet import names
from fleet.errors import ClusterError
from fleet.ownership import ABSENT, OURS, Verdict
from fleet.resources import live
from tests.checkout import KIND, KIND_STACKS, STACKS, Checkout, kubeconfig, kubeconfig_token, order_of
from tests.kubernetes_api import DEPLOYMENT, INSTANCE, PATHS, SETS, KubernetesApi, labelled, serve
from tests.recording import RecordingMonitor

HELM = {names.OWNER_HELM_RELEASE: "flux-operator"}
KUSTOMIZE = {names.OWNER_KUSTOMIZATION: "flux-system"}


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with serve() as api:
        yield api


def read(api: KubernetesApi) -> live.Verdicts:
    return live.read(kubeconfig("c", api.url), None)


# --- the reader ------------------------------------------------------------------------------------------------------
def test_three_requests_with_the_token(api: KubernetesApi) -> None:
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


def test_another_context_is_another_cluster(api: KubernetesApi) -> None:
    near, far = yaml.safe_load(kubeconfig("near")), yaml.safe_load(kubeconfig("far", api.url))
    both = near | {section: near[section] + far[section] for section in ("clusters", "contexts", "users")}
    live.read(yaml.safe_dump(both), "far")
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
    monkeypatch.setattr(live, "PAUSE", 0.0)
    api.busy = 3
    api.objects[INSTANCE] = labelled("flux", {"kustomize.toolkit.fluxcd.io/name": "flux-system"})
    assert live.read(kubeconfig("staging", api.url), None).instance.state == "adopted"
    assert len(api.requests) == len(PATHS) + 3


def test_a_server_that_stays_busy_is_a_fault(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.0)
    api.busy = 100
    with pytest.raises(httpx2.HTTPStatusError, match="storage is"):
        live.read(kubeconfig("staging", api.url), None)
    assert len(api.requests) == live.RETRIES + 1


def test_waiting_for_an_answer_has_an_end(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.TIMEOUT <= 10
    monkeypatch.setattr(live, "TIMEOUT", 0.05)
    api.silent = True
    with pytest.raises(httpx2.TimeoutException):
        read(api)
    assert len(api.requests) == 1


SECRET = "token-in-a-broken-file"  # noqa: S105
BROKEN = {
    f"users: {SECRET}: x": "the kubeconfig is not valid YAML",
    f"- {SECRET}": "the kubeconfig is not a mapping",
    "": "the kubeconfig is not a mapping",
    "clusters: []": "the kubeconfig lacks `contexts`",
    kubeconfig("c").replace("user: c", "user: d"): "the kubeconfig lacks `d`",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items(), ids=BROKEN.values())
def test_a_broken_kubeconfig_is_told_without_its_content(text: str, message: str) -> None:
    """YAML's own errors quote the line, credentials and all."""
    with pytest.raises(ValueError, match=f"^{message}$") as raised:
        live.read(text, None)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


# --- the program on clusters that cannot be read ---------------------------------------------------------------------
def unread(stack: str) -> set[str]:
    """Names in the error of an `up`; nothing may be declared beyond what is there before the clusters are read."""
    return {f"clusters.{cluster}" for cluster in STACKS[stack]}


@pytest.mark.parametrize("stack", STACKS)
def test_up_names_every_cluster_that_does_not_answer_and_stops(checkout: Checkout, stack: str) -> None:
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


def test_one_refusal_among_several_clusters_stops_them_all(checkout: Checkout, api: KubernetesApi) -> None:
    with serve() as refusing:
        refusing.refusal = 403
        checkout.servers = {"prod-eu": api.url, "prod-us": refusing.url}
        monitor = RecordingMonitor()
        with pytest.raises(ClusterError) as raised:
            checkout.run("production", monitor=monitor)
    (problem,) = raised.value.problems
    assert (problem.path, problem.message) == ("clusters.prod-us", "cannot be read: the tests refuse this")
    assert problem.hint == "is it running, and does the kubeconfig still admit us?"
    assert monitor.registrations == []
    assert len(api.requests) == 3


def test_a_refusal_is_a_warning_in_a_preview(
    checkout: Checkout, api: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.refusal = 403
    checkout.servers = {"staging": api.url}
    run = checkout.run("sandbox", preview=True)
    assert "the tests refuse this" in caplog.text
    assert run.of("staging", "instance").ignore_changes == ("spec",)


def test_what_is_read_reaches_the_options(checkout: Checkout, api: KubernetesApi) -> None:
    """No stand-in anywhere between the labels on the wire and what is declared."""
    api.objects = {DEPLOYMENT: labelled("flux-operator", HELM), INSTANCE: labelled("flux", KUSTOMIZE)}
    checkout.servers = {"staging": api.url}
    run = checkout.run("sandbox")
    assert run.of("staging", "operator").read_id == "flux-system/flux-operator"
    assert run.of("staging", "instance").import_id == "flux-system/flux"
    assert run.of("staging", "apps").import_id == ""
