"""A monitor that makes nothing and remembers everything, for unit tests of the whole program and of components."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any, Final

from sandbox.program.registration import Answer, Registration
from sandbox.program.seam import Monitor

STATE: Final = "pulumi:pulumi:readStackResourceOutputs"
"""The function that the engine answers with the state."""


class RecordingMonitor(Monitor):
    """Answers each resource with its own inputs, as a preview of the engine does, and keeps what was asked.

    `outputs` adds to that, by name or type token: `{"cluster": {"stdout": "…"}}`. There a `Secret` makes an output
    secret, `UNKNOWN` makes it unknown in a preview, and `id` sets the resource's id (unknown if empty).
    `failing` names resources that the cluster would refuse; `held` is what the state holds before the run, as
    `Kind::name`.
    """

    def __init__(
        self,
        *,
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
        failing: Collection[str] = (),
        held: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._held = held
        self.registrations: list[Registration] = []
        """In the order in which the program asked."""
        self._fakes = outputs or {}
        self._failing = failing
        self._recording = threading.Lock()

    def invoke(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state, which is all that the program asks the engine for."""
        if token != STATE:
            return super().invoke(token, arguments)
        return {"outputs": {f"urn:pulumi:s::p::{each}": {"type": "", "outputs": {}} for each in self._held}}

    def register(self, asked: Registration) -> Answer:
        with self._recording:
            self.registrations.append(asked)
        if asked.name in self._failing:
            return Answer(failed=True)
        fake = {**self._fakes.get(asked.type, {}), **self._fakes.get(asked.name, {})}
        identity = fake.pop("id", asked.read_id or asked.import_id or f"{asked.name}-id")
        return Answer(id=identity, outputs={**asked.inputs, **fake})

    def one(self, name: str) -> Registration:
        """The only registration of that name."""
        (found,) = [asked for asked in self.registrations if asked.name == name]
        return found

    def of_type(self, token: str) -> list[Registration]:
        """All registrations of a type, in order."""
        return [asked for asked in self.registrations if asked.type == token]

    def position(self, name: str) -> int:
        """When it was asked for, counted from 0."""
        return self.registrations.index(self.one(name))
