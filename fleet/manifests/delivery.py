"""The ResourceSets that deliver platform components and tenants: one input each, the same objects for all of them.

Text in `<< >>` is filled in by the operator for each input, `${ }` by Flux for each cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from fleet import names
from fleet.manifests.alerts import alert_kinds, alert_secrets, alerts, alerts_resource_set, has_alerts, status_secret
from fleet.manifests.automation import automation_resource_set
from fleet.manifests.decryption import age_secret, are_encrypted, decryption_inputs
from fleet.manifests.mirror import default_account, mirror_secrets
from fleet.manifests.objects import (
    copied,
    custom_resource_exists,
    metadata,
    resource_set,
    role_binding,
    tenant_kustomization,
)
from fleet.manifests.policies import POLICIES, policies_resource_set
from fleet.manifests.sources import REPOSITORY, TENANT, Source, source, source_inputs, source_kind
from fleet.model import Component, Fleet, Tenant, Workload
from fleet.model.base import Manifest

INFRA = "infra"
APPS = "apps"
CONTROLLERS = "infra-controllers"
CONFIGS = "infra-configs"

ENVIRONMENT = "<< inputs.environment >>"
DEPENDS_ON = "<< inputs.dependsOn | toJson >>"

READY_ONCE = "dep.status.observedGeneration >= 0"
"""CEL: the CRD's default is -1 and the controller raises it with the first success, so that a dependency that fails
later does not hold back what already runs."""

NEIGHBOURS: Final = [
    {"podSelector": {}},
    {"namespaceSelector": {"matchLabels": {names.LABEL_ROLE: "platform"}}},
]
"""Who may reach a namespace: itself, and platform components (ingress, monitoring)."""

W = TypeVar("W", bound=Workload)


def tenant_resource_sets(fleet: Fleet) -> dict[str, Manifest]:
    """All of them by name, in the order in which they take effect; empty ones are left out, since the operator would
    apply them once without inputs and leave the placeholders in."""
    sets = [policies_resource_set(fleet)]
    if has_alerts(fleet):
        sets.append(alerts_resource_set(fleet))
    sets += _by_environments(INFRA, fleet, fleet.components, _infra)
    sets += _by_environments(APPS, fleet, fleet.tenants, _apps)
    if fleet.automating:
        sets.append(automation_resource_set(fleet))
    return {manifest["metadata"]["name"]: manifest for manifest in sets}


def resource_sets_of(fleet: Fleet, cluster: str) -> dict[str, Manifest]:
    """Those that a cluster runs; one that only updates runs none of them."""
    if fleet.environment_of(cluster).role == "update":
        return {}
    foreign = _foreign(fleet, cluster)
    return {name: manifest for name, manifest in tenant_resource_sets(fleet).items() if name not in foreign}


def tenants_kustomization(fleet: Fleet, cluster: str) -> Manifest:
    """Applies the ResourceSets of the fleet repository with the variables of the cluster filled in, without those that
    are for other clusters."""
    spec: Manifest = {
        "serviceAccountName": names.OPERATOR,
        "interval": "12h",
        "retryInterval": "3m",
        "path": "./tenants",
        "prune": True,
        "sourceRef": {"kind": source_kind(fleet), "name": names.SYNC},
        "postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": names.RUNTIME_INFO}]},
    }
    if foreign := _foreign(fleet, cluster):
        spec["patches"] = [_deletion(name) for name in sorted(foreign)]
    return {
        "apiVersion": names.KUSTOMIZATION_API,
        "kind": "Kustomization",
        "metadata": metadata(names.TENANTS, names.FLUX_NAMESPACE),
        "spec": spec,
    }


def _deletion(name: str) -> Manifest:
    """kustomize takes the target's name for a regex, in which `infra.a.b` is also `infra.a-b`."""
    patch = f"$patch: delete\napiVersion: {names.OPERATOR_API}\nkind: ResourceSet\nmetadata:\n  name: {name}\n"
    return {"target": {"kind": "ResourceSet", "name": name.replace(".", "[.]")}, "patch": patch}


