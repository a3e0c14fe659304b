"""The pure parts of applying: paths, ownership, manifests, what a Release asks helm for, what is waited for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from fleet.conditions import stuck
from fleet.errors import FleetError
from sandbox.program import conditions, fields, helm
from sandbox.program.apply import KubernetesCluster, manifest
from sandbox.program.registration import Registration, Secret


def asked(type_: str = "kubernetes:core/v1:ConfigMap", /, **settings: Any) -> Registration:
    inputs = {"metadata": {"name": "a"}, **settings.pop("inputs", {})}
    return Registration(urn="urn", type=type_, name="r", parent="", custom=True, inputs=inputs, **settings)


# --- fields ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("spec", ("spec",)),
        ("metadata.labels", ("metadata", "labels")),
        ('metadata.labels["a.b/c"]', ("metadata", "labels", "a.b/c")),
        ('data["a"].b', ("data", "a", "b")),
    ],
)
def test_paths_are_read(text: str, path: tuple[str, ...]) -> None:
    assert fields.parse_path(text) == path


@pytest.mark.parametrize("text", ["", "*", "spec.*", "spec.items[0]", "spec[*].a", "spec..a"])
def test_paths_that_cannot_be_ignored_are_refused(text: str) -> None:
    with pytest.raises(FleetError, match="cannot ignore"):
        fields.parse_path(text)


def test_without_leaves_no_empty_objects_and_the_original_alone() -> None:
    value = {"a": {"b": {"c": 1}}, "d": {"e": 1, "f": 2}, "g": {}}
    assert fields.without(value, [("a", "b", "c"), ("d", "e"), ("x", "y")]) == {"d": {"f": 2}, "g": {}}
    assert value["a"] == {"b": {"c": 1}}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"a": 1}, True),
        ({"a": 2}, False),
        ({"n": {"x": "1"}}, True),
        ({"n": {"z": None}}, True),
        ({"l": [{"k": 1}, 2]}, True),
        ({"l": [{"k": 1}]}, False),
        ({"missing": 1}, False),
    ],
)
def test_contains_looks_only_at_what_is_wanted(wanted: dict[str, Any], found: bool) -> None:
    live = {"a": 1, "n": {"x": "1", "y": "2"}, "l": [{"k": 1, "default": True}, 2]}
    assert fields.contains(live, wanted) is found


def test_owned_is_what_the_record_of_the_manager_names() -> None:
    """Fields, keyed list items, set values and whole values; not what others own, nor a status write."""
    live = {
        "metadata": {
            "labels": {"ours": "1", "theirs": "2"},
            "managedFields": [
                {
                    "manager": "us",
                    "operation": "Apply",
                    "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:ours": {}}},
                        "f:spec": {
                            "f:whole": {},
                            "f:list": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:v": {}}},
                            "f:keys": {'k:{"name":"a"}': {".": {}}},
                            "f:set": {'v:"x"': {}},
                            "f:gone": {},
                        },
                    },
                },
                {
                    "manager": "us",
                    "operation": "Apply",
                    "subresource": "status",
                    "fieldsV1": {"f:status": {}},
                },
                {"manager": "them", "operation": "Apply", "fieldsV1": {"f:other": {}}},
            ],
        },
        "spec": {
            "whole": {"deep": [1]},
            "list": [{"name": "a", "v": 1, "w": 2}, {"name": "b", "v": 3}],
            "keys": [{"name": "a", "v": 1}],
            "set": ["x", "y"],
        },
        "status": {"s": 1},
        "other": 1,
    }
    assert fields.owned(live, "us") == {
        "metadata": {"labels": {"ours": "1"}},
        "spec": {
            "whole": {"deep": [1]},
            "list": [{"name": "a", "v": 1}],
            "keys": [{"name": "a"}],
            "set": ["x"],
        },
    }
    assert fields.owned(live, "nobody") == {}


def test_only_keeps_what_lies_at_the_paths() -> None:
    value = {"a": {"b": 1, "c": 2}, "d": 3, "e": 4}
    assert fields.only(value, [("a", "b"), ("a", "c"), ("d",), ("x",)]) == {"a": {"b": 1, "c": 2}, "d": 3}


# --- manifests -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("type_", "api_version", "kind"),
    [
        ("kubernetes:core/v1:Secret", "v1", "Secret"),
        ("kubernetes:apps/v1:Deployment", "apps/v1", "Deployment"),
        ("kubernetes:fluxcd.controlplane.io/v1:FluxInstance", "fluxcd.controlplane.io/v1", "FluxInstance"),
    ],
)
def test_the_type_says_version_and_kind(type_: str, api_version: str, kind: str) -> None:
    assert manifest(asked(type_)) == {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}


def test_string_data_wins_over_data() -> None:
    inputs = {"data": {"a": "b2xk", "b": "b2xk"}, "stringData": Secret({"a": "new"})}
    made = manifest(asked("kubernetes:core/v1:Secret", inputs=inputs))
    assert made["data"] == {"a": base64.b64encode(b"new").decode(), "b": "b2xk"}
    assert "stringData" not in made


@pytest.mark.parametrize(
    "registration",
    [
        asked("kubernetes:yaml/v2:ConfigGroup"),
        asked("kubernetes:helm.sh/v4:Chart"),
        asked("kubernetes:kustomize/v2:Directory"),
        asked("kubernetes:core/v1:ConfigMapPatch", inputs={"kind": "ConfigMap"}),
    ],
    ids=lambda r: r.type,
)
def test_what_is_not_an_object_is_refused_with_the_stack_that_can(registration: Registration) -> None:
    with pytest.raises(FleetError, match=r"cannot make this type\n.*make up STACK=staging"):
        manifest(registration)


def test_an_object_without_name_is_refused() -> None:
    with pytest.raises(FleetError, match=r"metadata\.name: is not set"):
        manifest(asked(inputs={"metadata": {}}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kubeconfig": "{}", "renderYamlToDirectory": "x"},
            "renderYamlToDirectory: the sandbox does not know",
        ),
        ({}, "kubeconfig: is not set"),
        ({"kubeconfig": "users: [{user: {token: hunter22}"}, "kubeconfig: it cannot be read"),
    ],
)
def test_provider_settings_that_cannot_be_honoured_are_refused(
    settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FleetError, match=message) as raised:
        KubernetesCluster(settings, helm=tmp_path, folder=tmp_path, progress=lambda *_: None)
    assert "hunter22" not in str(raised.value)


# --- releases --------------------------------------------------------------------------------------------------------
def release(**inputs: Any) -> Registration:
    return asked(helm.RELEASE, inputs={"metadata": None, "name": "r", "chart": "c", **inputs})


def test_a_release_is_read_with_its_defaults() -> None:
    wanted = helm.parse(release())
    assert wanted == helm.Wanted(
        name="r", namespace="default", chart="c", version="", values={}, flags=("--wait",), seconds=300
    )


@pytest.mark.parametrize(
    ("inputs", "flags"),
    [
        ({"skipAwait": True}, ()),
        ({"skipAwait": False}, ("--wait",)),
        ({"createNamespace": True, "atomic": False}, ("--create-namespace", "--wait")),
        ({"version": "1.2.3"}, ("--wait", "--version", "1.2.3")),
        ({"chart": "oci://127.0.0.1:5000/c"}, ("--wait", "--plain-http")),
        ({"chart": "oci://ghcr.io/c"}, ("--wait",)),
    ],
)
def test_inputs_become_flags(inputs: dict[str, Any], flags: tuple[str, ...]) -> None:
    assert helm.parse(release(**inputs)).flags == flags


def test_all_inputs_that_helm_would_not_hear_of_are_named() -> None:
    with pytest.raises(FleetError) as raised:
        helm.parse(release(repositoryOpts={"repo": "x"}, postrender="y", lint=False))
    assert [problem.path for problem in raised.value.problems] == ["postrender", "repositoryOpts"]


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        (asked(helm.RELEASE, inputs={"metadata": None, "chart": "c"}), "name: is not set"),
        (asked(helm.RELEASE, inputs={"metadata": None}, import_id="a/b"), r"Release\.get"),
    ],
)
def test_releases_that_cannot_be_made_are_refused(registration: Registration, message: str) -> None:
    with pytest.raises(FleetError, match=message):
        helm.parse(registration)


def revision(**changes: Any) -> helm.Revision:
    same = {"chart": "c", "version": "1", "values": {"a": 1}, "status": "deployed", "app_version": ""}
    return helm.Revision(number=1, **{**same, **changes})


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, True),
        ({"version": "2"}, False),
        ({"chart": "d"}, False),
        ({"values": {"a": 2}}, False),
        ({"status": "failed"}, False),
        ({"status": "superseded"}, False),
    ],
)
def test_a_release_is_met_by_the_same_chart_version_and_values(changes: dict[str, Any], met: bool) -> None:
    wanted = helm.parse(release(chart="oci://ghcr.io/charts/c", version="1", values={"a": 1}))
    assert wanted.is_met_by(revision(**changes)) is met


# --- waiting ---------------------------------------------------------------------------------------------------------
def live(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "status": status}


def condition(status: str, type_: str = "Ready", **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status, **more}


@pytest.mark.parametrize(
    ("text", "found", "met"),
    [
        ("condition=Ready", live(conditions=[condition("True")]), True),
        ("condition=Ready", live(conditions=[condition("False")]), False),
        ("condition=Ready=False", live(conditions=[condition("False")]), True),
        ("condition=Ready", live(conditions=[condition("True", observedGeneration=1)]), False),
        ("condition=Ready", live(conditions=[condition("True")], observedGeneration=-1), False),
        ("condition=Ready", live(), False),
        ("jsonpath={.status.phase}=Up", live(phase="Up"), True),
        ("jsonpath={.status.phase}=Up", live(phase="Down"), False),
        ("jsonpath={.status.phase}", live(phase="Any"), True),
        ("jsonpath={.status.phase}", live(), False),
    ],
)
def test_checks(text: str, found: dict[str, Any], met: bool) -> None:
    (check,) = conditions.parse_checks(text)
    assert check.met(found) is met


def test_several_checks_are_a_json_list() -> None:
    checks = conditions.parse_checks('["condition=Ready", "jsonpath={.status.a}"]')
    assert [check.text for check in checks] == ["condition=Ready", "jsonpath={.status.a}"]


@pytest.mark.parametrize("text", ["Ready", "jsonpath={.items[0].a}", "delete"])
def test_checks_that_are_not_known_are_refused(text: str) -> None:
    with pytest.raises(FleetError, match="cannot be waited for"):
        conditions.parse_checks(text)


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (live(conditions=[condition("False", reason="ArtifactFailed", message="m")]), "ArtifactFailed: m"),
        (live(conditions=[condition("False", reason="BuildFailed", message="m")]), "BuildFailed: m"),
        (live(conditions=[condition("True", "Stalled", reason="Any", message="m")]), "Any: m"),
        (live(conditions=[condition("False", "Stalled", reason="Any")]), ""),
        (live(conditions=[condition("False", reason="DependencyNotReady")]), ""),
        (live(conditions=[condition("Unknown", reason="ArtifactFailed")]), ""),
        (live(conditions=[condition("False", reason="ArtifactFailed", observedGeneration=1)]), ""),
    ],
)
def test_only_what_cannot_heal_is_stuck(found: dict[str, Any], cause: str) -> None:
    assert stuck(found) == cause
