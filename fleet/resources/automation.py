"""The work of an update cluster: image automation runs once, as the weekly workflow of the fleet repository has it run.

Called by `deploy` once the FluxInstance of a cluster with `role: update` is Ready; blocks, so it is run in a thread.
Left out on purpose: the pull requests, which need GitHub and no cluster (`fleet.github.pulls`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet import names
from fleet.conditions import describe, is_true, stuck
from fleet.errors import ClusterError, Problem
from fleet.resources.connection import Api, Object, connect, path_of

PAUSE: Final = 1.0
"""Seconds between two looks."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of Flux's, or the one object of it that is looked at."""

    api: str
    kind: str
    plural: str
    name: str = ""

    def look(self, api: Api) -> list[Object]:
        """All of them; one that is asked for by its name and is not there yet has reported nothing."""
        if not self.name:
            return list(api.get(path_of(self.api, self.plural))["items"])
        found = api.find(path_of(self.api, self.plural, self.name, namespace=names.FLUX_NAMESPACE))
        return [found or {"metadata": {"name": self.name, "namespace": names.FLUX_NAMESPACE}}]

    def annotate(self, api: Api, found: Object, annotations: Mapping[str, str]) -> None:
        metadata = found["metadata"]
        path = path_of(self.api, self.plural, metadata["name"], namespace=metadata["namespace"])
        api.merge(path, {"metadata": {"annotations": annotations}})


AUTOMATIONS: Final = Kind(api=names.IMAGE_API, kind="ImageUpdateAutomation", plural="imageupdateautomations")
STAGES: Final = (
    Kind(api=names.OPERATOR_API, kind="ResourceSet", plural="resourcesets", name=names.AUTOMATION),
    Kind(api=names.KUSTOMIZATION_API, kind="Kustomization", plural="kustomizations"),
    Kind(api=names.IMAGE_API, kind="ImageRepository", plural="imagerepositories"),
    Kind(api=names.IMAGE_API, kind="ImagePolicy", plural="imagepolicies"),
)
"""Each is there, if not ready, once the one before it is ready."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One run of image automation on one cluster."""

    cluster: str
    api: Api
    deadline: float
    """On the monotonic clock."""
    tell: Callable[[str], None]

    def run(self) -> dict[str, str]:
        """Automation that ran before the policies had their versions pushed nothing: all of it looks once more."""
        for stage in STAGES:
            self._until(stage, lambda found: is_true(found, "Ready"))
        asked = uuid.uuid4().hex
        for found in AUTOMATIONS.look(self.api):
            AUTOMATIONS.annotate(self.api, found, {names.ANNOTATION_RECONCILE_AT: asked})
        done = self._until(AUTOMATIONS, lambda found: _handled(found, asked) and is_true(found, "Ready"), asked)
        return {found["metadata"]["namespace"]: found["status"].get("lastPushCommit", "") for found in done}

    def _until(self, kind: Kind, done: Callable[[Object], bool], asked: str = "") -> list[Object]:
        """The objects once all are done. What is stuck, or has failed at what it was `asked`, ends it at once."""
        told = ""
        while True:
            objects = kind.look(self.api)
            waiting = [found for found in objects if not done(found)]
            if not waiting:
                return objects
            failed = [found for found in waiting if stuck(found) or _failed(found, asked)]
            if failed or time.monotonic() > self.deadline:
                hint = "correct the cause and run again" if failed else "`readyTimeout` of the stack allows more time"
                raise ClusterError(self._problem(kind, found, hint) for found in failed or waiting)
            if (news := f"{kind.kind} {_name(waiting[0])}: {describe(waiting[0])}") != told:
                self.tell(f"{self.cluster}: waiting for {news}")
                told = news
            time.sleep(PAUSE)

    def _problem(self, kind: Kind, found: Object, hint: str) -> Problem:
        return Problem(f"clusters.{self.cluster}", f"{kind.kind} {_name(found)} is not ready: {describe(found)}", hint)


def run_once(cluster: str, kubeconfig: str, *, seconds: float, tell: Callable[[str], None]) -> dict[str, str]:
    """The commit that each automation pushed, by its namespace; `""` where no version was new.

    Raises ClusterError when something of it fails, or is not ready within `seconds`, all together.
    """
    import httpx2

    try:
        with connect(kubeconfig) as api:
            return Work(cluster=cluster, api=api, deadline=time.monotonic() + seconds, tell=tell).run()
    except httpx2.HTTPError as error:
        problem = Problem(f"clusters.{cluster}", f"image automation cannot be followed: {error}", "run again")
        raise ClusterError([problem]) from error


def _handled(found: Object, asked: str) -> bool:
    return (found.get("status") or {}).get("lastHandledReconcileAt") == asked


def _failed(found: Object, asked: str) -> bool:
    """Flux would try again later; a cluster that is thrown away has no later."""
    return bool(asked) and _handled(found, asked) and is_true(found, "Ready", "False")


def _name(found: Object) -> str:
    metadata = found["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
