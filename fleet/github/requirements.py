"""What must be true before the repositories are made: one rule a function, each fault with its ways out.

Pure rules over what `preflight` has found out. Called by `fleet.resources.github.observation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fleet.errors import FleetError, Problem
from fleet.github.preflight import Answer
from fleet.model import Credential, Fleet, Stack, repositories_of

SCOPES: Final = ("repo", "workflow", "admin:org")
"""What a classic token needs; it knows no finer ones."""
UNTOLD: Final = ("Variables",)
"""Permissions that GitHub's description of an App does not name."""
SOON: Final = timedelta(days=14)


class PreflightError(FleetError):
    """The repositories cannot be made as fleet.yaml says; nothing was made."""

    title = "the repositories cannot be made, nothing was changed"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is wanted, and what GitHub says to it."""

    fleet: Fleet
    credential: Credential
    source: str
    """Where the credential is kept, for messages."""
    bot_source: str
    answer: Answer
    held: Mapping[str, str]
    """Repositories that the stack has made or taken over before, and the name that each still has."""


def faults(case: Case) -> Iterator[Problem]:
    """Everything that stands in the way."""
    if case.answer.account != "Organization":
        yield _no_organization(case)
        return
    for rule in (_scopes, _installation, _rights, _plan, _repositories, _people, _bot):
        yield from rule(case)
    yield from (Problem("GitHub", f"does not tell what it must: {told}") for told in case.answer.refusals)


def warnings(case: Case, now: datetime) -> Iterator[Problem]:
    """What will stand in the way soon, or should be known."""
    answer = case.answer
    for source, expires in ((case.source, answer.expires), (case.bot_source, answer.bot_expires)):
        if expires and expires - now < SOON:
            yield Problem(source, f"the token expires on {expires:%Y-%m-%d}", "make a new one in time")
    for name in repositories_of(case.fleet):
        if name in answer.inventory.repositories and name not in case.held:
            told = "exists already and is taken over: what is in it stays, its settings become those of fleet.yaml"
            yield Problem(f"`{case.fleet.owner}/{name}`", told)


def obstacles(fleet: Fleet, stack: Stack, variables: Mapping[str, str]) -> Iterator[Problem]:
    """What can be known without GitHub. `variables` is the environment, which the provider reads too."""
    auth = fleet.environments[stack.environment].auth
    for name in ("GITHUB_OWNER", "GITHUB_ORGANIZATION"):
        if variables.get(name, "").lower() not in ("", fleet.owner.lower()):
            told = f"names another owner than fleet.yaml, `{variables[name]}`, and the provider would follow it"
            yield Problem(name, told, f"unset it: `env -u {name} …`")
    app = ("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PEM_FILE")
    if auth == "token" and all(variables.get(name) for name in app):
        told = "are set, and the provider would sign in as that App instead of with the stack's token"
        yield Problem(", ".join(app), told, f"unset one of them: `env -u {app[0]} …`")
    pushed = [name for name, found in repositories_of(fleet).items() if any(b.bot_pushes for b in found.branches)]
    if fleet.github.protection == "classic" and pushed:
        told = f"image automation could not commit to main of {_listed(pushed)}: nobody passes a required check there"
        yield Problem("fleet.yaml.github.protection", told, "choose `rulesets`")
    if fleet.automating and fleet.environments[fleet.automating].auth == "app" and "update" not in stack.github_apps:
        told = "image automation signs in as an App that this stack does not know, and cannot let past protection"
        hint = f"give `{stack.environment}`, which makes the repositories, the same `auth`"
        yield Problem(f"fleet.yaml.environments.{fleet.automating}.auth", told, hint)


def _no_organization(case: Case) -> Problem:
    kind = "is a user, not an organisation" if case.answer.account else "is not the name of an organisation"
    hint = "correct the name; only an organisation has teams"
    return Problem("fleet.yaml.owner", f"`{case.fleet.owner}` {kind}", hint)


def _scopes(case: Case) -> Iterator[Problem]:
    if case.answer.scopes is not None and (missing := [scope for scope in SCOPES if scope not in case.answer.scopes]):
        hint = f"give it {_listed(SCOPES)}, or make a fine-grained token with {_permissions(case.credential)}"
        yield Problem(case.source, f"the token lacks {_listed(missing)}", hint)


def _installation(case: Case) -> Iterator[Problem]:
    if (found := case.answer.installation) is None:
        return
    if found.account.lower() != case.fleet.owner.lower():
        told = f"the App is installed in `{found.account}`, not in `{case.fleet.owner}`"
        yield Problem(case.source, told, "give the id of its installation in the organisation")
    if found.suspended:
        yield Problem(case.source, "the App is suspended", "the settings of the organisation can resume it")
    missing = [
        f"{name}: {access}"
        for name, access in case.credential.permissions.items()
        if name not in UNTOLD and found.permissions.get(name.lower().replace(" ", "_")) not in (access, "write")
    ]
    if missing:
        yield Problem(case.source, f"the App lacks {_listed(missing)}", "add them, and accept them in the organisation")


def _rights(case: Case) -> Iterator[Problem]:
    answer, wanted = case.answer, repositories_of(case.fleet)
    if answer.installation:
        return
    hint = f"an owner of `{case.fleet.owner}` may allow it, or give a token of an owner"
    absent = [name for name in wanted if name not in {*answer.inventory.repositories, *case.held}]
    if absent and not answer.creates_repositories:
        yield Problem(case.source, f"whom the token belongs to may not make repositories: {_listed(absent)}", hint)
    teams = {team for repository in wanted.values() for team in repository.access}
    absent = sorted(teams - answer.inventory.teams.keys())
    if absent and not answer.creates_teams:
        yield Problem(case.source, f"whom the token belongs to may not make teams: {_listed(absent)}", hint)


def _plan(case: Case) -> Iterator[Problem]:
    visibility, plan = case.fleet.github.visibility, case.answer.plan
    path = "fleet.yaml.github.visibility"
    if plan == "free" and visibility != "public":
        told = f"`{case.fleet.owner}` is on GitHub's free plan, which protects no {visibility} repository"
        yield Problem(path, told, "choose `public`, or let an owner choose the plan Team or Enterprise")
    elif plan == "team" and visibility == "internal":
        yield Problem(path, "only an enterprise has internal repositories", "choose `private` or `public`")


def _repositories(case: Case) -> Iterator[Problem]:
    owner, wanted = case.fleet.owner, case.fleet.github.visibility
    for name in repositories_of(case.fleet):
        place, former = f"`{owner}/{name}`", case.held.get(name, name)
        live = case.answer.inventory.repositories.get(former)
        if former != name and name in case.answer.inventory.repositories:
            yield Problem(place, f"exists already, so that `{former}` cannot be renamed so", "choose another name")
        if live is None:
            continue
        if live.archived:
            yield Problem(place, "is archived", f"`gh repo unarchive {owner}/{former}`, or choose another name")
        if not live.administered:
            yield Problem(place, "exists, and the credential does not administer it", "make it an administrator there")
        if name not in case.held and live.visibility != wanted:
            told = f"exists and is {live.visibility}, fleet.yaml says {wanted}: a change would lose stars or open it up"
            yield Problem(place, told, "change one of them, or choose another name")


def _people(case: Case) -> Iterator[Problem]:
    known = case.answer.inventory.people
    for team, found in case.fleet.teams.items():
        for index, login in enumerate(found.members):
            if login.lower() not in known:
                yield Problem(f"fleet.yaml.teams.{team}.members.{index}", f"GitHub has no user `{login}`")
    bot = case.fleet.bot.name
    if case.fleet.has_bot_account and bot.lower() not in known:
        yield Problem("fleet.yaml.bot.name", f"GitHub has no user `{bot}`", "make an account for the bot")


def _bot(case: Case) -> Iterator[Problem]:
    told, bot = case.answer.bot, case.fleet.bot.name
    if told is not None and told.lower() != bot.lower():
        yield Problem(case.bot_source, f"the token belongs to `{told}`, not to the bot, `{bot}`", "make one as the bot")


def _permissions(credential: Credential) -> str:
    return _listed(f"{name}: {access}" for name, access in credential.permissions.items())


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
