"""Releases of Flux and the controllers in each, for who must know their images beforehand: a fleet with a mirror.

From `manifests/bases` of fluxcd/flux2 at each tag; a test compares it with what the operator knows. Without a mirror
any range of versions does, and the operator chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from fleet.model.flux import Controller

_VERSIONS: Final = {
    "2.9.4": ("1.9.4", "1.9.4", "1.6.3", "1.9.3", "1.2.4", "1.2.4", "2.2.3"),
    "2.9.3": ("1.9.3", "1.9.4", "1.6.3", "1.9.2", "1.2.3", "1.2.3", "2.2.2"),
    "2.9.2": ("1.9.3", "1.9.3", "1.6.2", "1.9.2", "1.2.3", "1.2.3", "2.2.2"),
    "2.9.1": ("1.9.2", "1.9.2", "1.6.2", "1.9.2", "1.2.2", "1.2.2", "2.2.2"),
    "2.9.0": ("1.9.1", "1.9.1", "1.6.1", "1.9.1", "1.2.1", "1.2.1", "2.2.1"),
}
"""Versions in the order of `Controller`, newest release first."""

RELEASES: Final[Mapping[str, Mapping[Controller, str]]] = MappingProxyType(
    {
        release: MappingProxyType(dict(zip(get_args(Controller), versions, strict=True)))
        for release, versions in _VERSIONS.items()
    }
)
"""Version of each controller, by release. None before 2.9, which cannot rewrite the hooks of charts."""

VARIANTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ghcr.io/fluxcd": "upstream-alpine",
        "ghcr.io/controlplaneio-fluxcd/alpine": "enterprise-alpine",
        "ghcr.io/controlplaneio-fluxcd/distroless": "enterprise-distroless",
        "ghcr.io/controlplaneio-fluxcd/distroless-fips": "enterprise-distroless-fips",
    }
)
"""Flavour by registry, which the operator cannot tell from the name of a mirror."""
