"""Whether the repositories of a fleet can be made at all, and what exists of them: asked before anything is made.

Called by `fleet.resources.github.observation`. Two requests, one more for an App or a bot with a token; what is on
GitHub but not in the stack's state may take a few more. What GitHub tells nobody is found out later: the permissions of
a fine-grained token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fleet.errors import Problem
from fleet.github.connection import App, Auth, Progress, Token, connect
from fleet.github.faults import GitHubError, explain
from fleet.github.inventory import Inventory, LiveRepository, Names
from fleet.model.repository import BOT_ENVIRONMENT

if TYPE_CHECKING:
    from githubkit import GitHub

EXPIRES = "github-authentication-token-expiration"


class Unreachable(GitHubError):
    """GitHub did not answer at all."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to find out, and as whom."""

    api: str
    auth: Auth
    owner: str
    names: Names
    bot: Token | None
    """The token that workflows will act with."""
    policies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Environments by repository whose policies the state lacks."""
    variables: frozenset[str] = frozenset()
    """Repositories of which the state lacks the variables of the bot's environment."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A GitHub App in an organisation."""

    account: str
    suspended: bool
    permissions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What GitHub says."""

    account: str | None
    """`Organization` or `User`; None for an owner that does not exist."""
    plan: str | None
    """Of the organisation; None for those who may not know it."""
    scopes: frozenset[str] | None
    """Of a classic token; others have none."""
    expires: datetime | None
    creates_repositories: bool
    creates_teams: bool
    inventory: Inventory
    refusals: Sequence[str] = ()
    """What GitHub said instead of an answer, but for what does not exist."""
    installation: Installation | None = None
    bot: str | None = None
    """Whom the bot's token belongs to."""
    bot_expires: datetime | None = None


def ask(question: Question, progress: Progress) -> Answer:
    """As us and as the bot, side by side. Raises Unreachable, or GitHubError where GitHub refuses one of them."""
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(_ask_as_us, question, progress)
        bots = pool.submit(_ask_as_bot, question.bot, question.api, progress) if question.bot else None
    if problems := [*_problems(ours), *(_problems(bots) if bots else ())]:
        unreachable = isinstance(ours.exception(), Unreachable)
        raise (Unreachable if unreachable else GitHubError)(dict.fromkeys(problems)) from ours.exception()
    return replace(ours.result(), **(bots.result() if bots else {}))


def _problems(asked: Future[Any]) -> Sequence[Problem]:
    error = asked.exception()
    if error is None:
        return ()
    if not isinstance(error, GitHubError):
        raise error
    return error.problems


def _ask_as_us(question: Question, progress: Progress) -> Answer:
    with connect(question.auth, question.api, progress=progress) as github, _explained(question.auth.source):
        answer = _complete(github, question, _read(github, question))
        if isinstance(question.auth, App):
            answer = replace(answer, installation=_installation(github, question.auth))
        return answer


def _ask_as_bot(bot: Token, api: str, progress: Progress) -> dict[str, Any]:
    with connect(bot, api, progress=progress) as github, _explained(bot.source):
        user = github.rest.users.get_authenticated()
        return {"bot": user.json()["login"], "bot_expires": _expiry(user.headers)}


def _read(github: GitHub[Any], question: Question) -> Answer:
    from githubkit.exception import GraphQLFailed

    organization, headers = _organization(github, question.owner)
    try:
        data, refusals = github.graphql.request(question.names.query, {"owner": question.owner}), []
    except GraphQLFailed as failed:
        data = failed.response.data or {}
        refusals = [error.message for error in failed.response.errors or () if error.type != "NOT_FOUND"]
    rights = data.get("organization") or {}
    scopes = headers.get("x-oauth-scopes")
    return Answer(
        account=(data.get("account") or {}).get("__typename"),
        plan=((organization.get("plan") or {}).get("name")),
        scopes=None if scopes is None else frozenset(scope for scope in scopes.replace(" ", "").split(",") if scope),
        expires=_expiry(headers),
        creates_repositories=bool(rights.get("viewerCanCreateRepositories")),
        creates_teams=bool(rights.get("viewerCanCreateTeams")),
        inventory=question.names.read(data),
        refusals=tuple(dict.fromkeys(refusals)),
    )


def _organization(github: GitHub[Any], owner: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Nothing for a user or nobody; the headers tell of the credential in any case."""
    from githubkit.exception import RequestFailed

    try:
        answer = github.rest.orgs.get(owner)
    except RequestFailed as failed:
        if failed.response.status_code != 404:
            raise
        return {}, failed.response.headers
    return answer.json(), answer.headers


def _installation(github: GitHub[Any], app: App) -> Installation:
    from githubkit.auth import AppAuthStrategy

    as_app = github.with_auth(AppAuthStrategy(app.id, app.private_key))
    found = as_app.rest.apps.get_installation(app.installation).json()
    account: Mapping[str, Any] = {**(found["account"] or {})}
    return Installation(
        account=account.get("login", ""),
        suspended=found["suspended_at"] is not None,
        permissions={name: str(access) for name, access in found["permissions"].items()},
    )


def _complete(github: GitHub[Any], question: Question, answer: Answer) -> Answer:
    """What no query tells, of environments that exist although the state lacks what is in them."""

    def complete(name: str, live: LiveRepository) -> LiveRepository:
        place = (question.owner, name)
        policies: dict[tuple[str, str], int] = {}
        for environment in live.environments & question.policies.get(name, frozenset()):
            listed = github.rest.repos.list_deployment_branch_policies(*place, environment, per_page=100).json()
            policies |= {(environment, each["name"]): each["id"] for each in listed["branch_policies"]}
        variables = frozenset[str]()
        if name in question.variables and BOT_ENVIRONMENT in live.environments:
            found = github.rest.actions.list_environment_variables(*place, BOT_ENVIRONMENT, per_page=30).json()
            variables = frozenset(variable["name"] for variable in found["variables"])
        return replace(live, policies=policies, variables=variables)

    found = {name: complete(name, live) for name, live in answer.inventory.repositories.items()}
    return replace(answer, inventory=replace(answer.inventory, repositories=found))


def _expiry(headers: Mapping[str, str]) -> datetime | None:
    """GitHub ends it with an offset, or with a name that Python would not read as one."""
    told = headers.get(EXPIRES, "").replace("UTC", "+0000")
    return datetime.strptime(told, "%Y-%m-%d %H:%M:%S %z") if told else None


@contextmanager
def _explained(source: str) -> Iterator[None]:
    import httpx
    from githubkit.exception import GitHubException, RequestError

    try:
        yield
    except GitHubException as error:
        told = explain(error, "GitHub", source, moves=False)
        unanswered = isinstance(error, RequestError) and isinstance(error.exc, httpx.TransportError)
        raise (Unreachable(told.problems) if unanswered else told) from error
    except ValueError as error:
        problem = Problem("GitHub", "the answer is not GitHub's", "check `github.url` in fleet.yaml")
        raise GitHubError([problem]) from error
