"""Pull requests over REST."""

from __future__ import annotations

from typing import Any

from githubkit_schemas.latest import models

from tests.github_double.contract import example
from tests.github_double.repository import Pull, Refusal, Repository
from tests.github_double.routing import Answer, Handler, Request


def create(request: Request) -> Answer:
    body = request.body
    fields = {"title": body["title"], "body": body.get("body") or "", "head": body["head"], "base": body["base"]}
    return 201, _pull(request.repository, request.repository.open_pull(**fields))


def update(request: Request) -> Answer:
    pull = request.repository.pulls.get(int(request.path["pull_number"]))
    if pull is None:
        raise Refusal(404, "Not Found")
    pull.title = request.body.get("title", pull.title)
    pull.body = request.body.get("body", pull.body)
    if "state" in request.body:
        if pull.state == "MERGED":
            raise Refusal(422, "Validation Failed")
        pull.state = request.body["state"].upper()
    return 200, _pull(request.repository, pull)


def find(request: Request) -> Answer:
    """Those of the repository's own branches."""
    repository, query = request.repository, request.query
    wanted = (query["head"], query["base"], query["state"].upper())
    own = (pull for pull in repository.pulls.values() if not pull.cross_repository)
    found = [pull for pull in own if (f"{repository.owner}:{pull.head}", pull.base, pull.state) == wanted]
    return 200, [_simple(repository, pull) for pull in found]


HANDLERS: dict[str, Handler] = {"pulls/create": create, "pulls/update": update, "pulls/list": find}


def _simple(repository: Repository, pull: Pull) -> dict[str, Any]:
    head = example(models.PullRequestSimplePropHead, ref=pull.head, sha=pull.sha)
    base = example(models.PullRequestSimplePropBase, ref=pull.base, sha=repository.head(pull.base))
    return example(
        models.PullRequestSimple,
        number=pull.number,
        html_url=pull_url(repository, pull),
        title=pull.title,
        body=pull.body,
        head=head,
        base=base,
    )


def _pull(repository: Repository, pull: Pull) -> dict[str, Any]:
    head = example(models.PullRequestPropHead, ref=pull.head, sha=pull.sha, label=f"{repository.owner}:{pull.head}")
    base = example(models.PullRequestPropBase, ref=pull.base, sha=repository.head(pull.base))
    return example(
        models.PullRequest,
        number=pull.number,
        html_url=pull_url(repository, pull),
        state="open" if pull.state == "OPEN" else "closed",
        title=pull.title,
        body=pull.body,
        merged=pull.state == "MERGED",
        head=head,
        base=base,
    )


def pull_url(repository: Repository, pull: Pull) -> str:
    return f"https://github.com/{repository.full_name}/pull/{pull.number}"
