"""What is delivered: platform components (cluster admin) and tenants (namespace admin), and the charts they release.

Components live in the infra repository, tenants in the apps repository; each is one OCI artifact and one input of a
ResourceSet, in a namespace of its own name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from fleet.model.base import (
    LOCAL_CHARTS,
    Chart,
    DnsLabel,
    ImageReference,
    Manifest,
    Model,
    Quantity,
    RepositoryName,
    Version,
    VersionRange,
)
from fleet.model.decryption import Decryption

PodSecurity = Literal["privileged", "baseline", "restricted"]


def _refuse_kustomization(name: str) -> str:
    if name == "kustomization":
        raise ValueError("kustomize's own file has that name, choose another one")
    return name


FileName = Annotated[DnsLabel, AfterValidator(_refuse_kustomization)]
"""Names a file beside kustomization.yaml."""


def _refuse_long(name: str) -> str:
    if len(name) > 53:
        raise ValueError("Helm accepts at most 53 characters as the name of a release")
    return name


ReleaseName = Annotated[FileName, AfterValidator(_refuse_long)]


def _require_identity(manifest: Manifest) -> Manifest:
    metadata: Any = manifest.get("metadata")
    named = isinstance(metadata, dict) and metadata.get("name")
    if not (manifest.get("apiVersion") and manifest.get("kind") and named):
        raise ValueError("an object needs `apiVersion`, `kind` and `metadata.name`")
    return manifest


Object = Annotated[Manifest, AfterValidator(_require_identity)]
"""A whole Kubernetes object."""


class Release(Model):
    """A Helm release."""

    chart: Chart
    """The chart: `oci://<registry>/<path>/<name>`, or in the git design `./charts/<name>` in the repository."""
    version: Version
    """Exact chart version; image automation moves it. Of a chart in the repository, the one that it starts with."""
    updates: VersionRange = ">=0.0.0"
    """Versions that image automation may take."""
    values: Manifest = {}
    """Values in every environment."""
    environments: dict[DnsLabel, Manifest] = {}
    """Values added in one environment."""
    drift_detection: bool = True
    """Whether helm-controller undoes changes made in the cluster."""
    drift_ignore: tuple[Manifest, ...] = ()
    """Changes made in the cluster that stay: `paths` and `target` as in a HelmRelease."""
    test: bool = False
    """Whether the chart's tests run after each install and upgrade, and their failure fails the release."""
    images: tuple[ImageReference, ...] | None = None
    """Images that its pods pull, as the chart writes them; a mirror needs them all, `[]` says that there are none."""
    mirror_values: Manifest = {}
    """Values added where there is a mirror, for images that no pod template names; `<quay.io>` becomes its copy."""

    @property
    def is_local(self) -> bool:
        """Whether the chart lies in the repository, so that a commit is its release."""
        return self.chart.startswith(LOCAL_CHARTS)


class Config(Model):
    """An object as it is, and what environments change in it."""

    base: Object
    """The object in every environment."""
    environments: dict[DnsLabel, Manifest] = {}
    """Strategic merge added in one environment."""


class TextFiles(Model):
    """Files that become a ConfigMap, as they are: nothing in them is filled in by Flux."""

    files: dict[Annotated[str, Field(pattern=r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$", max_length=253)], str]
    """Text by file name."""
    labels: dict[str, str] = {}
    """Labels of the ConfigMap."""


class Workload(Model):
    """What components and tenants have in common."""

    catalog: str | None = None
    """Entry of the built-in catalog to start from; by default the one of the same name, if there is one."""
    releases: dict[ReleaseName, Release] = {}
    """Helm releases by name."""
    depends_on: tuple[DnsLabel, ...] = ()
    """Components that must have been ready once before this is applied."""
    pod_security: PodSecurity = "baseline"
    """Pod security standard that the namespace enforces."""
    environments: tuple[DnsLabel, ...] | None = None
    """Environments that get it; by default all."""
    decryption: Decryption | None = None
    """How its files that SOPS encrypted are opened; without it, it has none."""


class Component(Workload):
    """A platform add-on, reconciled as cluster admin before its tenants."""

    configs: dict[FileName, Config] = {}
    """Custom resources by file name, applied after the releases."""
    open_ports: tuple[Annotated[int, Field(gt=0, lt=65536)], ...] = ()
    """Ports of its pods that may be reached from everywhere: webhooks, which the API server calls, and an ingress.
    All others may be reached from platform components only."""
    config_maps: dict[FileName, TextFiles] = {}
    """ConfigMaps by name, applied with the custom resources."""


class Quota(Model):
    """Upper bounds of a tenant's namespace, as Kubernetes quantities."""

    cpu: Quantity = "8"
    """Sum of CPU requests."""
    memory: Quantity = "16Gi"
    """Sum of memory requests."""
    pods: Annotated[int, Field(gt=0)] = 50
    """Number of pods."""


class Tenant(Workload):
    """An application namespace of a team, reconciled as namespace admin."""

    team: DnsLabel
    """The team that owns it."""
    repository: RepositoryName | None = None
    """A repository of its own; by default it shares `repositories.apps` with the others."""
    objects: dict[FileName, Config] = {}
    """Objects by file name, applied with the releases."""
    source: RepositoryName | None = None
    """Repository of the application's source code and Dockerfile, which its team alone works in."""
    quota: Quota = Quota()
    """Upper bounds of the namespace."""
