"""Publishes what the repositories' workflows would, under every tag that an environment follows; nothing is signed.

Called by `sandbox.up`. The revision is made of the content: an unchanged tree is the same artifact and moves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from fleet import names
from fleet.manifests.delivery import APPS, INFRA
from fleet.manifests.trees import apps_tree, fleet_tree, infra_tree
from fleet.model import Fleet
from sandbox.sources import registry

CREATED: Final = "1970-01-01T00:00:00Z"
"""A clock would make a new artifact of the same content."""
MANIFESTS: Final = "controlplaneio-fluxcd/flux-operator-manifests"
TAG: Final = "latest"

Published = Mapping[tuple[str, str], str]
"""Namespace and name of an OCIRepository → digest that it must come to."""


def manifests_url(address: str) -> str:
    """Where the operator finds the manifests of Flux in the local registry."""
    return f"oci://{address}/{MANIFESTS}:{TAG}"


def publish(fleet: Fleet, manifests: Path, address: str) -> Published:
    """Pushes the operator's manifests and all trees; an unchanged artifact costs one request."""
    tags = sorted({TAG, *(environment.artifact_tag for environment in fleet.environments.values())})
    with registry.connect(address) as connection:

        def push(repository: str, files: Mapping[str, bytes]) -> str:
            return registry.push(
                connection,
                repository,
                files,
                tags=tags,
                source=f"https://github.com/{fleet.owner}/{repository.partition('/')[2]}",
                revision=f"main@sha1:{_content_hash(files)}",
                created=CREATED,
            )

        push(MANIFESTS, registry.read_folder(manifests))
        return {source: push(repository, files) for source, repository, files in _artifacts(fleet)}


def _artifacts(fleet: Fleet) -> Iterator[tuple[tuple[str, str], str, Mapping[str, bytes]]]:
    base, repositories = fleet.owner.lower(), fleet.repositories
    yield (names.SYNC, names.SYNC), f"{base}/{repositories.fleet.lower()}", fleet_tree(fleet)
    for name, repository, workloads, tree in (
        (INFRA, repositories.infra, fleet.components, infra_tree(fleet)),
        (APPS, repositories.apps, fleet.tenants, apps_tree(fleet)),
    ):
        for workload in workloads:
            folder = f"components/{workload}/"
            files = {path.removeprefix(folder): content for path, content in tree.items() if path.startswith(folder)}
            yield (workload, name), f"{base}/{repository.lower()}/{workload}", files


def _content_hash(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha1(usedforsecurity=False)
    for path, content in sorted(files.items()):
        total.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()
