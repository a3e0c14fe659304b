"""Programs for tests: an entry file with a given body of `main`, run behind the seam."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.program import seam

HEAD = """
import pulumi
from pulumi import ResourceOptions as Options
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret
from pulumi_kubernetes.helm.v3 import Release
"""
URN = "urn:pulumi:sandbox::fleet::"


class Program:
    """An entry file with the given body of `main`."""

    def __init__(self, folder: Path, body: str) -> None:
        folder.mkdir(exist_ok=True)
        self.entry = folder / "__main__.py"
        indented = textwrap.indent(textwrap.dedent(body), "    ")
        self.entry.write_text(f"{HEAD}\nasync def main():\n{indented}\npulumi.run(main)\n")

    def run(self, monitor: seam.Monitor, **settings: Any) -> Mapping[str, Any]:
        defaults = {"project": "fleet", "stack": "sandbox", "config": {}}
        return seam.run(self.entry, monitor=monitor, **{**defaults, **settings})
