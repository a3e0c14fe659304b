"""The node images of kind, each pinned by digest, by Kubernetes minor version. Read by `fleet.model.clusters.kind`.

A node image is built for a kind release, so this table moves with the release that `sandbox/parts/go.mod` pins. The
newest one is that release's default (`pkg/apis/config/defaults/image.go` of v0.33.0), 1.36 is the default of v0.32.0
in the same file; 1.35 and 1.34 are those that the release notes of v0.32.0 list.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NODE_IMAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1.37": "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
        "1.36": "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
        "1.35": "kindest/node:v1.35.5@sha256:ce977ae6d65918d0b58a5f8b5e940429c2ce42fa3a5619ec2bbc60b949c0ac95",
        "1.34": "kindest/node:v1.34.8@sha256:02722c2dedddcfc00febf5d27fbeb9b7b2c14294c82109ff4a85d89ac9ba3256",
    }
)
"""Newest first."""
NEWEST: Final = next(iter(NODE_IMAGES))
