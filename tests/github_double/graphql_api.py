"""GitHub's GraphQL API, run by graphql-core on `schema.graphql`, a cut of the schema that GitHub publishes.

A query that the schema does not know is a fault of the test, not an answer: see `cut_schema.py` for how to widen it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    execute_sync,
    parse,
    specified_rules,
    validate,
)

from tests.github_double import graphql_organization
from tests.github_double.git import ZERO, Commit, Git
from tests.github_double.graphql_organization import Typed
from tests.github_double.repository import Pull, Refusal, Repository
from tests.github_double.rest_pulls import pull_url

if TYPE_CHECKING:
    from tests.github_double.server import GitHubDouble

RULES: Final = [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]
"""GitHub allows what the last of them forbids, and the GitHub provider of Pulumi makes use of it."""
SCHEMA: Final = Path(__file__).with_name("schema.graphql")


@cache
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text())


def execute(github: GitHubDouble, request: dict[str, Any], violations: list[str]) -> dict[str, Any]:
    """The answer to a request; GitHub gives all errors with status 200."""
    document, faults = _read(request["query"])
    violations += faults
    git = {"repository": _Query(github).repository, "updateRefs": _Query(github).update_refs}
    root = {**graphql_organization.root(github), **git}
    result = execute_sync(schema(), document, root, variable_values=request.get("variables"))
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [_error(error, violations) for error in result.errors]
    return answer


@cache
def _read(query: str) -> tuple[DocumentNode, list[str]]:
    """A query, and what GitHub's schema says against it."""
    document = parse(query)
    return document, [f"GraphQL: {fault.message}" for fault in validate(schema(), document, RULES)]


class _Query:
    """Fields of the top."""

    def __init__(self, github: GitHubDouble) -> None:
        self._github = github

    def repository(self, _: Any, owner: str, name: str, followRenames: bool = True) -> dict[str, Any]:  # noqa: N803
        """An argument of GitHub's name."""
        moved = f"{owner}/{name}".lower() in self._github.organization.moved
        try:
            repository = self._github.repository(owner, name if followRenames or not moved else "")
        except Refusal as refusal:
            told = f"Could not resolve to a Repository with the name '{owner}/{name}'."
            raise Typed(told, "NOT_FOUND") from refusal
        return {**graphql_organization.fields(self._github, repository), **_repository(repository)}

    def update_refs(self, _: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 GitHub's name
        """All or none; each ref only from where it is said to be."""
        repository = next(one for one in self._github.repositories.values() if one.node_id == input["repositoryId"])
        updates = input["refUpdates"]
        for update in updates:
            if update.get("beforeOid") not in (None, repository.git.refs.get(update["name"], ZERO)):
                raise Typed(f"Reference {update['name']} is not at the expected commit", "STALE_DATA")
        assert len(updates) == 1, "the double updates one ref at a time"
        for update in updates:
            try:
                repository.move(update["name"], update["afterOid"], force=update.get("force", False))
            except Refusal as refusal:
                raise Typed(refusal.message, "UNPROCESSABLE") from refusal
        return {"clientMutationId": None}


def _error(error: GraphQLError, violations: list[str]) -> dict[str, Any]:
    if not isinstance(error.original_error, Typed):
        violations.append(f"GraphQL: {error}")
        return {"message": error.message}
    return {"type": error.original_error.kind, "message": error.message, "path": error.path}


def _repository(repository: Repository) -> dict[str, Any]:
    git = repository.git

    def ref(_: Any, qualifiedName: str) -> dict[str, Any] | None:  # noqa: N803 GitHub's name
        sha = git.refs.get(qualifiedName)
        return {"name": qualifiedName.rsplit("/", maxsplit=1)[-1], "target": _object(git, sha)} if sha else None

    def git_object(_: Any, expression: str | None = None, oid: str | None = None) -> dict[str, Any] | None:
        sha = git.resolve(expression) if expression else oid if oid in git.objects else None
        return _object(git, sha) if sha else None

    def pull_requests(_: Any, first: int, headRefName: str, baseRefName: str, orderBy: Any) -> dict[str, Any]:  # noqa: N803
        found = [pull for pull in repository.pulls.values() if (pull.head, pull.base) == (headRefName, baseRefName)]
        found.sort(key=lambda pull: pull.number, reverse=orderBy["direction"] == "DESC")
        return {"nodes": [_pull(repository, pull) for pull in found[:first]]}

    return {
        "id": repository.node_id,
        "isEmpty": repository.is_empty,
        "ref": ref,
        "object": git_object,
        "pullRequests": pull_requests,
    }


def _object(git: Git, sha: str) -> dict[str, Any]:
    kind = git.objects[sha][0]
    if kind == "commit":
        return _commit(git, git.commit(sha))
    if kind == "blob":
        return {"__typename": "Blob", "oid": sha, "text": _text(git.blob(sha))}
    return _tree(git, sha)


def _commit(git: Git, commit: Commit) -> dict[str, Any]:
    def parents(_: Any, first: int) -> dict[str, Any]:
        return {"nodes": [_commit(git, git.commit(sha)) for sha in commit.parents[:first]]}

    about = {"oid": commit.sha, "message": commit.message, "parents": parents}
    return {"__typename": "Commit", **about, "tree": _tree(git, commit.tree)}


def _tree(git: Git, sha: str) -> dict[str, Any]:
    entries = [
        {"name": name, "mode": int(item.mode, 8), "oid": item.sha, "type": item.type}
        for name, item in git.tree(sha).items()
    ]
    return {"__typename": "Tree", "oid": sha, "entries": entries}


def _pull(repository: Repository, pull: Pull) -> dict[str, Any]:
    commit = _commit(repository.git, repository.git.commit(pull.sha))
    return {
        "number": pull.number,
        "url": pull_url(repository, pull),
        "state": pull.state,
        "title": pull.title,
        "body": pull.body,
        "isCrossRepository": pull.cross_repository,
        "headRefOid": pull.sha,
        "commits": lambda _, last: {"nodes": [{"commit": commit}]},
    }


def _text(content: bytes) -> str | None:
    """None for what GitHub takes for binary."""
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None
