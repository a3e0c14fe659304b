"""Whether a live cluster is the one that the stack means: a rename or a swapped kubeconfig must not reach another's.

Called by `deploy` once a cluster was read, before anything is declared for it. Pure, but for the claims of one run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fleet.errors import Problem
from fleet.model import ClusterSource
from fleet.resources.live import Verdicts

STACK_KEY = "FLEET_STACK"
CLUSTER_KEY = "FLEET_CLUSTER"
"""Variables by which a cluster says whose it is: its stack, and the name that it was made by, which stays."""


@dataclass(frozen=True, kw_only=True)
class Identities:
    """The clusters of one run, told apart."""

    stack: str
    _taken: dict[str, str] = field(default_factory=dict)
    """UID of a cluster → name of the one that was read first."""

    def fault(self, name: str, source: ClusterSource, found: Verdicts) -> Problem | None:
        """What is wrong with going on with a cluster by that name; None for one that says nothing else."""
        path, made_as = f"clusters.{name}", source.made_as(name)
        stack, said = found.variables.get(STACK_KEY, self.stack), _said(name, made_as, found)
        if stack != self.stack:
            hint = (
                "does the kubeconfig lead to the wrong cluster? If this stack is to take it over, "
                "`kubectl -n flux-system delete configmap flux-runtime-info` first"
            )
            return Problem(path, f"the live cluster belongs to stack `{stack}`", hint)
        if said != made_as:
            hint = f"if it was renamed, `renamedFrom: {said}`; otherwise the kubeconfig leads to the wrong cluster"
            return Problem(path, f"the live cluster is `{said}`", hint)
        if found.uid and (other := self._taken.setdefault(found.uid, name)) != name:
            hint = "each cluster has a kubeconfig of its own"
            return Problem(path, f"the live cluster is that of `{other}`", hint)
        return None


def _said(name: str, made_as: str, found: Verdicts) -> str:
    """The name that the cluster gives: ours, else Git's, which a rename changes once it is merged."""
    if ours := found.variables.get(CLUSTER_KEY):
        return ours
    said = found.variables.get("CLUSTER_NAME", made_as)
    return made_as if said == name else said
