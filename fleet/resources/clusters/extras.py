"""What only clusters of a cloud need: an extra of pyproject.toml, with a lock file of its own, and the cloud's command.

Called by `fleet.resources.clusters` before anything is declared: without the command, `up` would fail once the cluster
is made. Left out on purpose: installing them. That is the user's to decide, and the hints say how.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from typing import Final

import pulumi

from fleet.errors import Problem
from fleet.model import ClusterSource, stack_file

PACKAGES: Final = {"eks": "pulumi-aws", "gke": "pulumi-gcp", "aks": "pulumi-azure-native"}
"""By kind of cluster, which is also the name of the extra."""
COMMANDS: Final = {
    "eks": ("aws", "install the AWS CLI (https://aws.amazon.com/cli)"),
    "gke": ("gke-gcloud-auth-plugin", "`gcloud components install gke-gcloud-auth-plugin`"),
    "aks": ("kubelogin", "install kubelogin (https://azure.github.io/kubelogin)"),
}
"""What signs in to a cluster, and how to get it, by kind."""


def missing_extras(sources: Mapping[str, ClusterSource]) -> Iterator[Problem]:
    """Everything that this machine lacks for a cluster, for all of them; no package is imported for that."""
    for name, source in sources.items():
        if source.kind not in PACKAGES:
            continue
        path, needs = f"{stack_file(pulumi.get_stack())}.clusters.{name}.kind", f"`{source.kind}` needs"
        package, (command, hint) = PACKAGES[source.kind], COMMANDS[source.kind]
        if not importlib.util.find_spec(package.replace("-", "_")):
            yield Problem(path, f"{needs} the Python package `{package}`", f"`{_install(source.kind)}`")
        if not shutil.which(command):
            yield Problem(path, f"{needs} `{command}` on PATH, which signs in to the cluster", hint)


def _install(extra: str) -> str:
    """Not compiled: that takes minutes, for modules of which a run imports a few."""
    return f".venv/bin/pip install --no-compile --no-deps --require-hashes -r requirements-{extra}.txt"
