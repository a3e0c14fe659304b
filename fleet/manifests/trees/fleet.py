"""The fleet repository: a folder a cluster, and the ResourceSets that all of them share."""

from __future__ import annotations

from fleet import names
from fleet.manifests.automation import automation_resource_set
from fleet.manifests.delivery import tenant_resource_sets, tenants_kustomization
from fleet.manifests.instance import flux_instance
from fleet.manifests.mirror import trust_secret
from fleet.manifests.operator import operator_resource_set, operator_values
from fleet.manifests.runtime import runtime_config_map, runtime_info, substituted
from fleet.manifests.trees.overlay import Files, kustomization
from fleet.model import Fleet, Repository


def fleet_files(fleet: Fleet, repository: Repository) -> Files:
    for cluster in fleet.clusters:
        folder = f"clusters/{cluster}"
        if fleet.environment_of(cluster).role == "update":
            yield from _update_cluster(fleet, cluster, folder)
        else:
            yield from _cluster(fleet, cluster, folder)
    if trust := trust_secret(fleet):
        yield f"scripts/{names.TRUST_SECRET}.yaml", trust  # for bootstrap.sh: Flux needs it before it reads this tree
    for name, resource_set in tenant_resource_sets(fleet).items():
        yield f"tenants/{name}.yaml", resource_set


def _cluster(fleet: Fleet, cluster: str, folder: str) -> Files:
    yield f"{folder}/tenants.yaml", tenants_kustomization(fleet, cluster)
    system = f"{folder}/flux-system"
    yield f"{system}/flux-instance.yaml", flux_instance(fleet, cluster)
    yield f"{system}/flux-operator.yaml", operator_resource_set(fleet)
    yield f"{system}/flux-operator-values.yaml", operator_values(fleet)
    yield f"{system}/runtime-info.yaml", runtime_config_map(runtime_info(fleet, cluster))
    yield (
        f"{system}/kustomization.yaml",
        kustomization(
            ["flux-instance.yaml", "flux-operator.yaml", "runtime-info.yaml"],
            configMapGenerator=[
                {
                    "name": names.OPERATOR_VALUES,
                    "namespace": names.FLUX_NAMESPACE,
                    "files": ["values.yaml=flux-operator-values.yaml"],
                    "options": {"disableNameSuffixHash": True, "labels": {names.LABEL_WATCH: "Enabled"}},
                }
            ],
        ),
    )


def _update_cluster(fleet: Fleet, cluster: str, folder: str) -> Files:
    """No ResourceSet for the operator: without helm-controller it could never become ready, and the cluster lives
    for one run only. Nothing here fills variables in."""
    automation = automation_resource_set(fleet)
    yield f"{folder}/automation.yaml", substituted(automation, runtime_info(fleet, cluster))
    yield f"{folder}/flux-system/flux-instance.yaml", flux_instance(fleet, cluster)
    yield f"{folder}/flux-system/runtime-info.yaml", runtime_config_map(runtime_info(fleet, cluster))
