"""The apply monitor against a real API server and the real helm."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import FleetError, Problem
from fleet.names import ANNOTATION_RECONCILE_AT
from sandbox.build import Parts
from sandbox.program import api as api_module
from sandbox.program.api import Api, Object, Ref
from sandbox.program.apply import KubernetesCluster
from sandbox.program.monitor import ApplyMonitor, Outcome
from sandbox.program.registration import Secret
from tests.programs import Program
from tests.sandbox.control_plane import control_plane

pytestmark = pytest.mark.sandbox

PROVIDED = 'p = Provider("p", kubeconfig=pulumi.Config().require_secret("kubeconfig"))\n'
UPSERT = PROVIDED.replace("))\n", "), upsert_existing_objects=True)\n")
OTHER = "kustomize-controller"


class Live:
    """A real API server: run programs against it, look at what is there, play a controller."""

    def __init__(self, kubeconfig: str, helm: Path, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.helm = helm
        self.folder = folder
        self.api = Api(kubeconfig)

    def run(self, body: str, news: Callable[[str], None] = lambda _: None, **config: str) -> Run:
        return Run(self, body, news, config)

    def get(self, kind: str, name: str, *, api_version: str = "v1") -> Object:
        found = self.api.get(Ref(api_version=api_version, kind=kind, name=name, namespace="default"))
        assert found is not None
        return found

    def write(self, manifest: Object, manager: str = OTHER, *, force: bool = False) -> Object:
        ref = Ref(
            api_version=manifest["apiVersion"],
            kind=manifest["kind"],
            name=manifest["metadata"]["name"],
            namespace="default",
        )
        return self.api.apply(ref, manifest, manager=manager, force=force)

    def report(self, name: str, generation: int, **fields: Any) -> None:
        """Set a Widget's status as its controller would: one Ready condition about `generation`."""
        ready = {"type": "Ready", "observedGeneration": generation, **fields.pop("ready")}
        status = {"observedGeneration": generation, "conditions": [ready], **fields}
        path = f"/apis/test.fleet/v1/namespaces/default/widgets/{name}/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        self.api._send("PATCH", path, content=json.dumps({"status": status}), headers=headers)


class Run:
    """One run of a program, and everything that can be seen of it."""

    def __init__(self, live: Live, body: str, news: Callable[[str], None], config: Mapping[str, str]) -> None:
        self.outcomes: list[Outcome] = []
        self.problems: tuple[Problem, ...] = ()
        self.outputs: Mapping[str, Any] = {}
        settings = {
            "fleet:kubeconfig": live.kubeconfig,
            **{f"fleet:{key}": value for key, value in config.items()},
        }
        open_cluster = partial(
            KubernetesCluster, helm=live.helm, folder=live.folder, progress=lambda _, text: news(text)
        )
        with ApplyMonitor(open_cluster, self.outcomes.append) as monitor:
            try:
                self.outputs = Program(live.folder / "program", body).run(
                    monitor, config=settings, secrets=list(settings)
                )
            except FleetError as error:
                self.problems = error.problems

    @property
    def kinds(self) -> dict[str, str]:
        return {outcome.label.split("::")[1]: outcome.kind for outcome in self.outcomes}

    @property
    def message(self) -> str:
        """What the only failure says."""
        (problem,) = self.problems
        return problem.message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[str]:
    with control_plane(tmp_path_factory.mktemp("control-plane"), parts) as kubeconfig:
        api = Api(kubeconfig)
        api.apply(
            Ref(
                api_version="apiextensions.k8s.io/v1",
                kind="CustomResourceDefinition",
                name="widgets.test.fleet",
            ),
            WIDGETS,
            manager="test",
            force=False,
        )
        api.close()
        yield kubeconfig


@pytest.fixture
def live(server: str, parts: Parts, tmp_path: Path) -> Iterator[Live]:
    live = Live(server, parts.helm, tmp_path)
    yield live
    live.api.close()


