"""How Flux's controllers sign in to a cloud without a token, and the faults of sense in that.

`check_identity` is called by `fleet.model.checks`, `stack_identities` by `fleet.config`, which accounts need one by
manifests and resources. Making the identities is `fleet.resources.clusters`' part, or that of whoever made the cluster.
Source of the rules: fluxcd/pkg `auth` 0.56, which source-controller and kustomize-controller sign in by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from fleet.errors import Problem
from fleet.model.clusters import AksCluster, EksCluster, GkeCluster
from fleet.model.decryption import decrypting
from fleet.model.fleet import Fleet
from fleet.model.flux import Flux
from fleet.model.stack import Stack, stack_file
from fleet.model.tenant import Tenant, Workload

REGISTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "aws": (r"[0-9]{12}\.dkr[.-]ecr(-fips)?\.[\w-]+\..+|public\.ecr\.aws|ecr-public\.aws\.com", "amazonaws.com"),
    "azure": (r".+\.azurecr\.(io|cn|de|us)", "azurecr.io"),
    "gcp": (r"(.+\.)?gcr\.io|.+-docker\.pkg\.dev", "docker.pkg.dev"),
}
"""Hosts of the registries that each provider signs in to; and the usual end of their names."""


def provider_of(registry: str) -> str | None:
    """The cloud whose identities a registry knows."""
    host = registry.partition("/")[0]
    return next((provider for provider, (form, _) in REGISTRIES.items() if re.fullmatch(form, host)), None)


def azure_identities(fleet: Fleet, cluster: str) -> dict[str, str]:
    """Controllers that Azure must know: the variable with the client ID, by controller. Its webhook reads the ID from
    the ServiceAccount when a pod starts; AWS and Google know accounts by their names."""
    flux, found = fleet.flux_of(cluster), {}
    if fleet.design == "oci" and flux.registry_provider == "azure":
        found["source-controller"] = "SOURCE_CLIENT_ID"
    decryptions = (decryption for _, decryption in decrypting(fleet, fleet.clusters[cluster].environment).values())
    if not flux.object_level_workload_identity and any(decryption.provider == "azure" for decryption in decryptions):
        found["kustomize-controller"] = "DECRYPTION_CLIENT_ID"
    return found


def check_identity(fleet: Fleet, raw: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """What no cluster could sign in with, and what would let tenants read what is not theirs."""
    problems = []
    for name in fleet.clusters:
        if flux := _flux_of(fleet, name):
            problems += [*_registry(fleet, flux, name, source), *_decryption(fleet, flux, name, source)]
    yield from dict.fromkeys(problems)  # what all clusters have from the fleet's section is one fault


def stack_identities(stack: Stack, fleet: Fleet, name: str) -> Iterator[Problem]:
    """What a stack says too little or too much of; `fleet` is as the stack sees it."""
    yield from _missing_identities(stack, fleet, name)
    yield from _useless_keys(stack, fleet, name)


def _missing_identities(stack: Stack, fleet: Fleet, name: str) -> Iterator[Problem]:
    """Those that clusters which the program does not make need from the stack."""
    source = stack_file(name)
    for cluster, own in fleet.clusters_in(stack.environment).items():
        spec = stack.clusters.get(cluster)
        if spec is None or isinstance(spec, AksCluster):
            continue
        for controller, variable in azure_identities(fleet, cluster).items():
            if variable not in {**own.runtime_info, **stack.runtime_info}:
                message = f"`{variable}` is missing: the client ID of {controller} on cluster `{cluster}`"
                hint = f"add it here or to `clusters.{cluster}.runtimeInfo` of fleet.yaml"
                yield Problem(f"{source}.runtimeInfo", message, hint)


def _useless_keys(stack: Stack, fleet: Fleet, name: str) -> Iterator[Problem]:
    """Keys that Flux itself would decrypt with, where it either must not or does not."""
    for cluster in fleet.clusters_in(stack.environment):
        spec = stack.clusters.get(cluster)
        if not isinstance(spec, EksCluster | GkeCluster | AksCluster) or not spec.sops_keys:
            continue
        flux, path = fleet.flux_of(cluster), f"{stack_file(name)}.clusters.{cluster}.sopsKeys"
        if flux.object_level_workload_identity:
            message = "Flux decrypts as account `flux` of each namespace, which they say nothing about"
            yield Problem(path, message, "remove them; let that account use the key")
        elif _shared(fleet, flux, stack.environment):
            message = "Flux itself would decrypt with them, for every tenant that has the file"
            hint = "`flux: {objectLevelWorkloadIdentity: true}` of fleet.yaml: the account of each namespace decrypts"
            yield Problem(path, message, hint)


def _shared(fleet: Fleet, flux: Flux, environment: str) -> bool:
    """Whether tenants that are locked down deliver there."""
    return flux.multitenant and any(environment in fleet.overlays_of(tenant) for tenant in fleet.tenants.values())


def _flux_of(fleet: Fleet, cluster: str) -> Flux | None:
    """None where the section is malformed or the environment unknown, which others report."""
    try:
        return fleet.flux_of(cluster) if fleet.clusters[cluster].environment in fleet.environments else None
    except ValidationError:
        return None


def _registry(fleet: Fleet, flux: Flux, cluster: str, source: str) -> Iterator[Problem]:
    provider = flux.registry_provider
    if provider == "generic":
        return
    own = "registryProvider" in fleet.clusters[cluster].flux
    path = f"{source}.clusters.{cluster}.flux" if own else f"{source}.flux"
    if fleet.design == "git":
        hint = "in the git design `environments.<name>.auth` says how Flux signs in; remove it"
        yield Problem(f"{path}.registryProvider", "is for registries", hint)
        return
    if provider_of(fleet.registry) != provider:
        message = f"Flux does not sign in to `{fleet.registry.partition('/')[0]}` by `{provider}`"
        hint = f"its registries are below `…{REGISTRIES[provider][1]}`; for others use `generic`, with a token"
        yield Problem(f"{path}.registryProvider", message, hint)
    if flux.multitenant_workload_identity:
        message = "Flux would pull its own artifact as account `flux` of flux-system, which is not there"
        hint = "`registryProvider` other than `generic` goes with `objectLevelWorkloadIdentity` alone; remove this"
        yield Problem(f"{path}.multitenantWorkloadIdentity", message, hint)


def _decryption(fleet: Fleet, flux: Flux, cluster: str, source: str) -> Iterator[Problem]:
    environment = fleet.clusters[cluster].environment
    shared = _shared(fleet, flux, environment)
    for name, (workload, decryption) in decrypting(fleet, environment).items():
        path = f"{source}.{_section(workload)}.{name}.decryption"
        if decryption.provider == "age":
            continue
        if flux.object_level_workload_identity:
            if decryption.identity is None and decryption.provider != "gcp":
                message = f"`identity` is missing: `{decryption.provider}` knows an account by it"
                yield Problem(path, message, "whom account `flux` of the namespace signs in as")
        elif shared:
            message = f"cluster `{cluster}` would decrypt as Flux itself, for every tenant that has the file"
            hint = "`flux: {objectLevelWorkloadIdentity: true}`: the account of each namespace signs in"
            yield Problem(path, message, hint)


def _section(workload: Workload) -> str:
    return "tenants" if isinstance(workload, Tenant) else "components"
