"""The few shapes that several manifests share: metadata, signatures, access of an account."""

from __future__ import annotations

from fleet import names
from fleet.model.base import Manifest
from fleet.model.mirror import Mirror

CRD_API = "apiextensions.k8s.io/v1"

COSIGN_ISSUER = "^https://token[.]actions[.]githubusercontent[.]com$"
CHART_LAYER = {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy"}
"""Layer selector of an OCIRepository that holds a Helm chart."""
RETRY = {"name": "RetryOnFailure", "retryInterval": "3m"}
"""Strategy of a HelmRelease: what was installed stays while the next try is waited for."""
RELEASE_TAG = "v[0-9]+[.][0-9]+[.][0-9]+"


def metadata(
    name: str,
    namespace: str | None = None,
    *,
    labels: Manifest | None = None,
    annotations: Manifest | None = None,
) -> Manifest:
    """Metadata without empty maps: an empty one makes a difference on each run once Flux writes labels of its own."""
    given = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    return {key: value for key, value in given.items() if value}


def flux_system(name: str, *, labels: Manifest | None = None, annotations: Manifest | None = None) -> Manifest:
    return metadata(name, names.FLUX_NAMESPACE, labels=labels, annotations=annotations)


def cosign(subject: str, mirror: Mirror | None) -> Manifest:
    """Keyless verification of an artifact signed by a GitHub workflow whose identity matches `subject` (a regex).

    With a trusted root it asks none of Sigstore's services.
    """
    known = mirror is not None and mirror.trusted_root
    root = {"trustedRootSecretRef": {"name": names.TRUST_SECRET}} if known else {}
    identity = {"issuer": COSIGN_ISSUER, "subject": f"^{subject}$"}
    return {"provider": "cosign", "matchOIDCIdentity": [identity]} | root


def workflow(owner: str, repository: str, file: str, ref: str) -> str:
    """Regex of the signing identity that GitHub gives a workflow run; `repository` and `ref` are regexes themselves.
    Dots are in classes, so that no backslash has to survive YAML, Go templates and substitution."""
    return f"https://github[.]com/{owner}/{repository}/[.]github/workflows/{file}[.]yaml@{ref}"


def role_binding(kind: str, name: str, role: str, namespace: str, account: str = names.TENANT_ACCOUNT) -> Manifest:
    """A RoleBinding in `namespace`, or a ClusterRoleBinding, of a ClusterRole to an account of `namespace`."""
    return {
        "apiVersion": names.RBAC_API,
        "kind": kind,
        "metadata": metadata(name, namespace if kind == "RoleBinding" else None),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def custom_resource_exists(name: str) -> Manifest:
    """A ResourceSet's dependency on a CRD: its kind must be served before its objects can be applied."""
    return {"apiVersion": CRD_API, "kind": "CustomResourceDefinition", "name": name}


def resource_set(
    name: str,
    *,
    resources: list[Manifest],
    inputs: list[Manifest] | None = None,
    depends_on: list[Manifest] | None = None,
    every: str | None = None,
) -> Manifest:
    spec: Manifest = {"dependsOn": depends_on, "inputs": inputs, "resources": resources}
    annotations = {names.ANNOTATION_RECONCILE_EVERY: every} if every else None
    return {
        "apiVersion": names.OPERATOR_API,
        "kind": "ResourceSet",
        "metadata": flux_system(name, annotations=annotations),
        "spec": {key: value for key, value in spec.items() if value},
    }


def config_map(meta: Manifest, data: Manifest | None = None) -> Manifest:
    body: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    return body | {"data": data} if data is not None else body


def copied(
    kind: str,
    name: str,
    namespace: str,
    *,
    origin: str | None = None,
    condition: str | None = None,
    **extra: str | None,
) -> Manifest:
    """A ConfigMap or Secret that the operator keeps equal to the one in flux-system of that name, or of the name
    `origin`. Left out for inputs that do not meet `condition`, an expression of the operator's templates."""
    annotations = {names.ANNOTATION_COPY_FROM: f"{names.FLUX_NAMESPACE}/{origin or name}"}
    if condition:
        annotations[names.ANNOTATION_RECONCILE] = f'<< {condition} | ternary "enabled" "disabled" >>'
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": metadata(
            name,
            namespace,
            labels={names.LABEL_WATCH: "Enabled"},
            annotations=annotations,
        ),
        **{key: value for key, value in extra.items() if value},
    }


def tenant_kustomization(
    namespace: str,
    name: str,
    source: tuple[str, str],
    path: str,
    depends_on: str | list[Manifest] | None = None,
    decryption: str | None = None,
) -> Manifest:
    """Applies `path` of a source (kind and name) to its own namespace, as the account there, and waits for it."""
    kind, source_name = source
    spec: Manifest = {
        "targetNamespace": namespace,
        "serviceAccountName": names.TENANT_ACCOUNT,
        "dependsOn": depends_on,
        "interval": "30m",
        "retryInterval": "5m",
        "wait": True,
        "timeout": "5m",
        "sourceRef": {"kind": kind, "name": source_name},
        "path": path,
        "prune": True,
        "decryption": decryption,
        "postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": names.RUNTIME_INFO}]},
    }
    return {
        "apiVersion": names.KUSTOMIZATION_API,
        "kind": "Kustomization",
        "metadata": metadata(name, namespace),
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
