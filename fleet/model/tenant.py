"""What is delivered: platform components (cluster admin) and tenants (namespace admin), and the charts they release.

Components live in the infra repository, tenants in the apps repository; each is one OCI artifact and one input of a
ResourceSet, in a namespace of its own name.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.base import DnsLabel, Manifest, Model, OciUrl, Version, VersionRange

PodSecurity = Literal["privileged", "baseline", "restricted"]


class Release(Model):
    """A Helm release of a chart in an OCI registry."""

    chart: OciUrl
    """The chart's address, with its name as last element."""
    version: Version
    """Exact chart version; image automation moves it."""
    updates: VersionRange = ">=0.0.0"
    """Versions that image automation may take."""
    values: Manifest = {}
    """Values in every environment."""
    environments: dict[DnsLabel, Manifest] = {}
    """Values added in one environment."""
    drift_detection: bool = True
    """Whether helm-controller undoes changes made in the cluster."""


class Config(Model):
    """A custom resource that is applied once the releases are ready."""

    base: Manifest
    """The object in every environment."""
    environments: dict[DnsLabel, Manifest] = {}
    """Strategic merge added in one environment."""


class Workload(Model):
    """What components and tenants have in common."""

    catalog: str | None = None
    """Entry of the built-in catalog to start from; by default the one of the same name, if there is one."""
    releases: dict[DnsLabel, Release] = {}
    """Helm releases by name."""
    depends_on: tuple[DnsLabel, ...] = ()
    """Components that must have been ready once before this is applied."""
    pod_security: PodSecurity = "baseline"
    """Pod security standard that the namespace enforces."""


class Component(Workload):
    """A platform add-on, reconciled as cluster admin before its tenants."""

    configs: dict[DnsLabel, Config] = {}
    """Custom resources by file name, applied after the releases."""


class Quota(Model):
    """Upper bounds of a tenant's namespace, as Kubernetes quantities."""

    cpu: str = "8"
    """Sum of CPU requests."""
    memory: str = "16Gi"
    """Sum of memory requests."""
    pods: Annotated[int, Field(gt=0)] = 50
    """Number of pods."""


class Tenant(Workload):
    """An application namespace of a team, reconciled as namespace admin."""

    team: DnsLabel
    """The team that owns it."""
    quota: Quota = Quota()
    """Upper bounds of the namespace."""
