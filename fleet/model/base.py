"""The base of every model class and the value types they share.

fleet.yaml uses Kubernetes' camelCase, Python its own snake_case; both spellings of a field are accepted here so
that tests can build a model with keywords. Unknown keys are faults, never ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Frozen, closed, camelCase outside."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )


Manifest = dict[str, Any]
"""A Kubernetes object or a part of one, as plain data."""

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""RFC 1123 label: what Kubernetes accepts as a namespace's name."""

DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]

GitHubOwner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9])*$", max_length=39)]

RepositoryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]

OciUrl = Annotated[str, StringConstraints(pattern=r"^oci://[^\s/]+/\S+$")]

SourcePrefix = Annotated[str, StringConstraints(pattern=r"^(oci|https)://\S+/$")]
"""Address prefix; the slash at the end keeps `oci://ghcr.io/acme` from admitting `oci://ghcr.io/acme-evil`."""

RegistryBase = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$")]
"""Registry host with an optional path, no scheme; lower case, as OCI registries demand."""

VersionRange = Annotated[str, StringConstraints(pattern=r"^[0-9xX*<>=~^v][0-9A-Za-z.*<>=~^|, +-]*$")]
"""A semver range as Flux reads it (`2.x`, `>=1.0.0 <2.0.0`)."""

Version = Annotated[str, StringConstraints(pattern=r"^v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$")]
"""One exact version."""

Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$")]

VariableName = Annotated[str, StringConstraints(pattern=r"^[_A-Za-z][_A-Za-z0-9]*$")]
"""A name that Flux's post-build substitution accepts."""

VariableValue = Annotated[str, StringConstraints(max_length=4096), Field(strict=True)]
