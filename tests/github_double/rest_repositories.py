"""Repositories themselves: made, read, changed, renamed, archived; their topics, branches and Actions permissions."""

from __future__ import annotations

from typing import Any

from githubkit_schemas.latest import models

from tests.github_double.contract import example
from tests.github_double.organization import Organization, Settings
from tests.github_double.repository import Refusal, Repository
from tests.github_double.routing import Answer, Handler, Request


def create(request: Request) -> Answer:
    organization, body = request.github.organization, request.body
    if request.path["org"].lower() != organization.login.lower():
        raise Refusal(404, "Not Found")
    if f"{organization.login}/{body['name']}".lower() in request.github.repositories:
        told = {"resource": "Repository", "code": "custom", "field": "name", "message": "name already exists"}
        raise Refusal(422, "Repository creation failed.", [told])
    repository = request.github.create(organization.login, body["name"])
    repository.default_branch = organization.default_branch
    settings = organization.settings_of(repository)
    settings.visibility = body.get("visibility", "public")
    _change(settings, body)
    if body.get("auto_init"):
        content = f"# {body['name']}\n".encode()
        repository.commit({"README.md": content}, repository.default_branch, "Initial commit")
    return 201, full(organization, repository)


def get(request: Request) -> Answer:
    return 200, full(request.github.organization, request.repository)


def update(request: Request) -> Answer:
    """An archived repository can only be taken out of the archive. Naming the visibility that it has is refused, but
    not while archiving (D), as issue 3620 of the Terraform provider tells."""
    organization, repository, body = request.github.organization, request.repository, request.body
    settings = organization.settings_of(repository)
    if settings.values["archived"] and body.get("archived") is not False:
        raise Refusal(403, "Repository was archived so is read-only.")
    if visibility := body.get("visibility"):
        if visibility == settings.visibility and not body.get("archived"):
            raise Refusal(422, f"Visibility is already {visibility}.")
        settings.visibility = visibility
    _change(settings, body)
    _rename(request, repository, body.get("name", repository.name))
    return 200, full(organization, repository)


def replace_topics(request: Request) -> Answer:
    settings = request.github.organization.settings_of(writable(request))
    settings.topics = sorted(request.body["names"])
    return 200, {"names": settings.topics}


def rename_branch(request: Request) -> Answer:
    """Open pull requests follow."""
    repository, old, new = writable(request), request.path["branch"], request.body["new_name"]
    refs = repository.git.refs
    if f"refs/heads/{old}" not in refs:
        raise Refusal(404, "Branch not found")
    if f"refs/heads/{new}" in refs:
        raise Refusal(422, "Validation Failed", [{"resource": "Branch", "code": "already_exists", "field": "name"}])
    refs[f"refs/heads/{new}"] = refs.pop(f"refs/heads/{old}")
    if repository.default_branch == old:
        repository.default_branch = new
    for pull in repository.pulls.values():
        pull.base = new if pull.base == old else pull.base
    commit = example(models.Commit, sha=repository.head(new))
    return 201, example(models.BranchWithProtection, name=new, commit=commit)


def compare(request: Request) -> Answer:
    """Commits that the second branch is ahead by, oldest first."""
    repository = request.repository
    git = repository.git
    base, _, head = request.path["basehead"].partition("...")
    heads = [git.refs.get(f"refs/heads/{name}") for name in (base, head)]
    if None in heads:
        raise Refusal(404, "Not Found")
    below, above = (git.ancestry(sha or "") for sha in heads)
    ahead = [sha for sha in git.objects if sha in above - below]
    commits = [_commit(repository, sha) for sha in ahead]
    return 200, example(models.CommitComparison, commits=commits, ahead_by=len(ahead), total_commits=len(ahead))


def _commit(repository: Repository, sha: str) -> dict[str, Any]:
    message = repository.git.commit(sha).message
    return example(models.Commit, sha=sha, commit=example(models.CommitPropCommit, message=message))


def get_ref(request: Request) -> Answer:
    ref = f"refs/{request.path['ref']}"
    sha = request.repository.git.refs.get(ref)
    if sha is None:
        raise Refusal(404, "Not Found")
    pointed = example(models.GitRefPropObject, type="commit", sha=sha)
    return 200, example(models.GitRef, ref=ref, object=pointed)


def get_workflow_permissions(request: Request) -> Answer:
    return 200, request.github.organization.settings_of(request.repository).workflow


def set_workflow_permissions(request: Request) -> Answer:
    request.github.organization.settings_of(writable(request)).workflow |= request.body
    return 204, None


HANDLERS: dict[str, Handler] = {
    "repos/create-in-org": create,
    "repos/get": get,
    "repos/update": update,
    "repos/replace-all-topics": replace_topics,
    "repos/rename-branch": rename_branch,
    "repos/compare-commits": compare,
    "git/get-ref": get_ref,
    "actions/get-github-actions-default-workflow-permissions-repository": get_workflow_permissions,
    "actions/set-github-actions-default-workflow-permissions-repository": set_workflow_permissions,
}


def writable(request: Request) -> Repository:
    """The repository in the path. Raises Refusal for an archived one."""
    if request.github.organization.settings_of(request.repository).values["archived"]:
        raise Refusal(403, "Repository was archived so is read-only.")
    return request.repository


def full(organization: Organization, repository: Repository) -> dict[str, Any]:
    settings = organization.settings_of(repository)
    known = models.FullRepository.model_fields.keys()
    owner = example(models.SimpleUser, login=organization.login, type="Organization")
    return example(
        models.FullRepository,
        id=repository.id,
        node_id=repository.node_id,
        name=repository.name,
        full_name=repository.full_name,
        owner=owner,
        private=settings.visibility != "public",
        visibility=settings.visibility,
        default_branch=repository.default_branch,
        html_url=f"https://github.com/{repository.full_name}",
        topics=settings.topics,
        **{key: value for key, value in settings.values.items() if key in known},
    )


def _change(settings: Settings, body: dict[str, Any]) -> None:
    settings.values |= {key: body[key] for key in settings.values.keys() & body.keys() if body[key] is not None}


def _rename(request: Request, repository: Repository, name: str) -> None:
    if name != repository.name:
        known, old = request.github.repositories, repository.full_name.lower()
        repository.name = name
        known[repository.full_name.lower()] = known.pop(old)
        request.github.organization.moved[old] = repository.full_name.lower()
