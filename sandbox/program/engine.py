"""Runs the sandbox's stack with the real Pulumi engine, on a backend of files within the sandbox's folder.

Called by `sandbox.up` where `pulumi` is on PATH. The project of this run lies in the sandbox's folder too and only
points at the program, so no file of the checkout is written and no other backend is touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet import names
from fleet.errors import Problem, ToolError
from fleet.manifests.dump import dump
from sandbox.cluster.home import Home, make_folder, write_file

STACK: Final = "sandbox"


def find_engine() -> str | None:
    """Path of the Pulumi CLI, None when there is none."""
    return shutil.which("pulumi")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The CLI, the checkout that holds the program, and the home that holds state and configuration."""

    program: str
    checkout: Path
    home: Home

    @property
    def folder(self) -> Path:
        return self.home.root / "pulumi"

    def up(self, config: Mapping[str, Any], confidential: Mapping[str, str]) -> None:
        """`pulumi up` without questions; raises ToolError when it fails, its own output tells why."""
        self._write_project(config)
        self._run("stack", "select", "--create", STACK, quiet=True)
        for key, value in confidential.items():
            self._run("config", "set", "--secret", "--stack", STACK, key, stdin=value, quiet=True)
        going_on = ("--yes", "--skip-preview", "--non-interactive", "--continue-on-error")
        self._run("up", *going_on, "--stack", STACK, "--suppress-outputs")

    def _write_project(self, config: Mapping[str, Any]) -> None:
        """The stack's file is written anew but for the encryption salt and the secrets under it."""
        make_folder(self.folder / "state")
        project = {
            "name": names.PROJECT,
            "main": str(self.checkout),
            "runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}},
            "options": {"refresh": "always"},
            "backend": {"url": f"file://{self.folder / 'state'}"},
        }
        write_file(self.folder / "Pulumi.yaml", dump(project))
        path = self.folder / f"Pulumi.{STACK}.yaml"
        write_file(path, dump({**self._salt(path), "config": dict(config)}))
        if not self._passphrase.exists():
            write_file(self._passphrase, secrets.token_urlsafe(32).encode())

    @property
    def _passphrase(self) -> Path:
        return self.folder / "passphrase"

    def _salt(self, path: Path) -> dict[str, Any]:
        import yaml

        known = yaml.safe_load(path.read_bytes()) if path.exists() else {}
        return {key: value for key, value in known.items() if key == "encryptionsalt"}

    def _run(self, *arguments: str, stdin: str | None = None, quiet: bool = False) -> None:
        result = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self._environment(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=quiet,
            text=True,
            check=False,
        )
        if result.returncode:
            said = (result.stderr or "").strip() if quiet else "see its output above"
            raise ToolError([Problem(f"`pulumi {arguments[0]}`", f"failed: {said}", "run `make up` again, it goes on")])

    def _environment(self) -> dict[str, str]:
        """Ours, but for Pulumi's settings, which could lead to another backend. Its home stays: plug-ins are there."""
        kept = {
            key: value for key, value in os.environ.items() if key == "PULUMI_HOME" or not key.startswith("PULUMI_")
        }
        return kept | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase), "PULUMI_SKIP_UPDATE_CHECK": "true"}
