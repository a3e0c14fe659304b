"""The ResourceSets that deliver platform components and tenants: one input each, the same objects for all of them.

Text in `<< >>` is filled in by the operator for each input, `${ }` by Flux for each cluster.
"""

from __future__ import annotations

from collections.abc import Iterable

from fleet import names
from fleet.manifests.objects import (
    copied,
    cosign,
    custom_resource_exists,
    metadata,
    resource_set,
    role_binding,
    tenant_kustomization,
    workflow,
)
from fleet.manifests.policies import POLICIES, policies_resource_set
from fleet.manifests.runtime import COMPONENT
from fleet.model import Fleet, Workload
from fleet.model.base import Manifest

INFRA = "infra"
APPS = "apps"
CONTROLLERS = "infra-controllers"
CONFIGS = "infra-configs"

TENANT = "<< inputs.tenant >>"
ENVIRONMENT = "<< inputs.environment >>"

READY_ONCE = "dep.status.observedGeneration >= 0"
"""CEL: the CRD's default is -1 and the controller raises it with the first success, so that a dependency that fails
later does not hold back what already runs."""


def infra_resource_set(fleet: Fleet) -> Manifest:
    """Components as cluster admin: their releases first, then the custom resources that need them."""
    resources = [
        _namespace("platform"),
        *_account(),
        role_binding("ClusterRoleBinding", f"flux-infra-{TENANT}", "cluster-admin", TENANT),
        _source(fleet, INFRA, fleet.repositories.infra),
        _kustomization(CONTROLLERS, INFRA, f"./controllers/{ENVIRONMENT}", "<< inputs.dependsOn | toJson >>"),
        _kustomization(CONFIGS, INFRA, f"./configs/{ENVIRONMENT}", [{"name": CONTROLLERS}]),
    ]
    inputs = [_input(name, component) for name, component in fleet.components.items()]
    return resource_set(INFRA, every="5m", depends_on=_prerequisites(), inputs=inputs, resources=resources)


def apps_resource_set(fleet: Fleet) -> Manifest:
    """Tenants as namespace admin, each within its quota and closed to other tenants' traffic."""
    resources = [
        _namespace("tenant"),
        *_account(),
        role_binding("RoleBinding", names.TENANT_ACCOUNT, "admin", TENANT),
        _quota(),
        _limits(),
        _isolation(),
        _source(fleet, APPS, fleet.repositories.apps),
        _kustomization(APPS, APPS, f"./{ENVIRONMENT}", "<< inputs.dependsOn | toJson >>"),
    ]
    inputs = [
        _input(name, tenant) | {"team": tenant.team, "quota": tenant.quota.model_dump()}
        for name, tenant in fleet.tenants.items()
    ]
    return resource_set(APPS, every="5m", depends_on=_prerequisites(), inputs=inputs, resources=resources)


def tenants_kustomization() -> Manifest:
    """Applies the ResourceSets of the fleet repository with the variables of the cluster filled in."""
    return {
        "apiVersion": names.KUSTOMIZATION_API,
        "kind": "Kustomization",
        "metadata": metadata(names.TENANTS, names.FLUX_NAMESPACE),
        "spec": {
            "serviceAccountName": names.OPERATOR,
            "interval": "12h",
            "retryInterval": "3m",
            "path": "./tenants",
            "prune": True,
            "sourceRef": {"kind": "OCIRepository", "name": names.SYNC},
            "postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": names.RUNTIME_INFO}]},
        },
    }


def tenant_resource_sets(fleet: Fleet) -> list[Manifest]:
    """In the order in which they take effect; empty ones are left out, since the operator would apply them once
    without inputs and leave the placeholders in."""
    sets = [policies_resource_set(fleet)]
    if fleet.components:
        sets.append(infra_resource_set(fleet))
    if fleet.tenants:
        sets.append(apps_resource_set(fleet))
    return sets


def _prerequisites() -> list[Manifest]:
    """The policies are in force and Flux is installed. The ResourceSets may be applied before the FluxInstance."""
    policies = {
        "apiVersion": names.OPERATOR_API,
        "kind": "ResourceSet",
        "name": POLICIES,
        "namespace": names.FLUX_NAMESPACE,
        "ready": True,
        "readyExpr": "status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True')",
    }
    crds = ("ocirepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io")
    return [policies, *(custom_resource_exists(crd) for crd in crds)]


def _input(name: str, workload: Workload) -> Manifest:
    return {
        "tenant": name,
        "tag": "${ARTIFACT_TAG}",
        "environment": "${ENVIRONMENT}",
        "artifactSubjectWorkflow": "${ARTIFACT_SUBJECT_WORKFLOW}",
        "artifactSubjectGitRef": "${ARTIFACT_SUBJECT_GIT_REF}",
        "podSecurity": workload.pod_security,
        "dependsOn": list(_depends_on(workload.depends_on)),
    }


def _depends_on(components: Iterable[str]) -> Iterable[Manifest]:
    return ({"name": CONFIGS, "namespace": component, "readyExpr": READY_ONCE} for component in components)


def _namespace(role: str) -> Manifest:
    labels = {names.LABEL_ROLE: role, names.LABEL_POD_SECURITY: "<< inputs.podSecurity >>"}
    if role == "tenant":
        labels[names.LABEL_TENANT] = "<< inputs.team >>"
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(TENANT, labels=labels)}


def _account() -> list[Manifest]:
    """The account Flux impersonates, and copies of the cluster's variables and of the registry secret."""
    return [
        copied("ConfigMap", names.RUNTIME_INFO, TENANT),
        copied("Secret", names.REGISTRY_SECRET, TENANT, type="kubernetes.io/dockerconfigjson"),
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(names.TENANT_ACCOUNT, TENANT),
            "imagePullSecrets": [{"name": names.REGISTRY_SECRET}],
        },
    ]


def _source(fleet: Fleet, name: str, repository: str) -> Manifest:
    """The tenant's own artifact, signed by the workflow of its repository and, for a release, by its own tag only."""
    ref = f'<< inputs.artifactSubjectGitRef | replace "{COMPONENT}" inputs.tenant >>'
    subject = workflow(fleet.owner, repository, "<< inputs.artifactSubjectWorkflow >>", ref)
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "OCIRepository",
        "metadata": metadata(name, TENANT),
        "spec": {
            "interval": "5m",
            "serviceAccountName": names.TENANT_ACCOUNT,
            "url": f"oci://{fleet.artifacts}/{repository.lower()}/{TENANT}",
            "ref": {"tag": "<< inputs.tag >>"},
            "verify": cosign(subject),
        },
    }


def _kustomization(name: str, source: str, path: str, depends_on: str | list[Manifest]) -> Manifest:
    return tenant_kustomization(TENANT, name, ("OCIRepository", source), path, depends_on)


def _quota() -> Manifest:
    hard = {
        "requests.cpu": "<< inputs.quota.cpu | quote >>",
        "requests.memory": "<< inputs.quota.memory | quote >>",
        "pods": "<< inputs.quota.pods | quote >>",
    }
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata("tenant", TENANT),
        "spec": {"hard": hard},
    }


def _limits() -> Manifest:
    """Requests for containers that give none; under a quota they would be refused otherwise."""
    default = {"type": "Container", "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata("tenant", TENANT),
        "spec": {"limits": [default]},
    }


def _isolation() -> Manifest:
    """Traffic into the namespace only from itself and from platform components (ingress, monitoring)."""
    peers = [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {names.LABEL_ROLE: "platform"}}}]
    return {
        "apiVersion": names.NETWORK_API,
        "kind": "NetworkPolicy",
        "metadata": metadata("tenant", TENANT),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]},
    }
