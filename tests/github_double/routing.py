"""What a handler of an operation gets and gives. A family of the API is a module with a table `HANDLERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.github_double.git import Person
from tests.github_double.repository import Repository

if TYPE_CHECKING:
    from tests.github_double.server import GitHubDouble


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that was understood."""

    github: GitHubDouble
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]
    credential: str
    actor: Person
    older: bool = False
    """Whether an older version of the API is asked for."""

    @property
    def repository(self) -> Repository:
        """The one in the path. Raises Refusal."""
        return self.github.repository(self.path["owner"], self.path["repo"])


Answer = tuple[int, Any]
"""Status and JSON; None for no body."""
Handler = Callable[[Request], Answer]
"""Raises Refusal."""
