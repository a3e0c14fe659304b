"""Kinds that charts would bring: found in the trees, defined where nobody else does, and never taken from others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from fleet.manifests.trees import trees
from sandbox.definitions import PERMISSIVE, define_kinds, groups_of, unknown_kinds
from sandbox.program.api import Api, Object, Ref
from tests.rendering import load_case

FLUX = {
    "fluxcd.controlplane.io",
    *(f"{name}.toolkit.fluxcd.io" for name in ("source", "kustomize", "helm", "image", "notification")),
}
BUILT_IN = {
    *("apps", "batch", "autoscaling", "policy"),
    *(f"{name}.k8s.io" for name in ("rbac.authorization", "networking", "admissionregistration", "storage")),
}
EXTENSIONS = {"apiextensions.k8s.io"}


def manifest(api_version: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **more}


def tree(*documents: object, path: str = "components/a/base/a.yaml") -> dict[str, bytes]:
    return {path: yaml.safe_dump_all(documents).encode()}


def names(*documents: object) -> list[str]:
    """What each unknown kind would be defined as."""
    return [f"{kind.definition}/{kind.version}" for kind in unknown_kinds([tree(*documents)], FLUX)]


@pytest.mark.parametrize("case", ["default", "complete", "git"])
def test_what_the_rendered_trees_use_is_known_or_found(case: str) -> None:
    """Nothing of Kubernetes or Flux is taken for unknown, and each other group of the trees has its kinds."""
    content = trees(load_case(case)).values()
    found = {kind.group for kind in unknown_kinds(content, FLUX | BUILT_IN | EXTENSIONS)}
    assert not {group for group in found if group.endswith(("fluxcd.io", "k8s.io"))}
    assert {"monitoring.coreos.com"} <= found


def test_every_object_is_found_wherever_it_stands() -> None:
    """In a file of several, in a list, and in the template of a ResourceSet."""
    template = manifest("fluxcd.controlplane.io/v1", "ResourceSet", spec={"resources": [manifest("a.io/v1", "Inner")]})
    listed = {"apiVersion": "v1", "kind": "List", "items": [manifest("b.io/v1", "Listed")]}
    assert names(template, listed, None, manifest("c.io/v1beta1", "Last")) == [
        "inners.a.io/v1",
        "listeds.b.io/v1",
        "lasts.c.io/v1beta1",
    ]


def test_what_is_no_object_is_left_out() -> None:
    """References, files of tools, the core group, values of Helm, and text that is no YAML at all."""
    reference = {"apiVersion": "a.io/v1", "kind": "Referred", "name": "x"}
    files = tree(reference, manifest("v1", "ConfigMap"), manifest("kustomize.config.k8s.io/v1beta1", "Kustomization"))
    files["components/a/base/text.yaml"] = b"apiVersion: [}"
    files["notes.md"] = yaml.safe_dump(manifest("a.io/v1", "Noted")).encode()
    assert unknown_kinds([files], ()) == []


def test_a_kind_that_a_tree_defines_is_its_own() -> None:
    own = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    assert names(own | {"metadata": {"name": "widgets.a.io"}}, manifest("a.io/v1", "Widget")) == [
        "customresourcedefinitions.apiextensions.k8s.io/v1"
    ]


@pytest.mark.parametrize(
    ("kind", "plural", "namespaced"),
    [
        ("ServiceMonitor", "servicemonitors", True),
        ("ClusterPolicy", "clusterpolicies", False),
        ("Gateway", "gateways", True),
        ("Ingress", "ingresses", True),
        ("Cluster", "clusters", True),
    ],
)
def test_plural_and_scope(kind: str, plural: str, namespaced: bool) -> None:
    (found,) = unknown_kinds([tree(manifest("a.io/v1", kind))], ())
    assert (found.plural, found.namespaced) == (plural, namespaced)


def test_the_groups_of_a_folder_of_definitions(tmp_path: Path) -> None:
    for group in ("a.io", "b.io"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "x.yaml").write_text(yaml.safe_dump({"spec": {"group": group, "names": {"kind": "X"}}}))
    assert groups_of(tmp_path) == {"a.io", "b.io"}


class FakeApi:
    """Definitions on a cluster, as applied."""

    def __init__(self, *, foreign: bool = False) -> None:
        self.live: dict[str, Object] = {}
        self.applied: list[str] = []
        if foreign:
            spec = {"group": "a.io", "versions": [{"name": "v1"}]}
            self.live["widgets.a.io"] = {"metadata": {"name": "widgets.a.io"}, "spec": spec}

    def groups(self) -> frozenset[str]:
        return frozenset({"apps", "apiextensions.k8s.io", *(item["spec"]["group"] for item in self.live.values())})

    def list_all(self, api_version: str, plural: str) -> list[Object]:
        assert (api_version, plural) == ("apiextensions.k8s.io/v1", "customresourcedefinitions")
        return list(self.live.values())

    def ref(self, api_version: str, kind: str, name: str, namespace: str) -> Ref:
        return Ref(api_version=api_version, kind=kind, name=name, namespace=namespace)

    def apply(self, ref: Ref, body: Object, *, manager: str, force: bool) -> None:
        self.applied.append(ref.name)
        self.live[ref.name] = body

    def define(self, tmp_path: Path, *documents: object) -> list[str]:
        """What is applied for these documents."""
        self.applied.clear()
        define_kinds(cast(Api, self), [tree(*documents)], tmp_path)
        return self.applied


def test_an_unknown_kind_is_defined_once(tmp_path: Path) -> None:
    """One that the API server has is not, nor one that Flux will bring, whose definition lies in the folder."""
    api = FakeApi()
    (tmp_path / "x.yaml").write_text("spec:\n  group: flux.io\n")
    documents = [manifest("a.io/v1", "Widget"), manifest("apps/v1", "Deployment"), manifest("flux.io/v1", "Soon")]
    assert api.define(tmp_path, *documents) == ["widgets.a.io"]
    assert api.define(tmp_path, *documents) == []


def test_another_version_is_added_and_the_old_one_stays(tmp_path: Path) -> None:
    """Objects may be stored in it; so it stays the one that they are stored in."""
    api = FakeApi()
    api.define(tmp_path, manifest("a.io/v1beta1", "Widget"))
    api.define(tmp_path, manifest("a.io/v1", "Widget"), manifest("a.io/v2", "Widget"))
    versions = api.live["widgets.a.io"]["spec"]["versions"]
    assert {version["name"]: version["storage"] for version in versions} == {"v1beta1": True, "v1": False, "v2": False}
    assert api.define(tmp_path, manifest("a.io/v2", "Widget")) == []


def test_several_versions_at_once(tmp_path: Path) -> None:
    api = FakeApi()
    api.define(tmp_path, manifest("a.io/v1", "Widget"), manifest("a.io/v1beta1", "Widget"))
    assert {version["name"] for version in api.live["widgets.a.io"]["spec"]["versions"]} == {"v1", "v1beta1"}


def test_a_definition_of_others_is_left_alone(tmp_path: Path) -> None:
    assert FakeApi(foreign=True).define(tmp_path, manifest("a.io/v2", "Widget")) == []


def test_a_protected_group_has_the_annotation_without_which_it_is_refused(tmp_path: Path) -> None:
    api = FakeApi()
    api.define(tmp_path, manifest("gateway.networking.k8s.io/v1", "Gateway"), manifest("a.io/v1", "Widget"))
    annotations = {name: set(item["metadata"]["annotations"]) for name, item in api.live.items()}
    assert annotations == {
        "gateways.gateway.networking.k8s.io": {PERMISSIVE, "api-approved.kubernetes.io"},
        "widgets.a.io": {PERMISSIVE},
    }