def definition(kind: str, plural: str) -> Object:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.fleet"},
        "spec": {
            "group": "test.fleet",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


WIDGETS = definition("Widget", "widgets")


def config_map(name: str, data: Mapping[str, str], **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "data": dict(data),
    }


def version(found: Object) -> tuple[str, Any]:
    """What moves when anything is written."""
    return found["metadata"]["resourceVersion"], found["metadata"]["managedFields"]


def manager_of(found: Object) -> list[tuple[str, str]]:
    return sorted((entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"])


# --- plain objects ---------------------------------------------------------------------------------------------------
def test_objects_are_made_once_and_then_left_alone(live: Live) -> None:
    """The second run writes nothing, not even a managed field."""
    body = PROVIDED + (
        'n = Namespace("n", metadata={"name": "plain"}, opts=Options(provider=p))\n'
        'a = ConfigMap("a", metadata={"name": "a", "namespace": n.metadata.name}, data={"k": "1"},'
        " opts=Options(provider=p))\n"
        'return {"uid": a.metadata.uid, "id": a.id}'
    )
    first = live.run(body)
    ref = Ref(api_version="v1", kind="ConfigMap", name="a", namespace="plain")
    before = live.api.get(ref)
    assert before
    assert before["data"] == {"k": "1"}
    second = live.run(body)
    assert (first.kinds, second.kinds) == (
        {"n": "created", "a": "created"},
        {"n": "unchanged", "a": "unchanged"},
    )
    assert live.api.get(ref) == before
    assert first.outputs == second.outputs == {"uid": before["metadata"]["uid"], "id": "plain/a"}


def test_a_changed_input_is_written_and_a_dropped_key_goes(live: Live) -> None:
    body = PROVIDED + 'ConfigMap("changed", metadata={"name": "changed"}, data=DATA, opts=Options(provider=p))'
    live.run(body.replace("DATA", '{"a": "1", "b": "1"}'))
    run = live.run(body.replace("DATA", '{"a": "2"}'))
    assert run.kinds == {"changed": "updated"}
    assert live.get("ConfigMap", "changed")["data"] == {"a": "2"}


def test_annotations_set_the_field_manager_and_stay_on_the_object(live: Live) -> None:
    body = PROVIDED + (
        'ConfigMap("managed", metadata={"name": "managed", "annotations":'
        ' {"pulumi.com/patchFieldManager": "kubectl-fleet"}}, opts=Options(provider=p))\n'
        'ConfigMap("default", metadata={"name": "default-manager"}, data={"k": "1"}, opts=Options(provider=p))'
    )
    live.run(body)
    managed = live.get("ConfigMap", "managed")
    assert manager_of(managed) == [("kubectl-fleet", "Apply")]
    assert managed["metadata"]["annotations"] == {"pulumi.com/patchFieldManager": "kubectl-fleet"}
    assert manager_of(live.get("ConfigMap", "default-manager")) == [("pulumi-kubernetes", "Apply")]


def test_secrets_are_encoded_and_their_outputs_are_secret(live: Live) -> None:
    body = PROVIDED + (
        's = Secret("s", metadata={"name": "s"}, string_data={"k": pulumi.Config().require_secret("text")},'
        ' data={"plain": "eA=="}, opts=Options(provider=p))\n'
        'return {"data": s.data, "name": s.metadata.name}'
    )
    encoded = base64.b64encode(b"t0ken").decode()
    run = live.run(body, text="t0ken")
    assert live.get("Secret", "s")["data"] == {"k": encoded, "plain": "eA=="}
    assert run.outputs == {"data": Secret({"k": encoded, "plain": "eA=="}), "name": "s"}
    assert live.run(body, text="t0ken").kinds == {"s": "unchanged"}
    assert live.run(body, text="other").kinds == {"s": "updated"}


def test_a_refusal_of_the_server_is_told_in_its_words(live: Live) -> None:
    body = PROVIDED + 'ConfigMap("a", metadata={"name": "a", "namespace": "nowhere"}, opts=Options(provider=p))'
    assert live.run(body).message == 'API server: namespaces "nowhere" not found'


# --- objects of others -----------------------------------------------------------------------------------------------
def test_an_object_of_another_manager_already_exists(live: Live) -> None:
    """Nothing is written to it, unless the provider upserts; then both own what they agree on."""
    before = live.write(config_map("theirs", {"k": "1"}))
    declared = 'ConfigMap("theirs", metadata={"name": "theirs"}, data={"k": "1"}, opts=Options(provider=p))'
    refused = live.run(PROVIDED + declared)
    assert "already exists" in refused.message
    assert f"`{OTHER}`" in refused.message
    assert live.get("ConfigMap", "theirs") == before
    assert live.run(UPSERT + declared).kinds == {"theirs": "updated"}
    assert manager_of(live.get("ConfigMap", "theirs")) == [(OTHER, "Apply"), ("pulumi-kubernetes", "Apply")]
    assert live.run(UPSERT + declared).kinds == {"theirs": "unchanged"}


def test_a_conflict_names_the_manager_and_the_fields(live: Live) -> None:
    """And only the annotation forces it."""
    before = live.write(config_map("contested", {"a": "1", "b": "1", "c": "1"}))
    declared = (
        'ConfigMap("contested", metadata={"name": "contested"ANNOTATED}, data={"a": "2", "b": "2"},'
        " opts=Options(provider=p))"
    )
    run = live.run(UPSERT + declared.replace("ANNOTATED", ""))
    assert run.message == (f"ConfigMap `default/contested`: `{OTHER}` owns `.data.a`; `{OTHER}` owns `.data.b`")
    assert live.get("ConfigMap", "contested") == before
    forced = declared.replace("ANNOTATED", ', "annotations": {"pulumi.com/patchForce": "true"}')
    assert live.run(UPSERT + forced).kinds == {"contested": "updated"}
    assert live.get("ConfigMap", "contested")["data"] == {"a": "2", "b": "2", "c": "1"}


IMPORTED = (
    'ConfigMap("a", metadata={"name": NAME, "labels": {"same": "1"}}, data={"k": "ours"},'
    " opts=Options(provider=p, OPTIONS))"
)


def imported(name: str, ignored: str) -> str:
    options = f'import_="default/{name}", ignore_changes={ignored}'
    return PROVIDED + IMPORTED.replace("NAME", f'"{name}"').replace("OPTIONS", options)


def test_an_imported_object_is_not_written_where_only_ignored_parts_differ(live: Live) -> None:
    """Not even our name is added to what both want alike."""
    before = version(live.write(config_map("adopted", {"k": "theirs"}, labels={"same": "1", "other": "2"})))
    for _ in range(2):
        assert live.run(imported("adopted", '["data"]')).kinds == {"a": "adopted"}
        assert version(live.get("ConfigMap", "adopted")) == before


def test_an_import_without_ignoring_meets_the_other_manager(live: Live) -> None:
    before = live.write(config_map("taken", {"k": "theirs"}))
    assert f"`{OTHER}` owns `.data.k`" in live.run(imported("taken", "[]")).message
    assert live.get("ConfigMap", "taken") == before


@pytest.mark.parametrize(
    "way", [imported("absent", "[]"), PROVIDED + 'ConfigMap.get("a", "absent", Options(provider=p))']
)
def test_an_object_that_must_exist_and_does_not_is_an_error(live: Live, way: str) -> None:
    assert "does not exist" in live.run(way).message
    assert live.api.get(Ref(api_version="v1", kind="ConfigMap", name="absent", namespace="default")) is None


def test_get_reads_and_never_writes(live: Live) -> None:
    before = live.write(config_map("read", {"k": "theirs"}))
    run = live.run(PROVIDED + 'a = ConfigMap.get("a", "read", Options(provider=p))\nreturn {"k": a.data["k"]}')
    assert (run.kinds, run.outputs) == ({"a": "read"}, {"k": "theirs"})
    assert live.get("ConfigMap", "read") == before


def test_ignoring_keeps_what_we_own_while_another_field_changes(live: Live) -> None:
    """A server-side apply without the ignored part would take it off the object."""
    declared = PROVIDED + (
        'ConfigMap("kept", metadata={"name": "kept", "labels": {"v": LABEL}}, data={"k": DATA},'
        " opts=Options(provider=p, ignore_changes=IGNORED))"
    )

    def fill(label: str, data: str, ignored: str) -> str:
        return declared.replace("LABEL", label).replace("DATA", data).replace("IGNORED", ignored)

    live.run(fill('"1"', '"first"', "[]"))
    assert live.run(fill('"1"', '"second"', '["data"]')).kinds == {"kept": "unchanged"}
    assert live.run(fill('"2"', '"second"', '["data"]')).kinds == {"kept": "updated"}
    found = live.get("ConfigMap", "kept")
    assert (found["metadata"]["labels"], found["data"]) == ({"v": "2"}, {"k": "first"})


# --- kinds and waiting -----------------------------------------------------------------------------------------------
def widget(name: str, *, spec: str = "{}", wait: str = "condition=Ready", seconds: int = 300) -> str:
    annotations = {"pulumi.com/waitFor": wait, "pulumi.com/timeoutSeconds": str(seconds)}
    return UPSERT + (
        f'CustomResource("w", api_version="test.fleet/v1", kind="Widget", spec={spec},'
        f' metadata={{"name": "{name}", "annotations": {annotations}}}, opts=Options(provider=p))'
    )


def test_waits_for_the_condition(live: Live) -> None:
    """The controller answers when the wait has begun, first that it is at work, then that it is done."""
    heard: list[str] = []

    def controller(news: str) -> None:
        heard.append(news)
        done = len(heard) > 1
        ready = {"status": str(done), "reason": "Done" if done else "Progressing", "message": "m"}
        live.report("waited", 1, ready=ready)

    assert live.run(widget("waited"), controller).kinds == {"w": "created"}
    assert heard == ["it has not reported any condition", "Ready=False, Progressing: m"]
    assert live.run(widget("waited"), controller).kinds == {"w": "unchanged"}
    assert len(heard) == 2


def test_a_condition_about_an_older_spec_does_not_count(live: Live) -> None:
    heard: list[str] = []

    def controller(news: str) -> None:
        heard.append(news)
        live.report("generation", len(heard), ready={"status": "True"})

    live.run(widget("generation"), controller)
    assert live.run(widget("generation", spec='{"changed": True}'), controller).kinds == {"w": "updated"}
    assert len(heard) == 2


@pytest.mark.parametrize(
    "ready", [{"status": "False", "reason": "ArtifactFailed", "message": "no such image"}], ids=["reason"]
)
def test_what_cannot_heal_fails_at_once_with_its_own_message(live: Live, ready: Mapping[str, str]) -> None:
    run = live.run(widget("hopeless"), lambda _: live.report("hopeless", 1, ready=ready))
    assert "ArtifactFailed: no such image" in run.message


def test_a_stalled_object_fails_at_once(live: Live) -> None:
    def controller(_: str) -> None:
        stalled = {"type": "Stalled", "status": "True", "reason": "Invalid", "message": "bad input"}
        live.report("stalled", 1, ready={"status": "False", "reason": "Any"}, conditions=[stalled])

    assert "Invalid: bad input" in live.run(widget("stalled"), controller).message


def test_a_failure_from_before_is_tried_again(live: Live) -> None:
    """The cause may be gone since: the controller is asked to look, and only its new answer counts."""
    failed = {"status": "False", "reason": "ArtifactFailed", "message": "registry is down"}
    live.run(widget("again"), lambda _: live.report("again", 1, ready=failed))

    def controller(_: str) -> None:
        asked = live.get("Widget", "again", api_version="test.fleet/v1")["metadata"]["annotations"]
        token = asked[ANNOTATION_RECONCILE_AT]
        live.report("again", 1, ready={"status": "True"}, lastHandledReconcileAt=token)

    assert live.run(widget("again"), controller).problems == ()


def test_a_failure_that_lasts_is_told_after_the_retry(live: Live) -> None:
    failed = {"status": "False", "reason": "BuildFailed", "message": "first"}
    live.run(widget("lasting"), lambda _: live.report("lasting", 1, ready=failed))

    def controller(_: str) -> None:
        asked = live.get("Widget", "lasting", api_version="test.fleet/v1")["metadata"]["annotations"]
        again = {**failed, "message": "second"}
        live.report("lasting", 1, ready=again, lastHandledReconcileAt=asked[ANNOTATION_RECONCILE_AT])

    assert "BuildFailed: second" in live.run(widget("lasting"), controller).message


def test_out_of_time_tells_the_last_condition(live: Live) -> None:
    busy = {"status": "False", "reason": "Progressing", "message": "2 of 3"}
    run = live.run(widget("slow", seconds=1), lambda _: live.report("slow", 1, ready=busy))
    assert "`condition=Ready` not met after 1 s; last: Ready=False, Progressing: 2 of 3" in run.message


def test_waits_for_a_field(live: Live) -> None:
    wait = "jsonpath={.status.phase}=Running"
    run = live.run(
        widget("phase", wait=wait),
        lambda _: live.report("phase", 1, ready={"status": "False"}, phase="Running"),
    )
    assert run.problems == ()


def test_a_kind_that_is_about_to_come_is_waited_for(live: Live) -> None:
    """The definition is applied in the same run and nothing orders the two."""
    body = PROVIDED + (
        f"metadata, spec = {definition('Gadget', 'gadgets')['metadata']}, {definition('Gadget', 'gadgets')['spec']}\n"
        'CustomResource("g", api_version="test.fleet/v1", kind="Gadget", metadata={"name": "g"},'
        " opts=Options(provider=p))\n"
        'CustomResource("d", api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition",'
        " metadata=metadata, spec=spec, opts=Options(provider=p))"
    )
    assert live.run(body).kinds == {"d": "created", "g": "created"}


def test_a_kind_that_never_comes_is_an_error(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "KIND_PATIENCE", 0.5)
    body = PROVIDED + (
        'CustomResource("a", api_version="no.such/v1", kind="Nope", metadata={"name": "a"}, opts=Options(provider=p))'
    )
    assert "`no.such/v1` does not serve `Nope`" in live.run(body).message


# --- Helm ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart of one ConfigMap, named as its release."""
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text('{apiVersion: v2, name: demo, version: 1.2.3, appVersion: "4"}')
    (folder / "templates" / "map.yaml").write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}'},"
        ' data: {a: {{ required "a is missing" .Values.a | quote }}}}'
    )
    return folder


def release(name: str, chart: Path, values: str = '{"a": "1"}') -> str:
    return PROVIDED + (
        f'r = Release("r", name="{name}", namespace="default", chart="{chart}", values={values},'
        ' opts=Options(provider=p))\nreturn {"revision": r.status.revision, "id": r.id}'
    )


def leave_pending(live: Live, name: str, revision: int, status: str) -> None:
    """Make the stored release look as if helm had been killed in the middle."""
    path = f"/api/v1/namespaces/default/secrets/sh.helm.release.v1.{name}.v{revision}"
    secret = live.api._send("GET", path)
    stored = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    stored["info"]["status"] = status
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(stored).encode()))).decode()
    patch = {"metadata": {"labels": {"status": status}}, "data": {"release": packed}}
    headers = {"Content-Type": "application/merge-patch+json"}
    live.api._send("PATCH", path, content=json.dumps(patch), headers=headers)


