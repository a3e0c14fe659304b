"""The content of a repository, brought there by `python -m fleet seed`: no resource could write it in one commit."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from fleet.manifests.trees import Tree
from fleet.resources.github.provider import environment
from fleet.resources.github.site import Site
from fleet.resources.options import attached

if TYPE_CHECKING:
    import pulumi_github as github
    from pulumi_command.local import Command

Outcome = dict[str, Any]


def command(site: Site, made: github.Repository, depends_on: Sequence[pulumi.Resource]) -> Command:
    """Runs when the rendered tree changes, or the repository is another one than before. Its first run commits, later
    ones propose; it deletes nothing."""
    from pulumi_command import local

    seed = [interpreter(), "-m", "fleet", "seed", "--stack", pulumi.get_stack(), "--repository", site.repository.name]
    return local.Command(
        site.scope.resource_name("seed"),
        create=shlex.join(seed),
        environment=environment(site.settings),
        triggers=[digest(site.tree), made.repo_id],
        logging=local.Logging.NONE,
        opts=attached(site.commands, made, depends_on=depends_on),
    )


def outcome(command: Command) -> pulumi.Output[Outcome]:
    """What the command says it did. It tells no secret, but Pulumi takes all of its outputs for secret."""
    return pulumi.Output.unsecret(command.stdout).apply(lambda told: dict(json.loads(told or "{}")))


def digest(tree: Tree) -> str:
    """A name for exactly this content."""
    found = hashlib.sha256()
    for path, content in sorted(tree.items()):
        found.update(f"{path}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def interpreter() -> str:
    """This one; below the project's folder by a path that is the same on every machine, so that none sees a change."""
    root, python = Path(pulumi.runtime.get_root_directory() or ".").resolve(), Path(sys.executable)
    return os.path.relpath(python, root) if python.is_relative_to(root) else str(python)
