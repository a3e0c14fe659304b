"""What of a stack's kind clusters is on this machine, looked at once before anything is declared.

A cluster that the state has and this machine has not is made anew; one that the state has not is somebody else's, or a
leftover. Left out on purpose: starting nodes that are stopped. The refresh has found the cluster unreachable by then,
and the provider stays with that for the run.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Final

import pulumi

from fleet.config import process_environment
from fleet.errors import ClusterError, Problem
from fleet.model import KindCluster
from fleet.resources.clusters.kind.command import resource_name
from fleet.resources.state import held

RUNTIMES: Final = ("docker", "nerdctl", "podman")
"""In the order in which kind looks for them, unless `KIND_EXPERIMENTAL_PROVIDER` names one."""
INSTALL: Final = "install kind (https://kind.sigs.k8s.io/docs/user/quick-start/#installation) and put it on `PATH`"
START: Final = "start Docker (or nerdctl, Podman); `docker ps` must work for you, without sudo"
PATIENCE: Final = 60.0
"""Seconds for one answer: a program that hangs must not hold the run."""
LONGEST: Final = 300
"""Characters of what a program says."""


class HostError(ClusterError):
    """What is in the way on this machine."""

    title = "kind cannot make the clusters here, nothing was changed"


async def observe_kind(sources: Mapping[str, KindCluster]) -> frozenset[str]:
    """Those clusters, by name in fleet.yaml, that the state has but this machine has lost.

    Raises HostError with every fault. In a preview a machine that cannot be asked is a warning.
    """
    if not sources:
        return frozenset()
    state = await held()
    ours = {name for name, source in sources.items() if f"Command::{resource_name(source.made_as(name))}" in state}
    try:
        here, stopped = await asyncio.to_thread(look, {name: sources[name].made_as(name) for name in ours})
    except HostError as error:
        if not pulumi.runtime.is_dry_run():
            raise
        pulumi.log.warn(f"{error}\nthe plan is made without knowing which kind clusters are there")
        return frozenset()
    for problem in stopped:
        pulumi.log.warn(str(problem))
    if problems := list(_foreign({name: sources[name] for name in sources.keys() - ours}, here)):
        raise HostError(problems)
    return frozenset(name for name in ours if sources[name].made_as(name) not in here)


def _foreign(sources: Mapping[str, KindCluster], here: frozenset[str]) -> Iterator[Problem]:
    """Names that are taken."""
    for name, source in sorted(sources.items()):
        made_as = source.made_as(name)
        if made_as in here and not source.take_over:
            message = f"there is a kind cluster `{made_as}` already, which this stack has not made"
            hint = (
                f"a leftover of a run that was cut off goes with `kind delete cluster --name {made_as}`; "
                "`takeOver: true` makes any other one this stack's, which may then delete it"
            )
            yield Problem(f"clusters.{name}", message, hint)


def look(ours: Mapping[str, str]) -> tuple[frozenset[str], list[Problem]]:
    """All kind clusters of this machine, and which nodes of ours, by their names here, are stopped."""
    if not shutil.which("kind"):
        raise HostError([Problem("kind", "not found on `PATH`", INSTALL)])
    here = frozenset(_run("kind", "get", "clusters").split())
    return here, [problem for name, made_as in ours.items() if made_as in here for problem in _stopped(name, made_as)]


def _stopped(name: str, made_as: str) -> Iterator[Problem]:
    chosen = process_environment().get("KIND_EXPERIMENTAL_PROVIDER")
    runtime = next(filter(shutil.which, [chosen] if chosen else RUNTIMES), RUNTIMES[0])
    label, form = f"label=io.x-k8s.kind.cluster={made_as}", "{{.Names}}"
    nodes = _run(runtime, "ps", "--all", "--filter", label, "--filter", "status=exited", "--format", form).split()
    if nodes:
        names = ", ".join(f"`{node}`" for node in nodes)
        yield Problem(f"clusters.{name}", f"stopped: {names}", f"`{runtime} start {' '.join(nodes)}`, then again")


def _run(*command: str) -> str:
    """Standard output. Raises HostError with what the program itself says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError([Problem("kind", str(error), START)]) from error
    if done.returncode:
        told = re.sub(r"\s+", " ", done.stderr.rpartition("Command Output:")[2]).strip()
        raise HostError([Problem("kind", f"`{' '.join(command[:3])}` failed: {told[:LONGEST]}", START)])
    return done.stdout
