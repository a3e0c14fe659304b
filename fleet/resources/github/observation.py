"""Looks before anything is made: whether it can work, what is on GitHub already, and what of it the state holds.

A fault stops every run. Where GitHub does not answer, `up` stops too, and a preview goes on without knowing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pulumi

from fleet.config import Settings, process_environment
from fleet.github import preflight, requirements
from fleet.github.connection import Token, api_of
from fleet.github.faults import GitHubError
from fleet.github.inventory import Inventory, LiveRepository, Names
from fleet.github.requirements import Case, PreflightError
from fleet.manifests.trees import Tree, trees
from fleet.model import Credential, Fleet, Repository, repositories_of
from fleet.resources import state
from fleet.resources.github import environments, teams
from fleet.resources.github.provider import credential, find_credential, sign_in
from fleet.resources.github.site import key_of


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is there."""

    trees: Mapping[str, Tree]
    """What each repository is to hold."""
    inventory: Inventory
    held: Mapping[str, str]
    """What the stack's state holds, as `Kind::name`, and the name of each on GitHub, where it has one."""
    reached: bool = True
    """Whether GitHub has answered."""

    def live(self, fleet: Fleet, repository: Repository) -> LiveRepository | None:
        """What was found of a repository, also when it is about to be renamed."""
        name = self.held.get(_label(fleet, repository), repository.name)
        return self.inventory.repositories.get(name)


async def observe(settings: Settings) -> Observation:
    """Raises PreflightError with every fault."""
    fleet, admin = settings.fleet, credential(settings, "github")
    if problems := list(requirements.obstacles(fleet, settings.stack, process_environment())):
        raise PreflightError(problems)
    held, contents = await state.held(), trees(fleet)
    question = await _question(settings, held, contents)
    try:
        answer = await asyncio.to_thread(preflight.ask, question, pulumi.log.info)
    except preflight.Unreachable as error:
        if not pulumi.runtime.is_dry_run():
            raise PreflightError(error.problems) from error
        pulumi.log.warn(f"{error.problems[0]}\nthe plan is made without knowing what is on GitHub already")
        return Observation(trees=contents, inventory=Inventory(), held=held, reached=False)
    except GitHubError as error:
        raise PreflightError(error.problems) from error
    known = {name: held[label] for name, label in _labels(fleet).items() if label in held}
    bot_source = question.bot.source if question.bot else ""
    case = Case(
        fleet=fleet, credential=admin, source=question.auth.source, bot_source=bot_source, answer=answer, held=known
    )
    if problems := list(requirements.faults(case)):
        raise PreflightError(problems)
    for problem in requirements.warnings(case, datetime.now(UTC)):
        pulumi.log.warn(str(problem))
    return Observation(trees=contents, inventory=answer.inventory, held=held)


def _labels(fleet: Fleet) -> dict[str, str]:
    return {name: _label(fleet, repository) for name, repository in repositories_of(fleet).items()}


def _label(fleet: Fleet, repository: Repository) -> str:
    return f"Repository::{key_of(fleet, repository)}-repository"


async def _question(settings: Settings, held: Mapping[str, str], contents: Mapping[str, Tree]) -> preflight.Question:
    fleet, repositories = settings.fleet, repositories_of(settings.fleet)
    bot = find_credential(settings, "update")
    members = teams.members_of(fleet)
    former = [held[label] for label in _labels(fleet).values() if label in held]
    policies = {
        name: frozenset(
            environment
            for environment in environments.sources_of(fleet, made, contents[name])
            if environments.policy_label(key_of(fleet, made), environment) not in held
        )
        for name, made in repositories.items()
    }
    variables = (name for name, made in repositories.items() if environments.id_label(key_of(fleet, made)) not in held)
    return preflight.Question(
        api=api_of(fleet.github.url),
        auth=await sign_in(settings, credential(settings, "github")),
        owner=fleet.owner,
        names=Names(
            repositories=tuple(dict.fromkeys([*repositories, *former])),
            teams=tuple(members),
            people=tuple(sorted({login for logins in members.values() for login in logins})),
        ),
        bot=await _bot_token(settings, bot) if bot and bot.auth == "token" else None,
        policies=policies,
        variables=frozenset(variables) if bot and bot.auth == "app" else frozenset(),
    )


async def _bot_token(settings: Settings, used: Credential) -> Token:
    auth = await sign_in(settings, used)
    assert isinstance(auth, Token)
    return auth
