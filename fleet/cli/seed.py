"""`python -m fleet seed --stack NAME --repository NAME [--check]`: the files of one repository, brought to GitHub.

The program calls it for each repository that it makes, and people may. What became of the repository is one line of
JSON on stdout; everything for people goes to stderr. The credential comes from the environment, never from an argument.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping

from fleet import config
from fleet.errors import ConfigError, FleetError, Problem, did_you_mean
from fleet.github import Auth, Outcome, Repository, api_of, connect, plan, read_auth
from fleet.github import seed as bring
from fleet.manifests.trees import tree
from fleet.model import repositories_of


def seed(options: Namespace) -> int:
    """With `check` it only looks, and says what it would do. Raises FleetError with every fault of files and
    environment before GitHub is asked for anything."""
    problems: list[Problem] = []
    auth: Auth | None = None
    try:
        auth = read_auth(config.process_environment())
    except FleetError as error:
        problems += error.problems
    try:
        fleet, stack = config.read_files(options.root, options.stack)
    except ConfigError as error:
        raise FleetError([*error.problems, *problems]) from error
    fleet = config.with_stack(fleet, stack)
    repositories = repositories_of(fleet)
    if options.repository not in repositories:
        hint = did_you_mean(options.repository, repositories)
        problems.append(Problem(config.FLEET_FILE, f"names no repository `{options.repository}`", hint))
    if problems or auth is None:
        raise FleetError(problems)
    rendered = tree(fleet, repositories[options.repository])
    outcome = _bring(auth, api_of(fleet.github.url), fleet.owner, options, rendered)
    return _report(f"{fleet.owner}/{options.repository}", outcome)


def _bring(auth: Auth, api: str, owner: str, options: Namespace, files: Mapping[str, bytes]) -> Outcome:
    with connect(auth, api, progress=_tell) as github:
        repository = Repository(github=github, credential=auth.source, owner=owner, name=options.repository)
        return (plan if options.check else bring)(repository, files, _tell)


def _report(repository: str, outcome: Outcome) -> int:
    _tell(f"{repository}: {outcome.action}, {outcome.message}")
    for path in outcome.kept:
        _tell(f"    stays as people have it: {path}")
    told = {"commit": outcome.commit, "pullRequest": outcome.pull_request, "kept": list(outcome.kept)}
    print(json.dumps({"repository": repository, "action": outcome.action, "message": outcome.message, **told}))
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
