"""What the user sees at the end: a table of the fleet, why something is not ready, where to look, what is simulated.

Called by `sandbox.up` and `status`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fleet import names
from sandbox.observe import SOURCES, Picture, State

if TYPE_CHECKING:
    from rich.console import Console

SIMULATED: Final = (
    "Simulated here: pods (KWOK reports them running); Helm releases with their charts and tests, and image automation "
    "(reported ready: nothing is installed, tested, scanned or committed); alerts (nothing is sent); source-controller "
    "(a stand-in that fetches from the local registry and Git server and verifies no signature). "
    "Real: the Kubernetes API server, the Flux Operator, kustomize-controller, Helm for the operator itself."
)
ROOT: Final = (names.FLUX_NAMESPACE, names.SYNC)
"""Namespace and name of the source that brings everything else."""
HEADER: Final = ("CLUSTER", "FLUX", "REVISION", "COMPONENTS", "TENANTS", "KUSTOMIZATIONS", "RELEASES", "READY")


def show_table(console: Console, pictures: Sequence[Picture]) -> None:
    """One row a cluster, then every cause of what is not ready. Never cut to the terminal: a wrapped line says all."""
    rows = [HEADER, *(_row(picture) for picture in pictures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), style="bold" if row is HEADER else None, highlight=False, markup=False)
    for picture in pictures:
        if not picture.ready:
            _show_causes(console, picture)


def _row(picture: Picture) -> tuple[str, ...]:
    instance = next(iter(picture.of("FluxInstance")), None)
    root = next(
        (s for kind in SOURCES for s in picture.of(kind) if (s.ref.namespace, s.ref.name) == ROOT and s.revision), None
    )
    return (
        picture.cluster,
        instance.revision.partition("@")[0] if instance else "-",
        _short(root.revision) if root else "-",
        _count_workloads(picture, "platform"),
        _count_workloads(picture, "tenant"),
        _count(picture.of("Kustomization")),
        _count(picture.of("HelmRelease")),
        "yes" if picture.ready else "no",
    )


def _show_causes(console: Console, picture: Picture) -> None:
    console.print(f"\n{picture.cluster} is not ready:", style="bold")
    for state in picture.causes():
        console.print(
            f"  {state.label}: {state.reason or 'no status yet'}: {state.message}", highlight=False, markup=False
        )
    for line in picture.missing:
        console.print(f"  {line}", highlight=False, markup=False)


def _count(states: Sequence[State]) -> str:
    return f"{sum(state.ready for state in states)}/{len(states)}"


def _count_workloads(picture: Picture, role: str) -> str:
    """Namespaces of a role whose Kustomizations are all ready, of all of that role."""
    spaces = [name for name, its_role in picture.namespaces.items() if its_role == role]
    unready = {state.ref.namespace for state in picture.of("Kustomization") if not state.ready}
    return f"{sum(space not in unready for space in spaces)}/{len(spaces)}"


def _short(revision: str) -> str:
    """`latest@sha256:0123…` or `main@sha1:0123…`, with as much of the digest as tells two revisions apart."""
    ref, _, digest = revision.partition("@")
    return f"{ref.removeprefix('refs/heads/')}@{digest[:15]}"
