"""A cluster in local containers, made with the kind CLI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet.model.clusters.source import Source


class KindCluster(Source):
    """A cluster in local containers, made with the kind CLI."""

    kind: Literal["kind"]
    node_image: Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")] | None = None
    """Node image, pinned by digest; by default the one of the kind release."""
