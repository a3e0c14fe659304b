"""Where the content of a namespace comes from: an OCI artifact, or a folder of a Git repository.

The only difference between the two designs in what the ResourceSets deliver.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet import names
from fleet.manifests.mirror import trust
from fleet.manifests.objects import cosign, metadata, workflow
from fleet.manifests.runtime import COMPONENT
from fleet.model import Fleet
from fleet.model.base import Manifest

TENANT = "<< inputs.tenant >>"
REPOSITORY = "<< inputs.repository >>"
GENERIC = 'eq inputs.registryProvider "generic"'
"""The operator's expression for whether the cluster signs in to the registry with a token."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source object, how a Kustomization refers to it, and what it needs in its namespace."""

    manifest: Manifest
    folder: str
    """Path within the source of the folder that the input's component or tenant has."""
    secret: str
    """Secret that it signs in with, copied from flux-system."""
    secret_type: str | None
    condition: str | None = None
    """The operator's expression for whether the cluster has that secret; None where every cluster has."""

    @property
    def reference(self) -> tuple[str, str]:
        """Kind and name."""
        return self.manifest["kind"], self.manifest["metadata"]["name"]


def source(fleet: Fleet, name: str, git_secret: str) -> Source:
    """The source of an input that has the keys `tenant` and `repository`."""
    if fleet.design == "git":
        manifest = git_repository(fleet, name, TENANT, "${GIT_BRANCH}", git_secret)
        manifest["spec"]["sparseCheckout"] = [f"components/{TENANT}"]
        return Source(manifest=manifest, folder=f"./components/{TENANT}", secret=git_secret, secret_type=None)
    return Source(
        manifest=_artifact(fleet, name),
        folder=".",
        secret=names.REGISTRY_SECRET,
        secret_type="kubernetes.io/dockerconfigjson",  # noqa: S106 a type of Secret
        condition=GENERIC,
    )


def source_inputs(fleet: Fleet) -> Manifest:
    """What an input needs for its source, besides its name and repository."""
    if fleet.design == "git":
        return {}
    return {
        "registryProvider": "${REGISTRY_PROVIDER}",
        "tag": "${ARTIFACT_TAG}",
        "artifactSubjectWorkflow": "${ARTIFACT_SUBJECT_WORKFLOW}",
        "artifactSubjectGitRef": "${ARTIFACT_SUBJECT_GIT_REF}",
    }


def source_kind(fleet: Fleet) -> str:
    return "GitRepository" if fleet.design == "git" else "OCIRepository"


def git_repository(fleet: Fleet, name: str, namespace: str, branch: str, secret: str) -> Manifest:
    """A branch of the repository that the input names; the cluster's variables say how to sign in."""
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "GitRepository",
        "metadata": metadata(name, namespace),
        "spec": {
            "interval": "5m",
            "provider": "${GIT_PROVIDER}",
            "url": fleet.repository_url(REPOSITORY),
            "ref": {"branch": branch},
            "secretRef": {"name": secret},
        },
    }


def _artifact(fleet: Fleet, name: str) -> Manifest:
    """The tenant's own artifact, signed by the workflow of its repository and, for a release, by its own tag only.

    The account brings the token. A source that names an account and a cloud would sign in as that account, which needs
    `objectLevelWorkloadIdentity` and rights of its own; without an account, source-controller signs in as itself.
    """
    ref = f'<< inputs.artifactSubjectGitRef | replace "{COMPONENT}" inputs.tenant >>'
    repository = '<< inputs.repository | replace "." "[.]" >>'
    subject = workflow(fleet.owner, repository, "<< inputs.artifactSubjectWorkflow >>", ref)
    return {
        "apiVersion": names.SOURCE_API,
        "kind": "OCIRepository",
        "metadata": metadata(name, TENANT),
        "spec": {
            "interval": "5m",
            "provider": "<< inputs.registryProvider >>",
            "serviceAccountName": f'<< {GENERIC} | ternary "{names.TENANT_ACCOUNT}" "" | quote >>',
            "url": f"oci://{fleet.artifacts}/<< inputs.repository | lower >>/{TENANT}",
            "ref": {"tag": "<< inputs.tag >>"},
            "verify": cosign(subject, fleet.mirror),
            **trust(fleet),
        },
    }
