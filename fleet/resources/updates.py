"""What a stack of an update environment is for: image automation runs once, and what it pushed is proposed.

The same work as the weekly workflow of the fleet repository. Called by `deploy` when everything is declared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pulumi

from fleet.config import Settings
from fleet.github.connection import Auth, api_of, connect
from fleet.github.pulls import propose
from fleet.github.repository import Repository
from fleet.manifests.automation import PROPOSED
from fleet.model import repositories_of
from fleet.resources import automation
from fleet.resources.clusters import Cluster
from fleet.resources.github.provider import credential, sign_in

TITLE = "Update chart versions"


async def update(settings: Settings, made: Mapping[str, tuple[Cluster, pulumi.Output[str]]]) -> Mapping[str, str]:
    """The pull request of each repository (by name) that has new versions; `made` has a FluxInstance with each cluster.

    In a preview, in other environments, and where no cluster came to be, nothing. Raises ClusterError and GitHubError.
    """
    if pulumi.runtime.is_dry_run() or settings.stack.environment not in settings.fleet.updating:
        return {}
    ready = {name: cluster for name, (cluster, instance) in made.items() if await instance.is_known()}
    found = await asyncio.gather(*(_automate(settings, name, cluster) for name, cluster in ready.items()))
    pushed = {namespace for commits in found for namespace, commit in commits.items() if commit}
    automated = {name: each for name, each in repositories_of(settings.fleet).items() if each.automated}
    names = [name for name, repository in automated.items() if repository.update_namespace in pushed]
    if not names:
        return {}
    auth = await sign_in(settings, credential(settings, "update"))
    return await asyncio.to_thread(_propose, settings, auth, names)


async def _automate(settings: Settings, name: str, cluster: Cluster) -> Mapping[str, str]:
    kubeconfig = str(await cluster.kubeconfig.future())
    seconds = settings.stack.ready_timeout
    commits = await asyncio.to_thread(automation.run_once, name, kubeconfig, seconds=seconds, tell=pulumi.log.info)
    for namespace, commit in commits.items():
        told = f"pushed {commit} to `{PROPOSED}`" if commit else "found no new version"
        pulumi.log.info(f"{name}: image automation in {namespace} {told}")
    return commits


def _propose(settings: Settings, auth: Auth, names: Sequence[str]) -> dict[str, str]:
    fleet = settings.fleet
    with connect(auth, api_of(fleet.github.url), progress=pulumi.log.info) as client:
        live = {name: Repository(github=client, credential=auth.source, owner=fleet.owner, name=name) for name in names}
        found = {name: propose(repository, PROPOSED, TITLE) for name, repository in live.items()}
    return {name: url for name, url in found.items() if url}
