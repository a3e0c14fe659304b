"""Looks before anything is made: whether it can work, what is on GitHub already, and what of it the state holds.

A fault stops every run. Where GitHub does not answer, `up` stops too, and a preview goes on without knowing.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pulumi

from fleet.config import Settings
from fleet.errors import Problem
from fleet.github import preflight, requirements
from fleet.github.connection import APP, TOKEN, Auth, Token, api_of, read_auth
from fleet.github.faults import GitHubError
from fleet.github.inventory import Inventory, Names
from fleet.github.requirements import Case, PreflightError
from fleet.manifests.trees import tree
from fleet.model import Credential, Fleet, Repository, repositories_of, stack_file
from fleet.resources.github import environments, teams
from fleet.resources.github.provider import credential, find_credential
from fleet.resources.github.site import key_of


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is there."""

    inventory: Inventory
    held: frozenset[str]
    """What the stack's state holds, as `Kind::name`."""
    reached: bool = True
    """Whether GitHub has answered."""


async def observe(settings: Settings) -> Observation:
    """Raises PreflightError with every fault."""
    fleet, admin = settings.fleet, credential(settings, "github")
    if problems := list(requirements.obstacles(fleet, os.environ, admin.auth)):
        raise PreflightError(problems)
    held = await _held()
    question = await _question(settings, held)
    try:
        answer = await asyncio.to_thread(preflight.ask, question, pulumi.log.info)
    except preflight.Unreachable as error:
        if not pulumi.runtime.is_dry_run():
            raise PreflightError(error.problems) from error
        pulumi.log.warn(f"{error.problems[0]}\nthe plan is made without knowing what is on GitHub already")
        return Observation(inventory=Inventory(), held=held, reached=False)
    except GitHubError as error:
        raise PreflightError(error.problems) from error
    known = frozenset(name for name, made in repositories_of(fleet).items() if _label(fleet, made) in held)
    bot_source = question.bot.source if question.bot else ""
    case = Case(
        fleet=fleet, credential=admin, source=question.auth.source, bot_source=bot_source, answer=answer, held=known
    )
    if problems := list(requirements.faults(case)):
        raise PreflightError(problems)
    for problem in requirements.warnings(case, datetime.now(UTC)):
        pulumi.log.warn(str(problem))
    return Observation(inventory=answer.inventory, held=held)


def _label(fleet: Fleet, repository: Repository) -> str:
    return f"Repository::{key_of(fleet, repository)}-repository"


async def _held() -> frozenset[str]:
    """From the last state of this very stack, as a stack reference reads it; only what there is, no values."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    found = await pulumi.runtime.invoke_async("pulumi:pulumi:readStackResourceOutputs", {"stackName": stack})
    labels = (urn.split("::")[2:] for urn in found["outputs"])
    return frozenset(f"{types.rpartition(':')[2]}::{name}" for types, name in labels)


async def _question(settings: Settings, held: frozenset[str]) -> preflight.Question:
    fleet, repositories = settings.fleet, repositories_of(settings.fleet)
    bot = find_credential(settings, "update")
    members = teams.members_of(fleet)
    policies = {
        name: frozenset(
            environment
            for environment in environments.sources_of(fleet, made, tree(fleet, made))
            if environments.policy_label(key_of(fleet, made), environment) not in held
        )
        for name, made in repositories.items()
    }
    variables = (name for name, made in repositories.items() if environments.id_label(key_of(fleet, made)) not in held)
    return preflight.Question(
        api=api_of(fleet.github.url),
        auth=await _sign_in(settings, credential(settings, "github")),
        owner=fleet.owner,
        names=Names(
            repositories=tuple(repositories),
            teams=tuple(members),
            people=tuple(sorted({login for logins in members.values() for login in logins})),
        ),
        bot=await _bot_token(settings, bot) if bot and bot.auth == "token" else None,
        policies=policies,
        variables=frozenset(variables) if bot and bot.auth == "app" else frozenset(),
    )


async def _sign_in(settings: Settings, used: Credential) -> Auth:
    """The credential in clear: it goes to GitHub and nowhere else."""
    value = str(await settings.secrets[used.key].future())
    app = settings.stack.github_apps["github"] if used.auth == "app" else None
    given = dict(zip(APP, (str(app.id), str(app.installation), value), strict=True)) if app else {TOKEN: value}
    source = f"{stack_file(pulumi.get_stack())}.{used.key}"
    try:
        return replace(read_auth(given), source=source)
    except GitHubError as error:
        raise PreflightError(Problem(source, told.message, told.hint) for told in error.problems) from None


async def _bot_token(settings: Settings, used: Credential) -> Token:
    auth = await _sign_in(settings, used)
    assert isinstance(auth, Token)
    return auth
