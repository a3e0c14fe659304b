"""Waits until an object says of itself what the program asked for, and stops early with the cause where it cannot heal.

`pulumi.com/waitFor` of the real provider waits its full time and then says only "timed out"; here the object's own
message is the error. Called by `apply`. Left out on purpose: waiting without being asked to, and JSONPath
beyond plain field names.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from fleet.conditions import describe, is_true, stuck
from fleet.errors import ClusterError, Problem, ToolError
from fleet.names import ANNOTATION_RECONCILE_AT
from sandbox.program.api import POLL, Api, Object, Ref
from sandbox.program.fields import look

_CONDITION = re.compile(r"condition=(?P<type>[^=]+)(=(?P<value>.+))?")
_JSONPATH = re.compile(r"jsonpath=\{(?P<path>(\.[\w-]+)+)\}(=(?P<value>.+))?")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing to be waited for: a condition by type, or a field by path, which must have `value` or just exist."""

    text: str
    condition: str = ""
    path: tuple[str, ...] = ()
    value: str = ""

    def met(self, live: Object) -> bool:
        if self.condition:
            return is_true(live, self.condition, self.value)
        found = look(live, self.path)
        return found is not None and (not self.value or str(found) == self.value)


def parse_checks(annotation: str) -> tuple[Check, ...]:
    """The checks in a `pulumi.com/waitFor`: `condition=…`, `jsonpath={…}=…`, or a JSON list of these."""
    texts = json.loads(annotation) if annotation.startswith("[") else [annotation]
    return tuple(_parse(text) for text in texts)


def _parse(text: str) -> Check:
    if match := _CONDITION.fullmatch(text):
        return Check(text=text, condition=match["type"], value=match["value"] or "True")
    if match := _JSONPATH.fullmatch(text):
        return Check(text=text, path=tuple(match["path"].split(".")[1:]), value=match["value"] or "")
    hint = "the sandbox knows `condition=Ready` and `jsonpath={.status.phase}=Running`"
    raise ToolError([Problem("pulumi.com/waitFor", f"`{text}` cannot be waited for", hint)])


def wait(
    api: Api,
    ref: Ref,
    checks: tuple[Check, ...],
    *,
    seconds: float,
    progress: Callable[[str], None],
) -> Object:
    """The object once all `checks` are met; raises `ClusterError` with its own message if stuck or out of time."""
    deadline = time.monotonic() + seconds
    live = _present(api, ref)
    asked = _retry_now(api, ref, live) if stuck(live) else ""
    told = ""
    while not all(check.met(live) for check in checks):
        # A failure from before this run counts only after the controller has looked again.
        if (cause := stuck(live)) and (not asked or look(live, ("status", "lastHandledReconcileAt")) == asked):
            raise ClusterError(
                [Problem(str(ref), f"it cannot become ready: {cause}", "correct the cause and run again")]
            )
        if (news := describe(live)) != told:
            progress(told := news)
        if time.monotonic() > deadline:
            wanted = ", ".join(f"`{check.text}`" for check in checks)
            raise ClusterError([Problem(str(ref), f"{wanted} not met after {seconds:g} s; last: {news}")])
        if api.stopped.wait(POLL):
            raise ToolError([Problem(str(ref), "interrupted while waiting", "run again, it goes on from here")])
        live = _present(api, ref)
    return live


def _retry_now(api: Api, ref: Ref, live: Object) -> str:
    """Ask Flux to try again at once what failed before, and return the token it acknowledges in its status."""
    token = uuid.uuid4().hex
    api.annotate(ref, ANNOTATION_RECONCILE_AT, token)
    return token


def _present(api: Api, ref: Ref) -> Object:
    live = api.get(ref)
    if live is None:
        raise ClusterError([Problem(str(ref), "it was deleted while it was waited for")])
    return live
