"""Brings the rendered files of one repository to GitHub: at first in one commit, from then on as a pull request.

Called by `python -m fleet seed`. A run looks, decides, and acts; where GitHub was changed in between it looks again.
Every step leaves GitHub in a state from which the next run reaches the same end, so an interrupted run is run again.

Main is written once, when nobody has worked on it yet. Later only the bot's branch is, and people merge. Left out on
purpose: making and protecting repositories, which `fleet.resources` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from fleet.errors import Problem
from fleet.github import marks, proposal
from fleet.github.connection import Progress
from fleet.github.faults import Conflict, GitHubError, NotFound
from fleet.github.marks import BOT_BRANCH, MARKER, SEED_REF
from fleet.github.merging import Sides, merge, wanted_contents
from fleet.github.repository import Repository
from fleet.github.state import Commit, State
from fleet.github.trees import Tree, blobs_of, hash_tree, tree_of

ATTEMPTS: Final = 3
"""Looks at a repository that others change at the same time."""
BOT_REF: Final = f"refs/heads/{BOT_BRANCH}"

Action = Literal["seeded", "unchanged", "proposed", "refused", "held", "withdrawn"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of a repository."""

    action: Action
    message: str
    commit: str | None = None
    """Head of the branch that was written: main when seeded, the bot's when proposed."""
    pull_request: str | None = None
    """Its address."""
    kept: tuple[str, ...] = ()
    """Files that stay as people have them although the rendered ones changed; known to the run that proposes."""


def seed(repository: Repository, files: Mapping[str, bytes], progress: Progress) -> Outcome:
    """Brings `files` (path → content) to the repository. Raises GitHubError."""
    seeding, refused_at = _Seeding(repository, files, progress), ""
    for left in reversed(range(ATTEMPTS)):
        head = ""
        try:
            state = repository.look()
            head = state.main.sha if state.main else ""
            return seeding.act(state, direct=not head or head != refused_at)
        except Conflict as conflict:
            if not left:
                raise
            refused_at = head if conflict.refused else ""
            progress(f"{repository.full_name}: {conflict.problems[0].message}; looking again")
    raise AssertionError("the last attempt returns or raises")


def plan(repository: Repository, files: Mapping[str, bytes], progress: Progress) -> Outcome:
    """What `seed` would do, as far as one look tells. Writes nothing."""
    action = _Seeding(repository, files, progress).decide(repository.look(), direct=True)
    return Outcome(action=action, message="only looked, nothing is written")


