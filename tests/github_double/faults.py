"""What can go wrong between a client and GitHub, injected where a test says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

SECONDARY = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"


@dataclass(kw_only=True)
class Fault:
    """Hits the first `times` calls that match, after letting `skip` of them pass.

    Without `status` the call is handled; with `drop` its answer is lost, the work being done or not. `run` is what
    somebody else does at that moment.
    """

    calls: str = ""
    """Regular expression that `METHOD path` must contain."""
    skip: int = 0
    times: int = 1
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "injected"
    documentation: str = "https://docs.github.com/rest"
    content: bytes = b""
    """Body instead of GitHub's JSON with the message."""
    drop: Literal["before", "after"] | None = None
    run: Callable[[], object] | None = None

    def hits(self, call: str) -> bool:
        """Whether this call is hit; counts."""
        if not re.search(self.calls, call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0

    @property
    def body(self) -> bytes:
        told = {"message": self.message, "documentation_url": self.documentation}
        return self.content or json.dumps(told).encode()


def secondary_limit(calls: str = "", *, seconds: int = 30, times: int = 1, skip: int = 0) -> Fault:
    """What GitHub answers to a burst of writes; clients written in Go know it by the address of the documentation."""
    return Fault(
        calls=calls,
        times=times,
        skip=skip,
        status=403,
        headers={"Retry-After": str(seconds)},
        message="You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        documentation=SECONDARY,
    )


def primary_limit(reset: int, calls: str = "") -> Fault:
    """The limit of an hour, used up until `reset` (seconds of the epoch)."""
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    return Fault(calls=calls, times=1000, status=403, headers=headers, message="API rate limit exceeded")
