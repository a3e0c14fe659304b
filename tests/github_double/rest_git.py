"""Git's data over REST: trees, commits, refs; and the one file that a repository can begin with."""

from __future__ import annotations

import base64
from typing import Any

from githubkit_schemas.latest import models

from tests.github_double.contract import example
from tests.github_double.git import ZERO, Item, Person
from tests.github_double.repository import VIOLATION, Refusal, Repository
from tests.github_double.routing import Answer, Handler, Request


def create_tree(request: Request) -> Answer:
    repository = request.repository
    repository.require_commits()
    base = request.body.get("base_tree")
    files = repository.git.files(base) if base else {}
    for given in request.body["tree"]:
        item = _item(repository, given)
        if item is None and given["path"] not in files:
            raise Refusal(422, "GitRPC::BadObjectState")
        files.pop(given["path"], None)
        if item:
            files[given["path"]] = item
    if not files:
        raise Refusal(422, "Invalid tree info")
    return 201, _tree(repository, repository.git.put_tree(files), recursive=False)


def get_tree(request: Request) -> Answer:
    repository, sha = request.repository, request.path["tree_sha"]
    repository.require_commits()
    if repository.git.has(sha, "commit"):
        sha = repository.git.commit(sha).tree
    if not repository.git.has(sha, "tree"):
        raise Refusal(404, "Not Found")
    return 200, _tree(repository, sha, recursive="recursive" in request.query)


def create_commit(request: Request) -> Answer:
    repository, body = request.repository, request.body
    repository.require_commits()
    if not repository.git.has(body["tree"], "tree"):
        raise Refusal(422, "Tree SHA does not exist")
    parents = body.get("parents", [])
    if not all(repository.git.has(parent, "commit") for parent in parents):
        raise Refusal(422, "Parent SHA does not exist or is not a commit object")
    author = _person(body.get("author"), request.actor)
    committer = _person(body.get("committer"), author)
    sha = repository.git.put_commit(body["tree"], parents, body["message"], author, committer)
    given = {"sha": sha, "message": body["message"], "parents": []}
    return 201, example(models.GitCommit, **given, tree=example(models.GitCommitPropTree, sha=body["tree"]))


def create_ref(request: Request) -> Answer:
    repository, ref, sha = request.repository, request.body["ref"], request.body["sha"]
    repository.require_commits()
    if not ref.startswith("refs/") or ref.count("/") < 2:
        raise Refusal(422, "Reference name must start with 'refs/' and have at least two slashes")
    if ref in repository.git.refs:
        raise Refusal(422, "Reference already exists")
    repository.move(ref, sha)
    return 201, _ref(ref, sha)


def update_ref(request: Request) -> Answer:
    repository, ref, sha = request.repository, f"refs/{request.path['ref']}", request.body["sha"]
    if ref not in repository.git.refs:
        raise Refusal(422, "Reference does not exist")
    repository.move(ref, sha, force=request.body.get("force", False))
    return 200, _ref(ref, sha)


def delete_ref(request: Request) -> Answer:
    repository, ref = request.repository, f"refs/{request.path['ref']}"
    if ref not in repository.git.refs:
        raise Refusal(422, "Reference does not exist")
    repository.move(ref, ZERO)
    return 204, None


def put_contents(request: Request) -> Answer:
    """Writes one file in a commit of its own; in an empty repository that makes the branch."""
    repository, path, body = request.repository, request.path["path"], request.body
    branch = body.get("branch") or repository.default_branch
    ref = f"refs/heads/{branch}"
    if branch in repository.protected:
        raise Refusal(409, VIOLATION)
    if ref not in repository.git.refs and not repository.is_empty:
        raise Refusal(404, f"Branch {branch} not found")
    parent = repository.git.refs.get(ref)
    files = repository.git.files(repository.git.commit(parent).tree) if parent else {}
    there = files.get(path)
    if there and "sha" not in body:
        raise Refusal(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if there and there.sha != body["sha"]:
        raise Refusal(409, f"{path} does not match {body['sha']}")
    files[path] = Item(mode="100644", sha=repository.git.put("blob", base64.b64decode(body["content"], validate=True)))
    tree, author = repository.git.put_tree(files), _person(body.get("author"), request.actor)
    commit = repository.git.put_commit(tree, [parent] if parent else [], body["message"], author)
    repository.move(ref, commit)
    about = example(
        models.FileCommitPropCommit, sha=commit, tree=example(models.FileCommitPropCommitPropTree, sha=tree)
    )
    content = example(models.FileCommitPropContent, path=path, sha=files[path].sha)
    return (200 if there else 201), example(models.FileCommit, content=content, commit=about)


HANDLERS: dict[str, Handler] = {
    "git/create-tree": create_tree,
    "git/get-tree": get_tree,
    "git/create-commit": create_commit,
    "git/create-ref": create_ref,
    "git/update-ref": update_ref,
    "git/delete-ref": delete_ref,
    "repos/create-or-update-file-contents": put_contents,
}


def _item(repository: Repository, given: dict[str, Any]) -> Item | None:
    """What an entry of a request stands for; None deletes. Folders are given by their files (D)."""
    if ("sha" in given) == ("content" in given):
        raise Refusal(422, "Must supply either tree.sha or tree.content")
    if "content" in given:
        return Item(mode=given["mode"], sha=repository.git.put("blob", given["content"].encode()))
    if given["sha"] is None:
        return None
    item = Item(mode=given["mode"], sha=given["sha"])
    if item.type != given["type"] or (item.type == "blob" and not repository.git.has(item.sha, "blob")):
        raise Refusal(422, f"tree.sha {item.sha} is not a valid {given['type']}")
    return item


def _tree(repository: Repository, sha: str, *, recursive: bool) -> dict[str, Any]:
    items = repository.git.walk(sha) if recursive else repository.git.tree(sha).items()
    entries = [{"path": path, "mode": item.mode, "type": item.type, "sha": item.sha} for path, item in items]
    return {"sha": sha, "url": "", "tree": entries, "truncated": False}


def _ref(ref: str, sha: str) -> dict[str, Any]:
    pointed = example(models.GitRefPropObject, type="commit", sha=sha)
    return example(models.GitRef, ref=ref, object=pointed)


def _person(given: dict[str, str] | None, default: Person) -> Person:
    return Person(name=given["name"], email=given["email"]) if given else default
