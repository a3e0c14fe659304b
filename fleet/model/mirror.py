"""A registry inside, from which everything is pulled that others publish: names of what is there, and how to sign in.

`fleet.model.mirroring` rewrites a fleet by it. Left out on purpose: filling the mirror, which `python -m fleet images`
lists the content of, and what the owner publishes.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fleet.model.base import Certificates, Model, RegistryBase

HUB: Final = "docker.io"
HUB_ALIASES: Final = frozenset({"index.docker.io", "registry-1.docker.io"})
"""Other names of the Docker Hub; what it has is one content."""
PLACEHOLDER: Final = re.compile(r"<([a-z0-9.-]+(?::[0-9]+)?)>")
"""Stands for the copy of a registry, in values."""

Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:[0-9]+)?$")]


def _check_trusted_root(text: str) -> str:
    """source-controller takes the address of the log from it, though it asks nothing there for complete signatures."""
    try:
        root = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error}") from None
    logs = root.get("tlogs") if isinstance(root, dict) else None
    if not isinstance(logs, list) or not any(isinstance(log, dict) and log.get("baseUrl") for log in logs):
        raise ValueError("no `trusted_root.json` of Sigstore: it names no log under `tlogs`")
    return text


class Mirror(Model):
    """A registry inside, from which everything is pulled that others publish."""

    registry: RegistryBase
    """Registry, with an optional path; what is at `<host>/<path>` outside is at `<registry>/<host>/<path>`."""
    hosts: dict[Host, RegistryBase] = {}
    """Registries outside whose copy is elsewhere, by host: `<host>/<path>` is at `<this>/<path>`."""
    user: Annotated[str, Field(pattern=r"^[^\s':]+$")] | None = None
    """User that may pull from it; the password is the stack's secret `mirrorToken`. By default anybody may."""
    ca: Certificates | None = None
    """Certificates in PEM that Flux and its operator trust besides the public ones."""
    trusted_root: Annotated[str, AfterValidator(_check_trusted_root)] | None = None
    """Text of Sigstore's `trusted_root.json`; by default clusters ask Sigstore's services for it."""

    @model_validator(mode="after")
    def _know_the_hub(self) -> Mirror:
        if alias := next((host for host in self.hosts if host in HUB_ALIASES), None):
            raise ValueError(f"`{alias}` is the Docker Hub, write `{HUB}`")
        return self

    @property
    def servers(self) -> tuple[str, ...]:
        """Hosts of the mirror itself."""
        bases = (self.registry, *self.hosts.values())
        return tuple(dict.fromkeys(base.partition("/")[0] for base in bases))

    @property
    def has_trust(self) -> bool:
        """Whether clusters need something of ours to trust what they pull."""
        return bool(self.ca or self.trusted_root)

    def serves(self, address: str) -> bool:
        """Whether an address is on one of the mirror's hosts."""
        return address.removeprefix("oci://").partition("/")[0] in self.servers

    def place(self, host: str) -> str:
        """Where the copy of a registry is. A port would be the start of a tag."""
        return self.hosts.get(host, f"{self.registry}/{host.replace(':', '-')}")

    def address(self, reference: str) -> str:
        """Where the copy of an image or artifact is; with `oci://` if that was given."""
        scheme, path = _split(reference)
        host, _, rest = canonical(path).partition("/")
        return f"{scheme}{self.place(host)}/{rest}"

    def filled(self, value: Any) -> Any:
        """`value` with every `<host>` in its text replaced by where the copy of that registry is."""
        if isinstance(value, dict):
            return {key: self.filled(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.filled(entry) for entry in value]
        return PLACEHOLDER.sub(lambda found: self.place(found[1]), value) if isinstance(value, str) else value


def canonical(reference: str) -> str:
    """The full name of an image: without a host it is on the Docker Hub, there without a folder in `library`."""
    host, slash, path = reference.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = HUB, reference
    host = HUB if host in HUB_ALIASES else host
    return f"{host}/library/{path}" if host == HUB and "/" not in path else f"{host}/{path}"


def bare(reference: str) -> str:
    """The name of an image without tag and digest."""
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _split(reference: str) -> tuple[str, str]:
    scheme = "oci://" if reference.startswith("oci://") else ""
    return scheme, reference.removeprefix(scheme)