def test_a_release_is_installed_once_and_upgraded_on_change(live: Live, chart: Path) -> None:
    first = live.run(release("demo", chart))
    assert (first.kinds, first.outputs) == ({"r": "created"}, {"revision": 1, "id": "default/demo"})
    again = live.run(release("demo", chart))
    assert (again.kinds, again.outputs["revision"]) == ({"r": "unchanged"}, 1)
    changed = live.run(release("demo", chart, '{"a": "2"}'))
    assert (changed.kinds, changed.outputs["revision"]) == ({"r": "updated"}, 2)
    assert live.get("ConfigMap", "demo")["data"] == {"a": "2"}
    read = live.run(PROVIDED + 'Release.get("r", "default/demo", Options(provider=p))')
    assert read.kinds == {"r": "read"}
    assert live.run(release("demo", chart, '{"a": "2"}')).outputs["revision"] == 2


def test_a_release_that_is_not_there_cannot_be_read(live: Live) -> None:
    run = live.run(PROVIDED + 'Release.get("r", "default/none", Options(provider=p))')
    assert "no such Helm release" in run.message


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback", "failed"])
def test_a_cut_off_upgrade_goes_on_without_deleting_what_runs(live: Live, chart: Path, status: str) -> None:
    name = status
    live.run(release(name, chart))
    live.run(release(name, chart, '{"a": "2"}'))
    before = live.get("ConfigMap", name)["metadata"]["uid"]
    leave_pending(live, name, 2, status)
    run = live.run(release(name, chart, '{"a": "3"}'))
    assert run.kinds == {"r": "updated"}
    found = live.get("ConfigMap", name)
    assert (found["data"], found["metadata"]["uid"]) == ({"a": "3"}, before)


