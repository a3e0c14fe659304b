"""Who owns a live object: a pure verdict from its labels, on which the options of its resource depend.

`fleet.resources.live` reads the labels, `fleet.resources.options` turns the verdict into options. Whoever applies an
object labels it: kustomize-controller, helm-controller, the FluxInstance and ResourceSet reconcilers all do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fleet import names

OWNERS = {
    names.OWNER_KUSTOMIZATION: "Kustomization",
    names.OWNER_HELM_RELEASE: "HelmRelease",
    names.OWNER_INSTANCE: "FluxInstance",
    names.OWNER_RESOURCE_SET: "ResourceSet",
}
"""Owner label → kind of the owner."""


@dataclass(frozen=True)
class Verdict:
    """`absent`: to be created. `ours`: to be applied. `adopted`: Flux's, hands off. `unknown`: not readable now."""

    state: Literal["absent", "ours", "adopted", "unknown"]
    owner: str = ""
    """Kind and name of the adopter, e.g. `Kustomization/flux-system`."""

    @property
    def is_ours_to_write(self) -> bool:
        return self.state in ("absent", "ours")


ABSENT = Verdict("absent")
OURS = Verdict("ours")
UNKNOWN = Verdict("unknown")


def judge(labels: Mapping[str, str] | None) -> Verdict:
    """The verdict on an object with these labels; None says that the object does not exist."""
    if labels is None:
        return ABSENT
    for label, kind in OWNERS.items():
        if name := labels.get(label):
            return Verdict("adopted", f"{kind}/{name}")
    return OURS
