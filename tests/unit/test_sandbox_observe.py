"""When a fleet counts as ready, in either design: on what was published, and with all that it should have."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

import pytest

from fleet import names
from fleet.model import Fleet
from sandbox import observe
from sandbox.observe import Picture, look, wait
from sandbox.program.api import Api, Object, Ref
from sandbox.report import _row
from tests.rendering import load_case

URL = "http://127.0.0.1:1/acme/fleet.git"
COMMIT = "sha1:0123456789abcdef"
PLURALS = {plural: kind for _, kind, plural in observe.KINDS}


def item(namespace: str, name: str, spec: Mapping[str, Any], status: Mapping[str, Any], reason: str = "Ok") -> Object:
    ready = {"type": "Ready", "status": "True" if reason == "Ok" else "False", "reason": reason, "message": "told"}
    metadata = {"namespace": namespace, "name": name, "generation": 1}
    return {"metadata": metadata, "spec": spec, "status": {**status, "conditions": [ready]}}


def source(namespace: str = "flux-system", revision: str = f"refs/heads/main@{COMMIT}", url: str = URL) -> Object:
    return item(namespace, "flux-system", {"url": url}, {"artifact": {"revision": revision}})


def kustomization(
    revision: str = f"refs/heads/main@{COMMIT}", kind: str = "GitRepository", reason: str = "Ok"
) -> Object:
    reference = {"kind": kind, "name": "flux-system"}
    return item("flux-system", "root", {"sourceRef": reference}, {"lastAppliedRevision": revision}, reason)


def space(name: str, role: str = "tenant") -> Object:
    return {"metadata": {"name": name, "labels": {names.LABEL_ROLE: role}}}


class FakeApi:
    """A cluster's objects by plural, one set a look, the last one again and again."""

    def __init__(self, *looks: Mapping[str, list[Object]]) -> None:
        self.looks = list(looks)
        self.stopped = threading.Event()
        self.asked: list[str] = []

    def list_all(self, api_version: str, plural: str) -> list[Object]:
        now = self.looks[0]
        if plural == "namespaces" and len(self.looks) > 1:  # the last question of a look
            del self.looks[0]
        return now.get(plural, [])

    def annotate(self, ref: Ref, key: str, value: str) -> None:
        assert key == names.ANNOTATION_RECONCILE_AT
        self.asked.append(ref.name)


@pytest.fixture
def fleet() -> Fleet:
    """Of the git design; its cluster `qa` has monitoring and chaos, the tenants frontend and billing, but not shop."""
    return load_case("git")


ALL = ("frontend", "billing", "monitoring", "chaos")
AUTOMATED = ("infra-update", "apps-update", "shop-deploy-update", "billing-deploy-update")


def everything(**more: list[Object]) -> dict[str, list[Object]]:
    sources = [source(), *(source(name, f"main@{COMMIT}") for name in (*ALL, *AUTOMATED))]
    found = {"gitrepositories": sources, "kustomizations": [kustomization()], "namespaces": [space(n) for n in ALL]}
    return found | more


def see(fleet: Fleet, objects: Mapping[str, list[Object]], cluster: str = "qa") -> Picture:
    return look(cast(Api, FakeApi(objects)), cluster, fleet, {URL: COMMIT})


def told(picture: Picture) -> list[str]:
    return [f"{state.label}: {state.message}" for state in picture.states if not state.ready]


def test_a_fleet_on_what_was_published_is_ready(fleet: Fleet) -> None:
    picture = see(fleet, everything())
    assert (told(picture), picture.missing) == ([], [])
    assert picture.ready


def test_a_source_of_an_older_commit_is_not_ready(fleet: Fleet) -> None:
    objects = everything()
    objects["gitrepositories"][0] = source(revision="refs/heads/main@sha1:old")
    assert told(see(fleet, objects))[0] == (
        "GitRepository flux-system/flux-system: has not fetched what was published last"
    )


def test_a_source_of_somebody_else_may_have_any_revision(fleet: Fleet) -> None:
    objects = everything()
    objects["gitrepositories"].append(source("other", "main@sha1:x", "https://github.com/somebody/else.git"))
    assert see(fleet, objects).ready


@pytest.mark.parametrize(("kind", "ready"), [("GitRepository", False), ("OCIRepository", True)])
def test_a_kustomization_follows_its_own_source(fleet: Fleet, kind: str, ready: bool) -> None:
    """By kind and name: in a change of design both kinds are there for a while, under one name."""
    old = item("flux-system", "flux-system", {"url": "oci://x"}, {"artifact": {"revision": "latest@sha256:1"}})
    objects = everything(kustomizations=[kustomization("latest@sha256:1", kind)], ocirepositories=[old])
    picture = see(fleet, objects)
    assert picture.ready is ready
    assert ready or told(picture) == ["Kustomization flux-system/root: has not applied what its source fetched last"]


def test_a_namespace_without_its_source_is_missing(fleet: Fleet) -> None:
    """Also those of image automation, on the cluster that automates; none is waited for that goes elsewhere."""
    picture = see(fleet, everything(gitrepositories=[source()]))
    assert picture.missing == [f"namespace {name} has no source yet" for name in sorted([*ALL, *AUTOMATED])]
    production = see(fleet, everything(gitrepositories=[source()], namespaces=[]), "production")
    assert production.missing == [f"namespace {name} has no source yet" for name in ("frontend", "monitoring", "shop")]


def test_a_source_elsewhere_does_not_count(fleet: Fleet) -> None:
    objects = everything()
    objects["gitrepositories"][1] = source("frontend", url="https://github.com/somebody/else.git")
    assert see(fleet, objects).missing == ["namespace frontend has no source yet"]


def test_a_namespace_that_left_the_cluster_is_to_go(fleet: Fleet) -> None:
    """Whether it left the fleet or this environment; a namespace without a role is nobody's concern."""
    strange = {"metadata": {"name": "kube-system"}}
    spaces = [*(space(name) for name in (*ALL, "shop", "gone")), strange]
    assert see(fleet, everything(namespaces=spaces)).missing == [
        "namespace shop is not gone yet",
        "namespace gone is not gone yet",
    ]


def test_the_table_shows_the_commit_of_the_fleet_repository(fleet: Fleet) -> None:
    row = _row(see(fleet, everything()))
    assert row[2] == "main@sha1:0123456789"
    assert row[-1] == "yes"


def test_what_failed_early_is_asked_once_more(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that a policy admits a moment later would wait minutes for Flux's next try."""
    for name in ("POLL", "AGAIN"):
        monkeypatch.setattr(observe, name, 0.0)
    failed = everything(kustomizations=[kustomization(reason="ReconciliationFailed")])
    fresh = everything(kustomizations=[kustomization(reason="Progressing")])
    api = FakeApi(fresh, failed, failed, failed, everything())
    picture = wait(cast(Api, api), "qa", fleet, {URL: COMMIT}, seconds=60, progress=lambda _: None)
    assert picture.ready
    assert api.asked == ["root"]


def test_what_goes_on_failing_is_asked_twice_and_no_more(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for what failed before this run, once within it."""
    for name, value in (("POLL", 0.0), ("AGAIN", 0.0), ("SETTLED", 0.1)):
        monkeypatch.setattr(observe, name, value)
    api = FakeApi(everything(kustomizations=[kustomization(reason="ReconciliationFailed")]))
    picture = wait(cast(Api, api), "qa", fleet, {URL: COMMIT}, seconds=60, progress=lambda _: None)
    assert not picture.ready
    assert api.asked == ["root", "root"]
