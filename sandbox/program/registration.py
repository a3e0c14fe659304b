"""One resource as the program declared it, and the answer to it, in plain data instead of protobuf.

Made by `seam` from the SDK's requests, read by `monitor` and by the recording monitor of the tests.
Left out on purpose: assets and archives, which no resource of the program takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc
from pulumi.runtime.proto import resource_pb2 as proto

UNKNOWN: Final = rpc.UNKNOWN
"""Stands in inputs and outputs for a value that is not known: in a preview, or because what makes it failed."""


@dataclass(frozen=True)
class Secret:
    """Marks a value of inputs or outputs as secret; never shows it."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the program declared it, with every option as it was sent to the engine."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    inputs: Mapping[str, Any]
    read_id: str = ""
    """Set for `.get`: the id of an object that is read and never written."""
    provider: str = ""
    """`<URN>::<id>` of the explicit provider."""
    providers: Mapping[str, str] = field(default_factory=dict)
    dependencies: frozenset[str] = frozenset()
    """URNs of `depends_on` and of all resources whose outputs are among the inputs."""
    property_dependencies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    protect: bool | None = None
    retain_on_delete: bool | None = None
    delete_before_replace: bool | None = None
    deleted_with: str = ""
    import_id: str = ""
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    aliases: tuple[Mapping[str, Any], ...] = ()
    custom_timeouts: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    @property
    def label(self) -> str:
        """How people are told about it: `type::name`, the end of the URN."""
        return f"{self.type}::{self.name}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a registration; a failed one leaves all its outputs unknown and the program goes on."""

    id: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False


def reveal(value: Any) -> Any:
    """`value` as plain data: every `Secret` in it replaced by what it holds."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def from_register(urn: str, request: proto.RegisterResourceRequest) -> Registration:
    """A declared resource or component; what was not set stays apart from what was set to false."""
    timeouts = request.customTimeouts if request.HasField("customTimeouts") else None
    return Registration(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        custom=request.custom,
        inputs=decode(request.object),
        provider=request.provider,
        providers=dict(request.providers),
        dependencies=frozenset(request.dependencies),
        property_dependencies={key: frozenset(value.urns) for key, value in request.propertyDependencies.items()},
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        deleted_with=request.deletedWith,
        import_id=request.importId,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=tuple(MessageToDict(alias) for alias in request.aliases),
        custom_timeouts=MessageToDict(timeouts) if timeouts else {},
        version=request.version,
    )


def from_read(urn: str, request: proto.ReadResourceRequest) -> Registration:
    """A resource that the program reads with `.get`."""
    return Registration(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        custom=True,
        inputs=decode(request.properties),
        read_id=request.id,
        provider=request.provider,
        dependencies=frozenset(request.dependencies),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        version=request.version,
    )


def decode(struct: Struct) -> dict[str, Any]:
    """Wire form → plain data; secrets stay where they are, while the SDK's own decoder moves them up to the top."""
    return {key: _plain(value) for key, value in MessageToDict(struct).items()}


def _plain(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return Secret(_plain(value["value"]))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def encode(values: Mapping[str, Any]) -> Struct:
    """Plain data → wire form, the inverse of `decode`."""
    struct = Struct()
    struct.update({key: _wire(value) for key, value in values.items()})
    return struct


def _wire(value: Any) -> Any:
    if isinstance(value, Secret):
        return rpc.wrap_rpc_secret(_wire(value.value))
    if isinstance(value, Mapping):
        return {key: _wire(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_wire(item) for item in value]
    return value
