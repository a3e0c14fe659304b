"""What an object says of itself: its conditions, read the way kstatus does. Pure; whoever waits asks here.

Source: the contract of Flux's conditions (fluxcd/pkg, apis/meta): Ready, Reconciling, Stalled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Object = Mapping[str, Any]

TERMINAL: Final = frozenset({"ArtifactFailed", "BuildFailed", "AuthenticationFailed"})
"""Reasons of Ready=False that Flux gives for what only a change of the input can cure."""


def current(live: Object) -> Iterator[Mapping[str, Any]]:
    """Conditions about the present generation; older ones speak of a spec that is gone."""
    generation, status = live["metadata"].get("generation", 0), live.get("status") or {}
    if status.get("observedGeneration") not in (None, generation):
        return
    for condition in status.get("conditions") or ():
        if condition.get("observedGeneration", generation) == generation:
            yield condition


def is_true(live: Object, condition: str, value: str = "True") -> bool:
    return any(found["type"] == condition and found["status"] == value for found in current(live))


def stuck(live: Object) -> str:
    """Why the object cannot become ready without a change, in its own words; empty if it still may."""
    for condition in current(live):
        stalled = condition["type"] == "Stalled" and condition["status"] == "True"
        hopeless = condition["type"] == "Ready" and condition["status"] == "False"
        if stalled or (hopeless and condition.get("reason") in TERMINAL):
            return f"{condition.get('reason', 'Stalled')}: {condition.get('message', '')}"
    return ""


def describe(live: Object) -> str:
    """The last news of an object in one line, for progress and time-outs."""
    conditions = {found["type"]: found for found in (live.get("status") or {}).get("conditions") or ()}
    news = conditions.get("Ready") or next(iter(conditions.values()), None)
    if news is None:
        return "it has not reported any condition"
    return f"{news['type']}={news['status']}, {news.get('reason', '')}: {news.get('message', '')}"
