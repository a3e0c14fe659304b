"""A cluster that somebody else made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fleet.model.base import VariableName
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
    kubeconfig_variable: VariableName | None = None
    """Name of the environment variable that holds the kubeconfig, or what kubectl reads from KUBECONFIG."""
    context: Annotated[str, Field(min_length=1)] | None = None
    """Context within the kubeconfig; by default its current one. Alone, one of kubectl's own kubeconfig."""

    @model_validator(mode="after")
    def _name_one_kubeconfig(self) -> ExistingCluster:
        given = [key for key in (self.kubeconfig, self.kubeconfig_secret, self.kubeconfig_variable) if key is not None]
        if len(given) > 1 or not (given or self.context):
            raise ValueError(
                "give one of `kubeconfig`, `kubeconfigSecret` and `kubeconfigVariable`, or a `context` of kubectl's own"
            )
        return self
