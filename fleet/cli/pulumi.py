"""`python -m fleet up|status|down --stack NAME`: the real Pulumi CLI, installed into the project's cache when missing.

Left out on purpose: login and choice of the backend, which belong to whoever runs it; the CLI asks for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from fleet import config
from fleet.errors import ConfigError, FleetError, Problem, ToolError

CACHE = Path(".cache") / "pulumi"


def up(options: Namespace) -> int:
    """Checks files and secrets first, so that what is missing is told together with a missing CLI.

    A resource that fails stops what depends on it, and no other cluster.
    """
    return _run(options, "up", "--continue-on-error", "--stack", options.stack)


def status(options: Namespace) -> int:
    return _run(options, "stack", "output", "--stack", options.stack)


def down(options: Namespace) -> int:
    return _run(options, "destroy", "--stack", options.stack)


def _run(options: Namespace, *arguments: str) -> int:
    problems: list[Problem] = []
    try:
        config.check(options.root, options.stack)
    except ConfigError as error:
        problems += error.problems
    try:
        program = _find_or_install(options.root / CACHE)
    except ToolError as error:
        raise FleetError([*problems, *error.problems]) from error
    if problems:
        raise ConfigError(problems)
    _select(program, options)
    return _call(program, arguments, options.root).returncode


def _select(program: str, options: Namespace) -> None:
    """Makes the stack known to the backend; a first `up` needs no other preparation."""
    result = _call(program, ("stack", "select", "--create", options.stack), options.root)
    if result.returncode:
        hint = "see the CLI's message above; `pulumi login` or PULUMI_BACKEND_URL chooses where state is kept"
        raise FleetError([Problem(f"stack `{options.stack}`", "could not be selected", hint)])


def _call(program: str, arguments: Sequence[str], root: Path) -> subprocess.CompletedProcess[bytes]:
    """The CLI with our terminal; its language host must be found beside it."""
    path = os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", "")])
    return subprocess.run([program, *arguments], cwd=root, env=os.environ | {"PATH": path}, check=False)


def _find_or_install(cache: Path) -> str:
    """Path of the CLI: from PATH, else the release that matches the SDK. Raises ToolError when it cannot be had."""
    if found := shutil.which("pulumi"):
        return found
    from pulumi.automation import PulumiCommand

    print(f"`pulumi` is not on PATH: installing the release that matches the SDK into `{cache}` …", flush=True)
    try:
        return str(PulumiCommand.install(root=str(cache)).command)
    except Exception as error:
        problem = f"is not on PATH and could not be downloaded: {error}"
        hint = "get it from https://www.pulumi.com/docs/install/ and put it on PATH; `make up` without STACK needs none"
        raise ToolError([Problem("`pulumi`", problem, hint)]) from error
