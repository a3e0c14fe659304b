"""One repository on GitHub: the few calls that seeding needs, as many as there are steps and never one a file.

Called by `seeding`. Every method is one request, but for `read_contents`. What GitHub or the network refuses becomes a
GitHubError, and a Conflict where another look may help.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fleet.errors import Problem
from fleet.github import queries
from fleet.github.faults import GitHubError, NotFound, explain
from fleet.github.marks import BOT_BRANCH, MARKER, SEED_REF
from fleet.github.state import Commit, State, read_state
from fleet.github.trees import SUBMODULE, Entry, Tree, hash_blob, hash_tree

if TYPE_CHECKING:
    from githubkit import GitHub

NOWHERE: Final = "0" * 40
"""What a ref points at that does not exist."""
BATCH: Final = 100
"""Contents in one query."""


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who a commit is by."""

    name: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository, and the branch of it that is seeded."""

    github: GitHub[Any]
    credential: str
    """Where the credential came from, for messages."""
    owner: str
    name: str
    branch: str = "main"
    author: Author | None = None
    """None for whoever the credential belongs to; GitHub then signs the commits of an App."""

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def look(self) -> State:
        main = f"refs/heads/{self.branch}"
        names = {"owner": self.owner, "name": self.name, "base": self.branch, "head": BOT_BRANCH}
        refs = {"main": main, "marker": f"{main}:{MARKER}", "bot": f"refs/heads/{BOT_BRANCH}", "seed": SEED_REF}
        return read_state(self._graphql("state", queries.LOOK, names | refs)["repository"])

    def read_tree(self, sha: str) -> dict[str, Entry]:
        """Every file of a tree. Raises GitHubError for one that is too large to be read at once."""
        answer = self._rest("tree", self.github.rest.git.get_tree, sha, recursive="1")
        if answer["truncated"]:
            raise GitHubError([Problem(f"{self.full_name}: tree", "has more than 100,000 files, or names of 7 MB")])
        files = (item for item in answer["tree"] if item["type"] != "tree")
        return {item["path"]: Entry(mode=item["mode"], sha=item["sha"]) for item in files}

    def read_contents(self, shas: Sequence[str]) -> dict[str, bytes]:
        """Contents by name; what is no text, or too large to be given whole, is left out."""
        found: dict[str, bytes] = {}
        for start in range(0, len(shas), BATCH):
            batch = shas[start : start + BATCH]
            variables = {"owner": self.owner, "name": self.name}
            answer = self._graphql("contents", queries.contents(batch), variables)["repository"]
            for sha in batch:
                text = ((answer[f"sha{sha}"] or {}).get("text") or "").encode()
                if hash_blob(text) == sha and b"\0" not in text:
                    found[sha] = text
        return found

    def start(self, path: str, content: bytes) -> Commit:
        """Makes the first commit of an empty repository: Git's data cannot be written before there is one."""
        answer = self._rest(
            "first commit",
            self.github.rest.repos.create_or_update_file_contents,
            path,
            moves=True,
            message="Begin to seed",
            content=base64.b64encode(content).decode(),
            branch=self.branch,
            **self._authorship(),
        )
        return Commit(sha=answer["commit"]["sha"], tree=answer["commit"]["tree"]["sha"])

    def write_tree(self, tree: Tree, contents: Mapping[str, bytes]) -> str:
        """Writes a tree whole, with those `contents` (by name) that GitHub may lack. Returns its name."""
        items = [_item(path, entry, contents.get(entry.sha)) for path, entry in sorted(tree.items())]
        sha = self._rest("tree", self.github.rest.git.create_tree, tree=items)["sha"]
        if sha != hash_tree(tree):
            raise GitHubError([Problem(f"{self.full_name}: tree", f"GitHub made another one, `{sha}`", "report this")])
        return str(sha)

    def write_commit(self, message: str, tree: str, *parents: str) -> str:
        create = self.github.rest.git.create_commit
        fields: dict[str, Any] = {"message": message, "tree": tree, "parents": list(parents), **self._authorship()}
        return str(self._rest("commit", create, **fields)["sha"])

    def create_ref(self, ref: str, sha: str) -> None:
        self._rest(f"`{ref}`", self.github.rest.git.create_ref, moves=True, ref=ref, sha=sha)

    def advance_ref(self, ref: str, sha: str) -> None:
        """Moves a ref to a descendant of what it points at; GitHub refuses anything else."""
        short = ref.removeprefix("refs/")
        self._rest(f"`{ref}`", self.github.rest.git.update_ref, short, moves=True, sha=sha, force=False)

    def replace_ref(self, repository: str, ref: str, *, before: str, after: str = NOWHERE) -> None:
        """Moves a ref anywhere, or deletes it, but only from where we saw it. `repository` is the id that we saw."""
        variables = {"repository": repository, "name": ref, "before": before, "after": after}
        self._graphql(f"`{ref}`", queries.REPLACE, variables, moves=True)

    def find_pull(self, head: str) -> str | None:
        """Address of the open pull request from the branch `head`."""
        asked: dict[str, Any] = {"head": f"{self.owner}:{head}", "base": self.branch, "state": "open"}
        found = self._rest("pull requests", self.github.rest.pulls.list, **asked)
        return str(found[0]["html_url"]) if found else None

    def read_messages(self, head: str) -> list[str]:
        """Messages of the commits that the branch `head` is ahead by; none where there is no such branch."""
        compared = f"{self.branch}...{head}"
        try:
            answer = self._rest(f"`{compared}`", self.github.rest.repos.compare_commits, compared)
        except NotFound:
            return []
        return [found["commit"]["message"] for found in answer["commits"]]

    def open_pull(self, title: str, body: str, *, head: str = BOT_BRANCH) -> tuple[int, str]:
        """Number and address."""
        fields = {"title": title, "body": body, "head": head, "base": self.branch}
        answer = self._rest("pull request", self.github.rest.pulls.create, moves=True, **fields)
        return answer["number"], answer["html_url"]

    def edit_pull(self, number: int, **fields: str) -> None:
        """Changes `body` or `state`."""
        self._rest(f"pull request #{number}", self.github.rest.pulls.update, number, moves=True, **fields)

    def _rest(self, what: str, method: Callable[..., Any], *path: object, moves: bool = False, **fields: Any) -> Any:
        """githubkit checks the fields against GitHub's description of the method."""
        with self._explained(what, moves):
            return method(self.owner, self.name, *path, **fields).json()

    def _graphql(self, what: str, query: str, variables: Mapping[str, str], *, moves: bool = False) -> Any:
        with self._explained(what, moves):
            return self.github.graphql.request(query, dict(variables))

    @contextmanager
    def _explained(self, what: str, moves: bool) -> Iterator[None]:
        from githubkit.exception import GitHubException

        place = f"{self.full_name}: {what}"
        try:
            yield
        except GitHubException as error:
            raise explain(error, place, self.credential, moves=moves) from error
        except ValueError as error:
            problem = Problem(place, "the answer is not GitHub's", "check `github.url` in fleet.yaml")
            raise GitHubError([problem]) from error

    def _authorship(self) -> dict[str, dict[str, str]]:
        if self.author is None:
            return {}
        person = {"name": self.author.name, "email": self.author.email}
        return {"author": person, "committer": person}


def _item(path: str, entry: Entry, content: bytes | None) -> dict[str, str]:
    kind = "commit" if entry.mode == SUBMODULE else "blob"
    given = {"sha": entry.sha} if content is None else {"content": content.decode()}
    return {"path": path, "mode": entry.mode, "type": kind, **given}
