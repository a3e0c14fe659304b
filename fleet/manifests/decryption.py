"""What opens encrypted files in a namespace.

Called by `fleet.manifests.delivery` for the components or tenants that share a ResourceSet; where none of them has
encrypted files, nothing of this is there. Kustomizations name no account for decryption: the FluxInstance decides for
the whole cluster, so that a tenant's own Kustomization gets no further.
"""

from __future__ import annotations

from collections.abc import Mapping

from fleet import names
from fleet.manifests.objects import copied
from fleet.model import Decryption, Workload
from fleet.model.base import Manifest


def are_encrypted(workloads: Mapping[str, Workload]) -> bool:
    """Whether any of them has encrypted files."""
    return any(workload.decryption for workload in workloads.values())


def decryption_inputs(workload: Workload, among: Mapping[str, Workload]) -> Manifest:
    """Of one workload: keys that either all of a ResourceSet's inputs have, or none."""
    if not are_encrypted(among):
        return {}
    spec: Manifest = {"provider": "sops"}
    if workload.decryption and workload.decryption.provider == "age":
        spec["secretRef"] = {"name": names.AGE_SECRET}
    return {"decryption": spec, "identity": _annotations(workload.decryption)}


def _annotations(decryption: Decryption | None) -> Manifest:
    """How each cloud's identity stands on a ServiceAccount, as fluxcd/pkg `auth` reads it."""
    if decryption is None or decryption.identity is None:
        return {}
    identity = decryption.identity
    match decryption.provider:
        case "aws":
            return {"eks.amazonaws.com/role-arn": identity}
        case "gcp":
            return {"iam.gke.io/gcp-service-account": identity}
        case _:
            tenant, _, client = identity.partition("/")
            return {"azure.workload.identity/tenant-id": tenant, names.ANNOTATION_CLIENT_ID: client}


def age_secret(namespace: str, among: Mapping[str, Workload]) -> list[Manifest]:
    """The copy of the workload's own key, in the namespaces of those that have one."""
    if not any(workload.decryption and workload.decryption.provider == "age" for workload in among.values()):
        return []
    origin, condition = age_secret_name(namespace), 'hasKey inputs.decryption "secretRef"'
    return [copied("Secret", names.AGE_SECRET, namespace, origin=origin, condition=condition)]


def age_secret_name(workload: str) -> str:
    """In flux-system, where there is one for each."""
    return f"{names.AGE_SECRET}-{workload}"
