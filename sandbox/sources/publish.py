"""Publishes what GitHub would hold: every repository as commits, and the artifacts that the workflows push.

Called by `sandbox.up`. Artifacts carry every tag that an environment follows; the branch `production` follows `main`,
since nobody merges here; nothing is signed. All of it follows from the content: an unchanged tree moves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from fleet.manifests.trees import Tree
from fleet.model import Fleet, Repository, repositories_of
from sandbox.sources import git, registry

CREATED: Final = "1970-01-01T00:00:00Z"
"""A clock would make a new artifact of the same content."""
MANIFESTS: Final = "controlplaneio-fluxcd/flux-operator-manifests"
TAG: Final = "latest"

Published = Mapping[str, str]
"""Address of a source → how the revision that it must come to ends: a digest or `sha1:<commit>`."""


def manifests_url(address: str) -> str:
    """Where the operator finds the manifests of Flux in the local registry."""
    return f"oci://{address}/{MANIFESTS}:{TAG}"


def publish(fleet: Fleet, trees: Mapping[str, Tree], manifests: Path, address: str, folder: Path) -> Published:
    """Commits `trees` (by repository) below `folder`; pushes the operator's manifests and what the design pulls to the
    registry at `address`. An unchanged artifact costs one request."""
    published = _commit(fleet, trees, folder)
    tags = sorted({TAG, *(environment.artifact_tag for environment in fleet.environments.values())})
    with registry.connect(address) as connection:

        def push(repository: str, source: str, files: Mapping[str, bytes]) -> str:
            return registry.push(
                connection,
                repository,
                files,
                tags=tags,
                source=source,
                revision=f"main@sha1:{_content_hash(files)}",
                created=CREATED,
            )

        push(MANIFESTS, f"https://github.com/{MANIFESTS}", registry.read_folder(manifests))
        for name, source, files in _artifacts(fleet, trees):
            path = f"{fleet.owner.lower()}/{name}"
            digest = push(path, source, files)
            if fleet.design == "oci":
                published[f"oci://{fleet.registry}/{path}"] = digest
    return published


def _commit(fleet: Fleet, trees: Mapping[str, Tree], folder: Path) -> dict[str, str]:
    """In both designs: image automation of the oci design reads Git too."""
    author = f"{fleet.bot.name} <{fleet.bot.address}>"
    return {
        fleet.repository_url(name): "sha1:"
        + git.commit(
            folder / fleet.owner / f"{name}.git",
            trees[name],
            branches=[branch.name for branch in repository.branches],
            author=author,
        )
        for name, repository in repositories_of(fleet).items()
    }


def _artifacts(fleet: Fleet, trees: Mapping[str, Tree]) -> Iterator[tuple[str, str, Tree]]:
    """Name below the owner, address of the repository, and files."""
    for name, repository in repositories_of(fleet).items():
        source = fleet.repository_url(name).removesuffix(".git")
        for suffix, folder in _parts(fleet, repository):
            files = {p.removeprefix(folder): content for p, content in trees[name].items() if p.startswith(folder)}
            yield f"{name.lower()}{suffix}", source, files


def _parts(fleet: Fleet, repository: Repository) -> list[tuple[str, str]]:
    """What each artifact's name ends with, and the folder that it holds.

    The fleet repository is one in the git design too: from it, a cluster made in the oci design learns of the change.
    """
    if repository.role == "fleet":
        return [("", "")]
    delivers = fleet.design == "oci" and repository.role != "source"
    return [(f"/{name}", f"components/{name}/") for name in repository.workloads if delivers]


def _content_hash(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha1(usedforsecurity=False)
    for path, content in sorted(files.items()):
        total.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()
