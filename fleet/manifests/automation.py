"""The update cluster's ResourceSet: image automation that proposes new chart versions on a branch of its own."""

from __future__ import annotations

from fleet import names
from fleet.manifests.objects import (
    copied,
    custom_resource_exists,
    metadata,
    resource_set,
    role_binding,
    tenant_kustomization,
)
from fleet.model import Fleet
from fleet.model.base import Manifest

AUTOMATION = "image-update-automation"
NAMESPACE = "<< inputs.namespace >>"

COMMIT_MESSAGE = """\
Automated chart update

Files:
{{ range $file, $_ := .Changed.FileChanges -}}
- {{ $file }}
{{ end -}}

Objects:
{{ range $object, $changes := .Changed.Objects -}}
- {{ $object.Kind }} {{ $object.Name }}
{{- range $_, $change := $changes }}
    {{ $change.OldValue }} -> {{ $change.NewValue }}
{{- end }}
{{ end -}}
"""


def automation_resource_set(fleet: Fleet) -> Manifest:
    served = custom_resource_exists("imageupdateautomations.image.toolkit.fluxcd.io")
    inputs = [
        {
            "namespace": namespace,
            "repository": f"https://github.com/{fleet.owner}/{repository}",
            "pushBranch": "image-updates",
        }
        for namespace, repository in (("apps", fleet.repositories.apps), ("infra", fleet.repositories.infra))
    ]
    resources = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(NAMESPACE)},
        copied("ConfigMap", names.RUNTIME_INFO, NAMESPACE),
        copied("Secret", names.GIT_SECRET, NAMESPACE),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(names.TENANT_ACCOUNT, NAMESPACE)},
        role_binding("RoleBinding", names.TENANT_ACCOUNT, "admin", NAMESPACE),
        _repository(),
        tenant_kustomization(NAMESPACE, NAMESPACE, ("GitRepository", NAMESPACE), "./update-policies"),
        _automation(fleet),
    ]
    return resource_set(AUTOMATION, every="5m", depends_on=[served], inputs=inputs, resources=resources)


def _repository() -> Manifest:
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "GitRepository",
        "metadata": metadata(NAMESPACE, NAMESPACE),
        "spec": {
            "interval": "10m",
            "url": "<< inputs.repository >>",
            "ref": {"branch": "main"},
            "secretRef": {"name": names.GIT_SECRET},
        },
    }


def _automation(fleet: Fleet) -> Manifest:
    author = {"name": fleet.bot.name, "email": fleet.bot.address}
    return {
        "apiVersion": names.IMAGE_API,
        "kind": "ImageUpdateAutomation",
        "metadata": metadata(NAMESPACE, NAMESPACE),
        "spec": {
            "interval": "30m",
            "sourceRef": {"kind": "GitRepository", "name": NAMESPACE},
            "git": {
                "checkout": {"ref": {"branch": "main"}},
                "push": {"branch": "<< inputs.pushBranch >>"},
                "commit": {"author": author, "messageTemplate": COMMIT_MESSAGE},
            },
            "update": {"path": "./components", "strategy": "Setters"},
        },
    }