def _foreign(fleet: Fleet, cluster: str) -> set[str]:
    """Names of the ResourceSets that are not for this cluster."""
    environment = fleet.clusters[cluster].environment
    foreign = {
        _set_name(kind, limits)
        for kind, workloads in ((INFRA, fleet.components), (APPS, fleet.tenants))
        for limits in _limits_of(fleet, workloads)
        if limits is not None and environment not in limits
    }
    if fleet.automating and not fleet.automates(cluster):
        foreign.add(names.AUTOMATION)
    return foreign


def _by_environments(
    kind: str, fleet: Fleet, workloads: Mapping[str, W], render: Callable[[Fleet, str, Mapping[str, W]], Manifest]
) -> Iterator[Manifest]:
    """A ResourceSet for what goes everywhere, and one for each choice of environments."""
    for limits in _limits_of(fleet, workloads):
        chosen = {name: w for name, w in workloads.items() if _limits(fleet, w) == limits}
        yield render(fleet, _set_name(kind, limits), chosen)


def _limits_of(fleet: Fleet, workloads: Mapping[str, Workload]) -> list[tuple[str, ...] | None]:
    return list(dict.fromkeys(_limits(fleet, workload) for workload in workloads.values()))


def _limits(fleet: Fleet, workload: Workload) -> tuple[str, ...] | None:
    """The environments that get it, in the order of promotion; None for all."""
    limits = fleet.overlays_of(workload)
    return None if limits == fleet.overlays else limits


def _set_name(kind: str, limits: tuple[str, ...] | None) -> str:
    """Dots, since no environment has one in its name."""
    return ".".join([kind, *(limits or ())])


def _infra(fleet: Fleet, name: str, components: Mapping[str, Component]) -> Manifest:
    """Components as cluster admin: their releases first, then the custom resources that need them."""
    content = source(fleet, INFRA, names.SYNC)
    resources = [
        _namespace("platform"),
        *_account(fleet, content, components),
        role_binding("ClusterRoleBinding", f"flux-infra-{TENANT}", "cluster-admin", TENANT),
        _isolation("platform", "<< inputs.ingress | toJson >>"),
        content.manifest,
        _kustomization(CONTROLLERS, content, f"controllers/{ENVIRONMENT}", DEPENDS_ON, components),
        _kustomization(CONFIGS, content, f"configs/{ENVIRONMENT}", [{"name": CONTROLLERS}], components),
        *alerts(fleet, TENANT, REPOSITORY, status_secret(fleet, names.SYNC)),
    ]
    inputs = [
        _input(fleet, c, component, fleet.repositories.infra, components) | {"ingress": _ingress(component)}
        for c, component in components.items()
    ]
    return resource_set(name, every="5m", depends_on=_prerequisites(fleet), inputs=inputs, resources=resources)


def _apps(fleet: Fleet, name: str, tenants: Mapping[str, Tenant]) -> Manifest:
    """Tenants as namespace admin, each within its quota and closed to other tenants' traffic."""
    content = source(fleet, APPS, names.TENANTS_SECRET)
    resources = [
        _namespace("tenant"),
        *_account(fleet, content, tenants),
        role_binding("RoleBinding", names.TENANT_ACCOUNT, "admin", TENANT),
        _quota(),
        _requests(),
        _isolation("tenant", [{"from": NEIGHBOURS}]),
        content.manifest,
        _kustomization(APPS, content, ENVIRONMENT, DEPENDS_ON, tenants),
        *alerts(fleet, TENANT, REPOSITORY, status_secret(fleet, names.TENANTS_SECRET)),
    ]
    inputs = [
        _input(fleet, t, tenant, fleet.repository_of(tenant), tenants)
        | {"team": tenant.team, "quota": tenant.quota.model_dump()}
        for t, tenant in tenants.items()
    ]
    return resource_set(name, every="5m", depends_on=_prerequisites(fleet), inputs=inputs, resources=resources)


