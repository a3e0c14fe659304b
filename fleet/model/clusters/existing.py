"""A cluster that somebody else made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fleet.model.clusters.source import Source


def _refuse_content(path: str) -> str:
    if "\n" in path:
        raise ValueError("give the path of a file, not its content; a kubeconfig in the configuration is a secret")
    return path


class ExistingCluster(Source):
    """A cluster that somebody else made."""

    kind: Literal["existing"]
    kubeconfig: Annotated[str, AfterValidator(_refuse_content)] | None = None
    """Path of a kubeconfig file, relative to the project."""
    kubeconfig_secret: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")] | None = None
    """Name of the stack's secret that holds the kubeconfig."""
    context: str | None = None
    """Context within the kubeconfig; by default its current one."""

    @model_validator(mode="after")
    def _name_one_kubeconfig(self) -> ExistingCluster:
        if (self.kubeconfig is None) == (self.kubeconfig_secret is None):
            raise ValueError("give exactly one of `kubeconfig` and `kubeconfigSecret`")
        return self