@pytest.mark.parametrize("status", ["pending-install", "failed", "uninstalling"])
def test_a_cut_off_first_install_is_made_again(live: Live, chart: Path, status: str) -> None:
    name = f"first-{status}"
    live.run(release(name, chart))
    leave_pending(live, name, 1, status)
    run = live.run(release(name, chart))
    assert (run.kinds, run.problems) == ({"r": "created"}, ())
    assert live.get("ConfigMap", name)["data"] == {"a": "1"}


def test_a_failed_first_install_tells_why_and_is_made_again(live: Live, chart: Path) -> None:
    failed = live.run(release("failing", chart, '{"b": "s3cret"}'))
    assert "a is missing" in failed.message
    assert live.run(release("failing", chart)).kinds == {"r": "created"}


def test_secret_values_are_not_in_the_command_line(live: Live, chart: Path, tmp_path: Path) -> None:
    """A wrapper around helm writes down what any other user could see of it."""
    seen = tmp_path / "seen"
    wrapper = tmp_path / "helm"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nenv >> {seen}\nexec {live.helm} "$@"\n')
    wrapper.chmod(0o700)
    live.helm = wrapper
    run = live.run(release("quiet", chart, '{"a": pulumi.Config().require_secret("text")}'), text="s3cret")
    assert run.kinds == {"r": "created"}
    assert live.get("ConfigMap", "quiet")["data"] == {"a": "s3cret"}
    assert "upgrade quiet" in seen.read_text()
    assert "s3cret" not in seen.read_text()