def _prerequisites(fleet: Fleet) -> list[Manifest]:
    """The policies are in force and Flux is installed. The ResourceSets may be applied before the FluxInstance."""
    policies = {
        "apiVersion": names.OPERATOR_API,
        "kind": "ResourceSet",
        "name": POLICIES,
        "namespace": names.FLUX_NAMESPACE,
        "ready": True,
        "readyExpr": "status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True')",
    }
    sources = "gitrepositories" if fleet.design == "git" else "ocirepositories"
    crds = (f"{sources}.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io")
    return [policies, *(custom_resource_exists(crd) for crd in crds), *alert_kinds(fleet)]


def _input(fleet: Fleet, name: str, workload: Workload, repository: str, among: Mapping[str, Workload]) -> Manifest:
    return {
        "tenant": name,
        "repository": repository,
        "environment": "${ENVIRONMENT}",
        **source_inputs(fleet),
        "podSecurity": workload.pod_security,
        "dependsOn": list(_depends_on(workload.depends_on)),
        **decryption_inputs(workload, among),
    }


def _depends_on(components: Iterable[str]) -> Iterable[Manifest]:
    return ({"name": CONFIGS, "namespace": component, "readyExpr": READY_ONCE} for component in components)


def _namespace(role: str) -> Manifest:
    labels = {names.LABEL_ROLE: role, names.LABEL_POD_SECURITY: "<< inputs.podSecurity >>"}
    if role == "tenant":
        labels[names.LABEL_TENANT] = "<< inputs.team >>"
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(TENANT, labels=labels)}


def _account(fleet: Fleet, content: Source, workloads: Mapping[str, Workload]) -> list[Manifest]:
    """The account Flux impersonates, and copies of the cluster's variables and of the secrets."""
    account: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(names.TENANT_ACCOUNT, TENANT),
    }
    if are_encrypted(workloads):
        account["metadata"]["annotations"] = "<< inputs.identity | toJson >>"
    if content.condition:
        secrets = f'(list (dict "name" "{content.secret}"))'
        account["imagePullSecrets"] = f"<< {content.condition} | ternary {secrets} list | toJson >>"
    return [
        copied("ConfigMap", names.RUNTIME_INFO, TENANT),
        copied("Secret", content.secret, TENANT, condition=content.condition, type=content.secret_type),
        *age_secret(TENANT, workloads),
        *alert_secrets(fleet, TENANT),
        *mirror_secrets(fleet, TENANT),
        account,
        *default_account(fleet, TENANT),
    ]


def _kustomization(
    name: str, content: Source, path: str, depends_on: str | list[Manifest], workloads: Mapping[str, Workload]
) -> Manifest:
    decryption = "<< inputs.decryption | toJson >>" if are_encrypted(workloads) else None
    folder = f"{content.folder}/{path}"
    return tenant_kustomization(TENANT, name, content.reference, folder, depends_on, decryption)


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


def _requests() -> Manifest:
    """Requests for containers that give none; under a quota they would be refused otherwise."""
    default = {"type": "Container", "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata("tenant", TENANT),
        "spec": {"limits": [default]},
    }


def _ingress(component: Component) -> list[Manifest]:
    """What reaches a component: its neighbours, and everybody where it says so. It is in force before the releases."""
    open_to_all = {"ports": [{"port": port, "protocol": "TCP"} for port in component.open_ports]}
    return [{"from": NEIGHBOURS}, *([open_to_all] if component.open_ports else [])]


def _isolation(name: str, ingress: str | list[Manifest]) -> Manifest:
    return {
        "apiVersion": names.NETWORK_API,
        "kind": "NetworkPolicy",
        "metadata": metadata(name, TENANT),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress},
    }
