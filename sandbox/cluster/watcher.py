"""Looks at one API server once a second: lays down the cluster objects, and knows which Deployments ask for a process.

A thread of the supervisor, one a cluster, so that a slow answer delays no restart. Left out on purpose: acting on
what it sees (`supervisor`), and what the objects are (`objects`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.cluster.cluster_api import ClusterApi
from sandbox.cluster.objects import SIMULATED_KINDS, Kind, base_objects, flux_stages
from sandbox.cluster.process import deployment_arguments

LOOK: Final = 1.0
"""Seconds between two looks at a cluster."""
HURRY: Final = 0.1
"""The same, until the API server has taken the first objects."""


class Watcher(threading.Thread):
    """Runs for as long as the supervisor lives; keeps the last answer while there is no other."""

    def __init__(self, api: ClusterApi, kwok_stages: Path) -> None:
        super().__init__(daemon=True)
        self.api = api
        self.arguments: Mapping[str, tuple[str, ...] | None] = {}
        """Of each Deployment in Flux's namespace."""
        self.laid = threading.Event()
        """Set when the objects that a fresh cluster needs are there."""
        self._base = base_objects(kwok_stages)
        self._simulated: set[Kind] = set()

    def run(self) -> None:
        import httpx2

        told = ""
        while True:
            problem = ""
            try:
                self.look()
            except (httpx2.HTTPError, LookupError, ValueError) as error:
                problem = f"cluster not read: {error!r}"
            if problem != told and self.laid.is_set():
                tell(problem or "cluster read again")
                told = problem
            time.sleep(LOOK if self.laid.is_set() else HURRY)

    def look(self) -> None:
        """One look; raises what the API server's answers raise."""
        if not self.laid.is_set():
            # A Stage is refused until its definition, the first of these, is served; then the next look repeats all.
            for manifest in self._base:
                self.api.apply(manifest)
            self.laid.set()
        served = self.api.served_definitions()
        self._simulated = {kind for kind in self._simulated if kind.definition in served}
        for kind in SIMULATED_KINDS:
            if kind.definition in served and kind not in self._simulated:
                self._simulate(kind)
        self.arguments = {name: deployment_arguments(d) for name, d in self.api.deployments().items()}

    def _simulate(self, kind: Kind) -> None:
        """Hand a kind to KWOK, which gives up on one that the OpenAPI document does not have yet."""
        if self.api.describes(kind.group, kind.version, kind.plural):
            for manifest in flux_stages(kind, since=str(time.time_ns())):
                self.api.apply(manifest)
            self._simulated.add(kind)


def tell(line: str) -> None:
    """One line for the supervisor's own log; a full disk must not end what it reports on."""
    with contextlib.suppress(OSError):
        print(time.strftime("%H:%M:%S"), line, flush=True)
