"""Applies each resource of the program as it is registered, where no Pulumi engine is at hand; for the sandbox only.

`ApplyMonitor` knows the order, the options and the failures; what makes one resource real is a `Cluster`, opened for
each kubernetes provider of the program (`apply.KubernetesCluster`; the unit tests bring one of their own).

What it cannot do, and says to whoever asks: it keeps no state, so it shows no diff, refreshes nothing, plans no
deletion. An object that left the program stays on the cluster; `make down` takes the whole cluster away. `protect` and
`retainOnDelete` are therefore kept by doing nothing. A preview is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, Self

from pulumi import runtime

from fleet.errors import FleetError, Problem, ToolError
from sandbox.program.registration import UNKNOWN, Answer, Registration, Secret, reveal
from sandbox.program.seam import Monitor

PROVIDER: Final = "pulumi:providers:kubernetes"
PROVIDERS: Final = "pulumi:providers:"
REAL_STACKS: Final = "stacks that run with the real engine can: `make up STACK=staging`"

Kind = Literal["created", "updated", "unchanged", "adopted", "read", "failed", "skipped"]
"""`adopted`: imported and found as wanted, nothing written. `skipped`: something it depends on failed."""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A resource that is as it was asked for."""

    kind: Kind
    id: str
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one resource, for the display; `detail` says why it failed or was skipped."""

    kind: Kind
    urn: str
    label: str
    detail: str = ""


class Cluster(Protocol):
    """What one provider of the program leads to; called from many threads at once."""

    def make(self, asked: Registration) -> Applied:
        """Bring the cluster to what `asked` says, or raise `FleetError`."""

    def stop(self) -> None:
        """Give up whatever is waited for."""

    def close(self) -> None:
        """Let go of connections."""


class ApplyMonitor(Monitor):
    """Serves one run; `report` hears once of every resource but components and opened providers, as they end."""

    def __init__(self, open_cluster: Callable[[Mapping[str, Any]], Cluster], report: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._open_cluster = open_cluster
        self._report = report
        self._clusters: dict[str, Cluster] = {}
        self._broken: dict[str, str] = {}
        """URN of what failed or was skipped → which failure that goes back to."""
        self._problems: list[Problem] = []
        self._stopped = threading.Event()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for cluster in self._clusters.values():
            cluster.close()

    def stop(self) -> None:
        self._stopped.set()
        for cluster in list(self._clusters.values()):
            cluster.stop()

    def problems(self) -> tuple[Problem, ...]:
        return tuple(self._problems)

    def register(self, asked: Registration) -> Answer:
        if not asked.custom:
            return Answer()
        if runtime.is_dry_run():
            raise ToolError([Problem("preview", "the sandbox has no state to compare with", REAL_STACKS)])
        if cause := self._cause(asked):
            return self._skip(asked, cause)
        if _has_unknown([asked.inputs, asked.read_id]):
            return self._fail(asked, [Problem("inputs", "a value is not known although nothing failed")])
        return self._make(asked)

    def _make(self, asked: Registration) -> Answer:
        try:
            if asked.type.startswith(PROVIDERS):
                return self._provide(asked)
            made = self._cluster(asked).make(asked)
        except FleetError as error:
            return self._fail(asked, error.problems)
        except Exception as error:  # noqa: BLE001 - a defect must fail its own resource only, and be told
            text = f"{type(error).__name__}: {error}"
            return self._fail(asked, [Problem(asked.label, text, "a defect of the sandbox; please report it")])
        self._tell(made.kind, asked)
        return Answer(id=made.id, outputs=made.outputs)

    def _provide(self, asked: Registration) -> Answer:
        """Open a kubernetes provider's cluster; other providers may be declared, but their resources fail."""
        if asked.type == PROVIDER:
            with self._guard:  # one at a time: lightkube's models crash where two threads are the first to use them
                cluster = self._clusters[asked.urn] = self._open_cluster(reveal(asked.inputs))
            if self._stopped.is_set():
                cluster.stop()
        return Answer(id=asked.name, outputs=asked.inputs)

    def _cluster(self, asked: Registration) -> Cluster:
        if not asked.type.startswith("kubernetes:"):
            raise ToolError([Problem(asked.type, "the sandbox cannot make this type", REAL_STACKS)])
        if not asked.provider:
            hint = "pass `provider=` in its options, or `providers=` to its component"
            raise ToolError([Problem(asked.label, "has no explicit provider", hint)])
        return self._clusters[_provider_urn(asked)]

    def _cause(self, asked: Registration) -> str:
        """Why `asked` must not be applied: what it needs failed, by whatever way it needs it."""
        if self._stopped.is_set():
            return "the run was interrupted"
        needed = (*sorted(asked.dependencies), _provider_urn(asked), asked.parent)
        with self._guard:
            cause = next((self._broken[urn] for urn in needed if urn in self._broken), "")
            # The SDK does not say on what the id of a read depends.
            if not cause and self._broken and _has_unknown([asked.inputs, asked.read_id]):
                cause = "a value that it needs is not known, since something before it failed"
        return cause

    def _skip(self, asked: Registration, cause: str) -> Answer:
        with self._guard:
            self._broken[asked.urn] = cause
        self._tell("skipped", asked, cause)
        return Answer(failed=True)

    def _fail(self, asked: Registration, problems: Sequence[Problem]) -> Answer:
        hidden = sorted(set(_secret_texts(asked.inputs)), key=len, reverse=True)
        told = [Problem(asked.label, _redact(_said(p, asked), hidden), p.hint) for p in problems]
        with self._guard:
            self._broken[asked.urn] = f"`{asked.label}` failed"
            self._problems += told
        self._tell("failed", asked, "; ".join(problem.message for problem in told))
        return Answer(failed=True)

    def _tell(self, kind: Kind, asked: Registration, detail: str = "") -> None:
        with self._guard:
            self._report(Outcome(kind=kind, urn=asked.urn, label=asked.label, detail=detail))


def _provider_urn(asked: Registration) -> str:
    return asked.provider.rpartition("::")[0]


def _said(problem: Problem, asked: Registration) -> str:
    """The message with its own path in front, since the path of the report is the resource."""
    return problem.message if problem.path == asked.label else f"{problem.path}: {problem.message}"


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Secret):
        return _has_unknown(value.value)
    if isinstance(value, Mapping):
        return any(_has_unknown(item) for item in value.values())
    return any(_has_unknown(item) for item in value) if isinstance(value, list) else bool(value == UNKNOWN)


def _secret_texts(value: Any, *, inside: bool = False) -> Iterator[str]:
    """Every text within a secret that is long enough to be one."""
    if isinstance(value, Secret):
        yield from _secret_texts(value.value, inside=True)
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _secret_texts(item, inside=inside)
    elif inside and isinstance(value, str) and len(value) > 3:
        yield value


def _redact(text: str, hidden: list[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "[secret]")
    return text
