"""GitHub environments: one for each of the fleet's that publishing jobs name, and one for what only the bot may use.

Each says from which branch or tag its jobs may come. A credential of the bot is out of reach for every other branch,
and so for pull requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pulumi

from fleet.manifests.trees import Tree
from fleet.model import Fleet, Repository
from fleet.model.repository import BOT_ENVIRONMENT, MAIN, PRODUCTION
from fleet.resources.github.provider import credential
from fleet.resources.github.site import Site, workflow_lines
from fleet.resources.options import attached

if TYPE_CHECKING:
    import pulumi_github as github

    Policy = github.RepositoryEnvironmentDeploymentPolicy

TOKEN: Final = "FLUX_BOT_TOKEN"  # noqa: S105 a name, not a token
APP_ID: Final = "FLUX_BOT_APP_ID"
APP_KEY: Final = "FLUX_BOT_APP_KEY"
PEOPLES: Final = ("canAdminsBypass", "preventSelfReview", "reviewers", "waitTimer")
"""Who must agree to a deployment, and when, is for people to say."""


def policy_label(key: str, environment: str) -> str:
    """How the state knows the policy of an environment of the repository with that key."""
    return f"RepositoryEnvironmentDeploymentPolicy::{key}-policy-{environment}"


def id_label(key: str) -> str:
    """How the state knows the variable with the bot's App."""
    return f"ActionsEnvironmentVariable::{key}-{APP_ID}"


def sources_of(fleet: Fleet, repository: Repository, tree: Tree) -> dict[str, dict[str, str]]:
    """By environment that a workflow names, the pattern of the branch or tag that its jobs come from."""
    branches = {branch.name for branch in repository.branches}
    main = {"branch_pattern": MAIN}
    released = {"branch_pattern": PRODUCTION} if PRODUCTION in branches else main
    if repository.release_tags:
        released = {"tag_pattern": repository.release_tags}
    tracked = {name: fleet.environments[name].tracks for name in fleet.overlays if _is_named(name, tree)}
    found = {name: main if tracks == "main" else released for name, tracks in tracked.items()}
    return found | ({BOT_ENVIRONMENT: main} if repository.bot_writes else {})


def _is_named(environment: str, tree: Tree) -> bool:
    """As the environment of a job, by itself or within an expression."""
    word = re.compile(rf"^\s*environment:.*(?<![-\w]){environment}(?![-\w])")
    return any(word.search(line) for line in workflow_lines(tree))


def make(site: Site, made: github.Repository) -> dict[str, Policy]:
    """The environments, each represented by its policy."""
    sources = sources_of(site.settings.fleet, site.repository, site.tree)
    return {name: _policy(site, made, name, source) for name, source in sources.items()}


def _policy(site: Site, made: github.Repository, name: str, source: Mapping[str, str]) -> Policy:
    import pulumi_github as github

    repository, live = site.repository.name, site.live
    known = f"{repository}:{name}" if live and name in live.environments else None
    own = f"environment-{name}"
    environment = github.RepositoryEnvironment(
        site.scope.resource_name(own),
        repository=made.name,
        environment=name,
        deployment_branch_policy={"protected_branches": False, "custom_branch_policies": True},
        opts=attached(
            site.scope,
            made,
            identity=site.scope.taken_over(github.RepositoryEnvironment, own, known),
            left=PEOPLES,
        ),
    )
    own = f"policy-{name}"
    (pattern,) = source.values()
    number = live.policies.get((name, pattern)) if live else None
    kind = github.RepositoryEnvironmentDeploymentPolicy
    return kind(
        site.scope.resource_name(own),
        repository=made.name,
        environment=environment.environment,
        **source,
        opts=attached(
            site.scope,
            made,
            identity=site.scope.taken_over(kind, own, f"{repository}:{name}:{number}" if number else None),
            depends_on=[environment],
        ),
    )


def credentials(site: Site, made: github.Repository, depends_on: Sequence[pulumi.Resource]) -> None:
    """What the bot signs in with, where a workflow acts as the bot."""
    if not site.repository.bot_writes:
        return
    signing_in = credential(site.settings, "update")
    secret = site.settings.secrets[signing_in.key]
    if signing_in.auth == "token":
        _secret(site, made, TOKEN, secret, depends_on)
    else:
        _variable(site, made, APP_ID, str(site.settings.stack.github_apps["update"].id), depends_on)
        _secret(site, made, APP_KEY, secret, depends_on)


def _secret(
    site: Site,
    made: github.Repository,
    name: str,
    value: pulumi.Output[str],
    depends_on: Sequence[pulumi.Resource],
) -> None:
    import pulumi_github as github

    github.ActionsEnvironmentSecret(
        site.scope.resource_name(name),
        repository=made.name,
        environment=BOT_ENVIRONMENT,
        secret_name=name,
        value=value,
        opts=attached(site.scope, made, depends_on=depends_on),
    )


def _variable(
    site: Site, made: github.Repository, name: str, value: str, depends_on: Sequence[pulumi.Resource]
) -> None:
    import pulumi_github as github

    identity = f"{site.repository.name}:{BOT_ENVIRONMENT}:{name}" if site.live and name in site.live.variables else None
    github.ActionsEnvironmentVariable(
        site.scope.resource_name(name),
        repository=made.name,
        environment=BOT_ENVIRONMENT,
        variable_name=name,
        value=value,
        opts=attached(
            site.scope,
            made,
            identity=site.scope.taken_over(github.ActionsEnvironmentVariable, name, identity),
            depends_on=depends_on,
        ),
    )
