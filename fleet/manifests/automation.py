"""Image automation: new chart versions, written into Git where a marker asks for it.

In the oci design on an update cluster, which proposes them on a branch of their own; in the git design on the first
cluster that tracks main, which commits them there.
"""

from __future__ import annotations

from typing import Any

from fleet import names
from fleet.manifests.mirror import access, mirror_secrets
from fleet.manifests.objects import (
    copied,
    custom_resource_exists,
    metadata,
    resource_set,
    role_binding,
    tenant_kustomization,
)
from fleet.manifests.sources import git_repository
from fleet.model import Fleet, Release, repositories_of
from fleet.model.base import Manifest
from fleet.model.repository import MAIN

NAMESPACE = "<< inputs.namespace >>"
PROPOSED = "image-updates"
"""Branch of the proposals in the oci design."""
FOLDER = "update"
"""Folder of the policies in a repository."""

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
        {"namespace": repository.update_namespace, "repository": name}
        for name, repository in repositories_of(fleet).items()
        if repository.automated
    ]
    resources = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(NAMESPACE)},
        copied("ConfigMap", names.RUNTIME_INFO, NAMESPACE),
        copied("Secret", names.GIT_SECRET, NAMESPACE),
        *mirror_secrets(fleet, NAMESPACE),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(names.TENANT_ACCOUNT, NAMESPACE)},
        role_binding("RoleBinding", names.TENANT_ACCOUNT, "admin", NAMESPACE),
        git_repository(fleet, NAMESPACE, NAMESPACE, MAIN, names.GIT_SECRET),
        _policies(),
        _automation(fleet),
    ]
    return resource_set(names.AUTOMATION, every="5m", depends_on=[served], inputs=inputs, resources=resources)


def _policies() -> Manifest:
    """Its objects go with their namespace. Waiting for them, or deleting them first, would hang where their kinds have
    just gone, when the image controllers are taken away."""
    manifest = tenant_kustomization(NAMESPACE, NAMESPACE, ("GitRepository", NAMESPACE), f"./{FOLDER}")
    manifest["spec"] |= {"wait": False, "deletionPolicy": "Orphan"}
    return manifest


def policy(fleet: Fleet, name: str, release: Release) -> tuple[Manifest, Manifest]:
    """What lists a chart's versions, and what chooses one; a range leaves pre-releases out unless it names one."""
    image = release.chart.removeprefix("oci://")
    return (
        _image(
            "ImageRepository",
            name,
            {"image": image, "interval": "12h", "provider": "generic", **access(fleet, image)},
        ),
        _image(
            "ImagePolicy",
            name,
            {"imageRepositoryRef": {"name": name}, "policy": {"semver": {"range": release.updates}}},
        ),
    )


def _image(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": names.IMAGE_API, "kind": kind, "metadata": metadata(name), "spec": spec}


def _automation(fleet: Fleet) -> Manifest:
    author = {"name": fleet.bot.name, "email": fleet.bot.address}
    branch = MAIN if fleet.design == "git" else PROPOSED
    return {
        "apiVersion": names.IMAGE_API,
        "kind": "ImageUpdateAutomation",
        "metadata": metadata(NAMESPACE, NAMESPACE),
        "spec": {
            "interval": "30m",
            "sourceRef": {"kind": "GitRepository", "name": NAMESPACE},
            "git": {
                "checkout": {"ref": {"branch": MAIN}},
                "push": {"branch": branch},
                "commit": {"author": author, "messageTemplate": COMMIT_MESSAGE},
            },
            "update": {"path": "./components", "strategy": "Setters"},
        },
    }
