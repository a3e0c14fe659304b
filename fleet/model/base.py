"""The base of every model class and the value types they share.

fleet.yaml uses Kubernetes' camelCase, Python its own snake_case; both spellings of a field are accepted here so
that tests can build a model with keywords, but only the file's by `fleet.model.parsing`. Unknown keys are faults,
never ignored.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
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

NOT_TEXT: Final = re.compile(r"y|n|yes|no|on|off|true|false|null|[0-9]+(e-?[0-9]+)?|0x[0-9a-f]+|0o[0-7]+|0b[01]+")
"""Labels that some YAML reader takes for something else; the operator and Flux fill names in as bare text."""


def _refuse_not_text(name: str) -> str:
    if NOT_TEXT.fullmatch(name):
        raise ValueError(f"YAML does not read `{name}` as text, choose another name")
    return name


DnsLabel = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63),
    AfterValidator(_refuse_not_text),
]
"""RFC 1123 label: what Kubernetes accepts as a namespace's name."""

DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]

GitHubOwner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9])*$", max_length=39)]


def _refuse_git_suffix(name: str) -> str:
    if name.lower().endswith(".git"):
        raise ValueError("GitHub refuses names that end with `.git`")
    return name


RepositoryName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]+(([._]|__|-+)[A-Za-z0-9]+)*$", max_length=100),
    AfterValidator(_refuse_git_suffix),
]
"""A GitHub repository whose name, in lower case, is also that of an OCI repository."""

OciUrl = Annotated[str, StringConstraints(pattern=r"^oci://[^\s/]+(/[^\s/]+)+$")]

LOCAL_CHARTS: Final = "./charts/"


def _refuse_unnamed(chart: str) -> str:
    """The name of a chart in the repository is that of its objects too."""
    if chart.startswith(LOCAL_CHARTS):
        name = chart.removeprefix(LOCAL_CHARTS)
        if len(name) > 63:
            raise ValueError("Kubernetes accepts at most 63 characters as a name")
        _refuse_not_text(name)
    return chart


Chart = Annotated[
    str,
    StringConstraints(pattern=r"^(oci://[^\s/]+(/[^\s/]+)+|\./charts/[a-z0-9]([-a-z0-9]*[a-z0-9])?)$"),
    AfterValidator(_refuse_unnamed),
]
"""A chart in an OCI registry, or one in the repository, below the folder of its component or tenant."""

_IMAGE: Final = r"^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"

ImageName = Annotated[str, StringConstraints(pattern=rf"{_IMAGE}$")]
"""Name of an image without tag and digest; a host is optional, as in a chart."""

ImageReference = Annotated[
    str,
    StringConstraints(pattern=rf"{_IMAGE}(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?$"),
]
"""An image as a pod names it; tag and digest are optional."""

SourcePrefix = Annotated[str, StringConstraints(pattern=r"^(oci|https)://\S+/$")]
"""Address prefix; the slash at the end keeps `oci://ghcr.io/acme` from admitting `oci://ghcr.io/acme-evil`."""

RegistryBase = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$")]
"""Registry host with an optional path, no scheme; lower case, as OCI registries demand."""

VersionRange = Annotated[str, StringConstraints(pattern=r"^[0-9xX*<>=~^v][0-9A-Za-z.*<>=~^|, +-]*$")]
"""A semver range as Flux reads it (`2.x`, `>=1.0.0 <2.0.0`)."""

Version = Annotated[str, StringConstraints(pattern=r"^v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$")]
"""One exact version, which is also a tag: without `+build`, as no OCI tag may contain a plus."""

Quantity = Annotated[
    str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$")
]
"""A Kubernetes quantity, not negative."""

Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$")]

VariableName = Annotated[str, StringConstraints(pattern=r"^[_A-Za-z][_A-Za-z0-9]*$")]
"""A name that Flux's post-build substitution accepts."""


def _refuse_line_breaks(value: str) -> str:
    if "\n" in value:
        raise ValueError("Flux drops line breaks from variables, give one line")
    return value


VariableValue = Annotated[
    str, StringConstraints(max_length=4096), Field(strict=True), AfterValidator(_refuse_line_breaks)
]

Certificates = Annotated[
    str,
    StringConstraints(pattern=r"^(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n*)+$"),
]
"""Certificates in PEM."""