class _Seeding:
    """One repository, and what is rendered for it."""

    def __init__(self, repository: Repository, files: Mapping[str, bytes], progress: Progress) -> None:
        if problems := list(_faults(repository, files)):
            raise GitHubError(problems)
        self._repository = repository
        self._progress = progress
        self._tree = tree_of(files)
        self._sha = hash_tree(self._tree)
        marker = {MARKER: marks.write_marker(self._sha)}
        self._marker = tree_of(marker)
        self._blobs = blobs_of({**files, **marker})

    def decide(self, state: State, *, direct: bool) -> Action:
        """`direct`: main may be written; it may not once GitHub has refused that."""
        if state.main is None and not state.empty:
            place, branch = self._repository.full_name, self._repository.branch
            raise GitHubError([Problem(place, f"has no branch `{branch}`", f"name its default branch `{branch}`")])
        if state.marker == self._sha:
            return "withdrawn" if state.is_proposing and state.is_free else "unchanged"
        if direct and state.is_untouched and state.pull is None:
            return "seeded"
        if not state.is_free:
            return "held"
        return "refused" if state.refuses(self._sha) else "proposed"

    def act(self, state: State, *, direct: bool) -> Outcome:
        """Does what it decides."""
        action, url = self.decide(state, direct=direct), state.pull.url if state.pull else None
        match action:
            case "seeded":
                return self._seed(state)
            case "proposed":
                return self._propose(state)
            case "unchanged":
                self._clear(state)
                return Outcome(action=action, message="main holds what is rendered")
            case "withdrawn":
                self._withdraw(state)
                told = "main holds what is rendered, the pull request is closed"
            case "refused":
                told = "people closed the pull request: reopen it, or change what is rendered"
            case "held":
                told = f"people have commits on `{BOT_BRANCH}`: merge or delete that branch, then run again"
        return Outcome(action=action, message=told, pull_request=url)

    def _seed(self, state: State) -> Outcome:
        """Writes main: one commit on top of what GitHub itself put there."""
        self._progress(f"{self._repository.full_name}: {len(self._tree)} files to `{self._repository.branch}`")
        main = state.main or self._repository.start(MARKER, marks.write_marker())
        self._remember(state, there=())
        commit = self._commit({**state.top, **self._tree, **self._marker}, main, {})
        self._repository.advance_ref(f"refs/heads/{self._repository.branch}", commit)
        return Outcome(action="seeded", message=f"{len(self._tree)} files in one commit", commit=commit)

    def _propose(self, state: State) -> Outcome:
        """Opens a pull request with one commit on top of main, or brings it up to date."""
        bot, pull, main = state.bot, state.pull, state.main
        assert main
        if bot and pull and state.proposes(self._sha):
            told = "the pull request is up to date"
            return Outcome(action="proposed", message=told, commit=bot.sha, pull_request=pull.url)
        self._progress(f"{self._repository.full_name}: merging what is rendered with what `{main.sha:.7}` holds")
        sides = Sides(base=self._base(state), rendered=self._tree, main=self._repository.read_tree(main.tree))
        merged = merge(sides, self._repository.read_contents(wanted_contents(sides)) | self._blobs)
        self._remember(state, there={entry.sha for tree in (sides.base, sides.main) for entry in tree.values()})
        tree = {**merged.tree, **self._marker}
        commit = self._push(state, tree, main, merged.texts)
        body = proposal.write_body(self._repository.branch, merged.kept, known=bool(sides.base))
        url, told = self._announce(state, f"{body}\n\n{marks.proposal_mark(hash_tree(tree), main.sha)}\n")
        kept = tuple(kept.path for kept in merged.kept)
        return Outcome(action="proposed", message=told, commit=commit, pull_request=url, kept=kept)

    def _base(self, state: State) -> Tree:
        """What main last took in; nothing where that is not known, so that nothing of main is changed."""
        if state.is_untouched:
            return {path: entry for path, entry in state.top.items() if path in self._tree}
        if state.marker:
            try:
                return self._repository.read_tree(state.marker)
            except NotFound:
                self._progress(f"{self._repository.full_name}: the tree that `{MARKER}` names is gone")
        return {}

    def _remember(self, state: State, there: Collection[str]) -> None:
        """Keeps the rendered tree for the merges to come, where no branch shows it; `there` names known contents."""
        if state.seed and state.seed.tree == self._sha:
            return
        missing = {sha: content for sha, content in self._blobs.items() if sha not in there}
        tree = self._repository.write_tree(self._tree, missing)
        message = marks.write_message("What fleet renders", rendered=tree, tree=tree)
        commit = self._repository.write_commit(message, tree, *([state.seed.sha] if state.seed else []))
        if state.seed:
            self._repository.advance_ref(SEED_REF, commit)
        else:
            self._repository.create_ref(SEED_REF, commit)

    def _commit(self, tree: Tree, parent: Commit, texts: Mapping[str, bytes]) -> str:
        """A commit of a whole tree; all contents are on GitHub but for the marker and `texts`."""
        new = {entry.sha: self._blobs[entry.sha] for entry in self._marker.values()}
        sha = self._repository.write_tree(tree, {**new, **texts})
        message = marks.write_message(proposal.TITLE, rendered=self._sha, tree=sha)
        return self._repository.write_commit(message, sha, parent.sha)

    def _push(self, state: State, tree: Tree, main: Commit, texts: Mapping[str, bytes]) -> str:
        """The head of the bot's branch, which is moved there unless it is there."""
        bot = state.bot
        if bot and bot.tree == hash_tree(tree) and bot.parents == (main.sha,):
            return bot.sha
        commit = self._commit(tree, main, texts)
        if bot:
            self._repository.replace_ref(state.id, BOT_REF, before=bot.sha, after=commit)
        else:
            self._repository.create_ref(BOT_REF, commit)
        return commit

    def _announce(self, state: State, body: str) -> tuple[str, str]:
        """Address of the pull request, and what was done to it."""
        if not (state.is_proposing and state.pull):
            number, url = self._repository.open_pull(proposal.TITLE, body)
            return url, f"opened pull request #{number}"
        self._repository.edit_pull(state.pull.number, body=body)
        return state.pull.url, f"updated pull request #{state.pull.number}"

    def _withdraw(self, state: State) -> None:
        """Closes the pull request, and says in it that nobody refused it."""
        if state.pull:
            body = marks.withdraw_body(state.pull.body)
            self._repository.edit_pull(state.pull.number, state="closed", body=body)
        self._clear(state)

    def _clear(self, state: State) -> None:
        """Deletes the bot's branch when it has nothing that people wrote; it does no harm where that is refused."""
        if state.bot and state.is_free:
            try:
                self._repository.replace_ref(state.id, BOT_REF, before=state.bot.sha)
            except Conflict as conflict:
                if not conflict.refused:
                    raise
                self._progress(f"{conflict.problems[0].path}: stays, {conflict.problems[0].message}")


def _faults(repository: Repository, files: Mapping[str, bytes]) -> Iterator[Problem]:
    if not files:
        yield Problem(repository.full_name, "nothing is rendered for it")
    if MARKER in files:
        yield Problem(f"{repository.full_name}: `{MARKER}`", "is not a name for a rendered file")
    for path, content in files.items():
        if not _is_text(content):
            yield Problem(f"{repository.full_name}: `{path}`", "is not text", "only text can be seeded in one request")


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False
