"""The FluxInstance of a cluster: which Flux, how locked down, and where its state comes from."""

from __future__ import annotations

from collections.abc import Iterator

from fleet import names
from fleet.manifests.dump import dump
from fleet.manifests.mirror import trust
from fleet.manifests.objects import RELEASE_TAG, cosign, flux_system, workflow
from fleet.manifests.runtime import git_provider
from fleet.model import Fleet, Flux
from fleet.model.base import Manifest
from fleet.model.identity import azure_identities
from fleet.model.repository import MAIN


def flux_instance(fleet: Fleet, cluster: str) -> Manifest:
    """Fields in the order of the CRD; empty ones are left out, since the operator's defaults are the better ones."""
    flux = fleet.flux_of(cluster)
    sync = _git_sync if fleet.design == "git" else _oci_sync
    spec: Manifest = {
        "distribution": _distribution(flux),
        "components": list(fleet.controllers_of(cluster)),
        "cluster": _cluster(flux),
        "sync": sync(fleet, cluster, flux),
    }
    if patches := [*_own_patches(fleet, cluster, flux), *flux.patches]:
        spec["kustomize"] = {"patches": patches}
    if flux.sharding:
        spec["sharding"] = flux.sharding.model_dump(by_alias=True, mode="json")
    if flux.storage:
        spec["storage"] = flux.storage.model_dump(by_alias=True)
    return {
        "apiVersion": names.OPERATOR_API,
        "kind": "FluxInstance",
        "metadata": flux_system(names.INSTANCE),
        "spec": spec,
    }


def _distribution(flux: Flux) -> Manifest:
    given = {
        "version": flux.version,
        "registry": flux.registry,
        "variant": flux.variant,
        "artifact": flux.artifact,
        "imagePullSecret": flux.image_pull_secret,
        "artifactPullSecret": flux.artifact_pull_secret,
    }
    return {key: value for key, value in given.items() if value}


def _cluster(flux: Flux) -> Manifest:
    section: Manifest = {
        "type": flux.type,
        "size": flux.size,
        "multitenant": flux.multitenant,
        "tenantDefaultServiceAccount": names.TENANT_ACCOUNT,
        "networkPolicy": flux.network_policy,
        "domain": "cluster.local",
    }
    if flux.object_level_workload_identity:
        section["objectLevelWorkloadIdentity"] = True
    if flux.multitenant_workload_identity:
        section["multitenantWorkloadIdentity"] = True
        section["tenantDefaultDecryptionServiceAccount"] = names.TENANT_ACCOUNT
    return section


def _git_sync(fleet: Fleet, cluster: str, flux: Flux) -> Manifest:
    """Every cluster follows main of the fleet repository: its folder decides what reaches it, not a branch."""
    return {
        "kind": "GitRepository",
        "url": fleet.repository_url(fleet.repositories.fleet),
        "ref": f"refs/heads/{MAIN}",
        "path": f"clusters/{cluster}",
        "interval": flux.sync_interval,
        "provider": git_provider(fleet, cluster),
        "pullSecret": names.SYNC,
    }


def _oci_sync(fleet: Fleet, cluster: str, flux: Flux) -> Manifest:
    sync = {
        "kind": "OCIRepository",
        "url": f"oci://{fleet.artifacts}/{fleet.repositories.fleet.lower()}",
        "ref": fleet.environment_of(cluster).artifact_tag,
        "path": f"clusters/{cluster}",
        "interval": flux.sync_interval,
    }
    if fleet.pulls_by_token(cluster):
        return sync | {"pullSecret": names.REGISTRY_SECRET}
    return sync | {"provider": flux.registry_provider}


def _own_patches(fleet: Fleet, cluster: str, flux: Flux) -> Iterator[Manifest]:
    if fleet.design == "oci":
        yield _verify_patch(fleet, cluster)
    for controller in azure_identities(fleet, cluster):
        yield _controller_patch(controller, "/metadata/labels/azure.workload.identity~1use", "true")
    if flux.object_level_workload_identity and not flux.multitenant_workload_identity:
        # or Kustomizations that name no account, as tenants may write them, would be decrypted as the controller
        account = f"--default-decryption-service-account={names.TENANT_ACCOUNT}"
        yield _controller_patch("kustomize-controller", "/spec/containers/0/args/-", account)


def _controller_patch(controller: str, path: str, value: str) -> Manifest:
    """Adds a value below the template of a controller's pods."""
    patch = [{"op": "add", "path": f"/spec/template{path}", "value": value}]
    return {"target": {"kind": "Deployment", "name": controller}, "patch": dump(patch).decode()}


def _verify_patch(fleet: Fleet, cluster: str) -> Manifest:
    """Only artifacts signed by the fleet repository's own workflow are applied; FluxInstance has no field for it."""
    releases = fleet.environment_of(cluster).tracks == "releases"
    ref = f"refs/tags/{RELEASE_TAG}" if releases else "refs/heads/main"
    subject = workflow(fleet.owner, fleet.repositories.fleet.replace(".", "[.]"), "push-artifact", ref)
    fields = {"verify": cosign(subject, fleet.mirror)} | trust(fleet)
    patch = [{"op": "add", "path": f"/spec/{field}", "value": value} for field, value in fields.items()]
    return {"target": {"kind": "OCIRepository", "name": names.SYNC}, "patch": dump(patch).decode()}
