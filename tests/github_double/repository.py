"""A repository of the double: its Git objects, its pull requests, and the rules that stand in the way of a push.

Methods above the line are what the API's handlers use; those below it are what people do, for tests to call.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.github_double.git import ZERO, Git, Item, Person

VIOLATION: Final = "Repository rule violations found\n\nChanges must be made through a pull request.\n\n"


class Refusal(Exception):
    """GitHub says no."""

    def __init__(self, status: int, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors

    @property
    def body(self) -> dict[str, Any]:
        """Without the status where GitHub's description has none."""
        about = {"message": self.message, "documentation_url": "https://docs.github.com/rest"}
        status = {} if self.status == 422 else {"status": str(self.status)}
        return about | status | ({"errors": self.errors} if self.errors else {})


@dataclass(kw_only=True)
class Pull:
    """A pull request from a branch of the same repository, or of a fork."""

    number: int
    title: str
    body: str
    head: str
    base: str
    sha: str
    """Of the head; it stays when the branch is gone."""
    state: Literal["OPEN", "CLOSED", "MERGED"] = "OPEN"
    cross_repository: bool = False


@dataclass(kw_only=True)
class Repository:
    """A repository; new ones are empty."""

    owner: str
    name: str
    id: int
    default_branch: str = "main"
    private: bool = True
    git: Git = field(default_factory=Git)
    pulls: dict[int, Pull] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    """Branches that only take pull requests."""

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def node_id(self) -> str:
        return f"R_{self.id}"

    @property
    def is_empty(self) -> bool:
        return not self.git.refs

    def require_commits(self) -> None:
        if self.is_empty:
            raise Refusal(409, "Git Repository is empty.")

    def move(self, ref: str, sha: str, *, force: bool = False) -> None:
        """Points a ref at a commit; zeros delete it. Raises Refusal; pull requests follow their branch."""
        old = self.git.refs.get(ref, ZERO)
        if ref.removeprefix("refs/heads/") in self.protected:
            raise Refusal(422, VIOLATION)
        if sha != ZERO and not self.git.has(sha, "commit"):
            raise Refusal(422, "Object does not exist")
        if ZERO not in (old, sha) and not force and old not in self.git.ancestry(sha):
            raise Refusal(422, "Update is not a fast forward")
        self._set(ref, sha)

    def open_pull(self, *, title: str, body: str, head: str, base: str) -> Pull:
        """Raises Refusal for what GitHub does not take."""
        heads = {name: self.git.refs.get(f"refs/heads/{name}") for name in (head, base)}
        for name, sha in heads.items():
            if sha is None:
                field_name = "head" if name == head else "base"
                raise Refusal(422, "Validation Failed", [_fault(field_name, "invalid", "")])
        own = [pull for pull in self.pulls.values() if not pull.cross_repository and pull.state == "OPEN"]
        if any((pull.head, pull.base) == (head, base) for pull in own):
            told = f"A pull request already exists for {self.owner}:{head}."
            raise Refusal(422, "Validation Failed", [_fault("", "custom", told)])
        top, below = heads[head] or "", heads[base] or ""
        if top in self.git.ancestry(below):
            raise Refusal(422, "Validation Failed", [_fault("", "custom", f"No commits between {base} and {head}")])
        return self._add(Pull(number=self._number(), title=title, body=body, head=head, base=base, sha=top))

    def _number(self) -> int:
        return next(number for number in itertools.count(1) if number not in self.pulls)

    def _add(self, pull: Pull) -> Pull:
        self.pulls[pull.number] = pull
        return pull

    def _set(self, ref: str, sha: str) -> None:
        if sha == ZERO:
            self.git.refs.pop(ref, None)
        else:
            self.git.refs[ref] = sha
        for pull in self.pulls.values():
            if pull.state == "OPEN" and not pull.cross_repository and ref == f"refs/heads/{pull.head}":
                pull.sha, pull.state = (pull.sha, "CLOSED") if sha == ZERO else (sha, "OPEN")

    # --- what people do ---------------------------------------------------------------------------------------------
    def commit(
        self, files: Mapping[str, bytes | None], branch: str = "main", message: str = "Work", *, mode: str = "100644"
    ) -> str:
        """Somebody's commit on a branch, past every rule: files are written, or deleted with None."""
        ref = f"refs/heads/{branch}"
        parent = self.git.refs.get(ref)
        tree = self.git.files(self.git.commit(parent).tree) if parent else {}
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                tree[path] = Item(mode=mode, sha=self.git.put("blob", content))
        sha = self.git.put_commit(self.git.put_tree(tree), [parent] if parent else [], message, Person())
        self._set(ref, sha)
        return sha

    def head(self, branch: str = "main") -> str:
        return self.git.refs[f"refs/heads/{branch}"]

    def entries(self, branch: str = "main") -> dict[str, Item]:
        return self.git.files(self.git.commit(self.head(branch)).tree)

    def files(self, branch: str = "main") -> dict[str, bytes]:
        """Contents by path; submodules have none."""
        return {path: self.git.blob(item.sha) for path, item in self.entries(branch).items() if item.type == "blob"}

    def merge(self, number: int) -> None:
        """Squashes a pull request onto its base. Only from the base's head: the double merges nothing (D)."""
        pull = self.pulls[number]
        base, head = self.head(pull.base), self.git.commit(pull.sha)
        assert base in self.git.ancestry(pull.sha), "somebody has to bring the branch up to date first"
        self._set(f"refs/heads/{pull.base}", self.git.put_commit(head.tree, [base], pull.title, Person()))
        pull.state = "MERGED"

    def close(self, number: int) -> None:
        self.pulls[number].state = "CLOSED"

    def fork_pull(self, head: str) -> Pull:
        """A pull request from a branch of that name in somebody's fork."""
        pull = Pull(
            number=self._number(), title="Mine", body="", head=head, base="main", sha=self.head(), cross_repository=True
        )
        return self._add(pull)


def _fault(field_name: str, code: str, message: str) -> dict[str, str]:
    given = {"field": field_name, "message": message}
    return {"resource": "PullRequest", "code": code} | {key: value for key, value in given.items() if value}
