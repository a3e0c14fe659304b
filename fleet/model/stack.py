"""Where a stack runs: which environment it owns and how its clusters are made. Comes from `Pulumi.<stack>.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fleet.model.base import DnsLabel, Model, OciUrl, RegistryBase, VariableName, VariableValue, Version
from fleet.model.clusters import ClusterSource
from fleet.model.github import AppInstallation, Use


def stack_file(name: str) -> str:
    """Where Pulumi keeps a stack's configuration, in the project's folder."""
    return f"Pulumi.{name}.yaml"


class Stack(Model):
    """The plain part of a stack's configuration; secrets are read one by one and never enter a model."""

    environment: DnsLabel
    """The environment of fleet.yaml that this stack owns."""
    clusters: dict[DnsLabel, ClusterSource]
    """How each cluster of the environment is made."""
    operator_version: Version | None = None
    """Chart version that replaces `operator.version` of fleet.yaml for the first install in this stack."""
    operator_chart: str | None = None
    """Address that replaces `operator.chart` of fleet.yaml for the first install in this stack, or a path."""
    github_apps: dict[Use, AppInstallation] = {}
    """GitHub Apps by use, in an environment with `auth: app`; the private key of each is the secret `<use>AppKey`."""
    git_url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]+)?$")] | None = None
    """Address that replaces `github.url` of fleet.yaml in this stack, for Git and for GitHub's API."""
    registry: RegistryBase | None = None
    """Registry that replaces the one of fleet.yaml in this stack, e.g. a mirror."""
    manifests_artifact: OciUrl | None = None
    """Artifact that replaces `flux.artifact` in this stack."""
    runtime_info: dict[VariableName, VariableValue] = {}
    """Variables for the manifests that only this stack knows."""
    ready_timeout: Annotated[int, Field(gt=0, le=3600)] = 600
    """Seconds that a FluxInstance may take to become ready."""
