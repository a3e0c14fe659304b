"""What is found on the clusters: a stand-in for the only reader of live objects, and the verdicts that it gives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from fleet.ownership import ABSENT, Verdict
from fleet.resources import live

ADOPTED: Final = Verdict("adopted", "Kustomization/flux-system")
SETS: Final = ("policies", "infra", "apps")
FRESH: Final = live.Verdicts(operator=ABSENT, instance=ABSENT)
"""What is found on a cluster that nobody has touched."""


class Reader:
    """Stands in for `fleet.resources.live.read`: gives `answer` and keeps which kubeconfigs it was asked about."""

    def __init__(self) -> None:
        self.answer: Callable[[str], live.Verdicts] = lambda kubeconfig: FRESH
        self.asked: list[str] = []
        self.pushed: dict[str, str] = {}
        """What image automation says that it pushed, by namespace; it stands in for `automation.run_once` there."""
        self.automated: list[str] = []
        """Clusters that image automation was run on."""
        self.lost: set[str] = set()
        """Kubeconfigs of clusters that do not answer any more at the end of a run."""
        self._guard = threading.Lock()

    def __call__(self, kubeconfig: str) -> live.Verdicts:
        with self._guard:
            self.asked.append(kubeconfig)
        return self.answer(kubeconfig)

    def ask(self, kubeconfig: str) -> None:
        """Stands in for `fleet.resources.live.ask`."""
        if kubeconfig in self.lost:
            raise OSError("gone")

    def automate(self, cluster: str, kubeconfig: str, **_: object) -> dict[str, str]:
        self.automated.append(cluster)
        return self.pushed


def found(word: str, verdict: Verdict, others: Verdict) -> live.Verdicts:
    """A cluster on which one object has a verdict and all others another one."""

    def verdict_on(other: str) -> Verdict:
        return verdict if other == word else others

    sets = {name: verdict_on(name) for name in SETS if verdict_on(name) != ABSENT}
    return live.Verdicts(operator=verdict_on("operator"), instance=verdict_on("instance"), sets=sets)
