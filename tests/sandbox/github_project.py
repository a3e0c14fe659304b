"""A Pulumi project that makes nothing but the repositories of a fleet: the real engine on the double of GitHub."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from fleet import config
from fleet.model import credentials_of
from tests.checkout import kubeconfig
from tests.github_double import TOKEN, Call, GitHubDouble
from tests.github_double.organization import Settings
from tests.github_stack import STACK

REPOSITORY: Final = Path(__file__).parents[2]
OWNER: Final = "Acme-Corp"
PATIENCE: Final = 300
"""Seconds for one command; a bound against hanging, not an expectation."""
PROGRAM: Final = '''
from pathlib import Path

import pulumi

from fleet import config
from fleet.errors import FleetError
from fleet.resources import github


async def main():
    """The program without its clusters."""
    try:
        settings = config.load(Path(__file__).parent)
        found = await github.observe(settings)
    except FleetError as error:
        raise pulumi.RunError(str(error)) from error
    made = github.GitHub("github", settings=settings, found=found).repositories
    return {name: {"url": one.url, "content": one.content} for name, one in made.items()}


pulumi.run(main)
'''


class Project:
    """The stack in a folder of its own, with the state in it; `file` is its fleet.yaml."""

    def __init__(self, root: Path, github: GitHubDouble, file: Mapping[str, Any]) -> None:
        self.root, self.github = root, github
        self.code, self.output = 0, ""
        self.made: list[Call] = []
        """What the latest command asked of GitHub."""
        (root / "state").mkdir(parents=True)
        (root / "__main__.py").write_text(PROGRAM)
        runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
        project = {"name": "fleet", "runtime": runtime, "options": {"refresh": "always"}}
        (root / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        github.organization.owners, github.organization.tokens = {"Ada"}, {TOKEN: "Acme-Bot"}
        self.write(file)
        self.run("stack", "init", STACK)

    def write(self, file: Mapping[str, Any]) -> None:
        """Another fleet.yaml."""
        self.file = dict(file)
        (self.root / config.FLEET_FILE).write_text(yaml.safe_dump(self.file, sort_keys=False))

    def configure(self, apps: Mapping[str, Any] | None = None, **secrets: str) -> None:
        """What the stack's file says, with a value for each secret that it needs; GitHub is the double."""
        fleet = config.load_fleet(self.root / config.FLEET_FILE)
        clusters = {
            name: {"kind": "existing", "kubeconfigSecret": "kubeconfig"} for name in fleet.clusters_in("staging")
        }
        plain: dict[str, Any] = {"environment": "staging", "clusters": clusters, "gitUrl": self.github.url}
        values = {f"fleet:{key}": value for key, value in (plain | ({"githubApps": apps} if apps else {})).items()}
        path = self.root / f"Pulumi.{STACK}.yaml"
        salt = {k: v for k, v in (yaml.safe_load(path.read_text()) if path.exists() else {}).items() if k != "config"}
        path.write_text(yaml.safe_dump({**salt, "config": {**values, "pulumi:disable-default-providers": ["*"]}}))
        needed = {credential.key: TOKEN for credential in credentials_of(fleet, "staging", STACK)}
        given = {**needed, "kubeconfig": kubeconfig("staging")} | secrets
        self.run("config", "set-all", *(f"--secret={key}={value}" for key, value in given.items()))
        assert self.code == 0, self.output

    # --- commands ----------------------------------------------------------------------------------------------------
    def run(self, *arguments: str) -> str:
        """The CLI; what it printed."""
        environment = os.environ | {
            "PULUMI_BACKEND_URL": f"file://{self.root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(REPOSITORY),
        }
        chosen = () if arguments[:2] == ("stack", "init") else ("--stack", STACK)
        command = [shutil.which("pulumi") or "pulumi", *arguments, *chosen, "--non-interactive"]
        before = len(self.github.calls)
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        self.code, self.output = done.returncode, done.stdout + done.stderr
        self.made = self.github.calls[before:]
        return self.output

    def up(self, *arguments: str) -> dict[str, int]:
        """Resources by what became of them; fails the test unless `up` succeeds."""
        self.run("up", "--yes", "--skip-preview", *arguments)
        assert self.code == 0, self.output
        return self.counted

    @property
    def counted(self) -> dict[str, int]:
        """The summary of the latest command: `{"created": 3}`."""
        summary = self.output.rpartition("Resources:")[2]
        return {word: int(number) for number, word in re.findall(r"(\d+) (?:to )?([a-z]+)$", summary, re.MULTILINE)}

    def forget(self) -> None:
        """Lose the state."""
        exported = json.loads(self.run("stack", "export"))
        exported["deployment"]["resources"] = []
        path = self.root / "empty.json"
        path.write_text(json.dumps(exported))
        self.run("stack", "import", "--file", str(path))
        assert self.code == 0, self.output

    # --- what is on GitHub -------------------------------------------------------------------------------------------
    def settings(self, name: str) -> Settings:
        return self.github.organization.settings_of(self.github.repository(OWNER, name))

    def picture(self) -> dict[str, Any]:
        """Everything on GitHub, without numbers, times and encrypted values."""
        return copy.deepcopy({"repositories": dict(self._repositories()), "teams": dict(self._teams())})

    def _repositories(self) -> Iterator[tuple[str, Any]]:
        for repository in self.github.repositories.values():
            settings = self.github.organization.settings_of(repository)
            rulesets = [json.dumps(self._named(each), sort_keys=True) for each in settings.rulesets.values()]
            environments = {
                name: (each.rules, sorted(map(str, each.policies.values())), sorted(each.secrets), each.variables)
                for name, each in settings.environments.items()
            }
            yield (
                repository.name,
                {
                    "settings": settings.values,
                    "seen": (settings.visibility, settings.topics),
                    "workflow": settings.workflow,
                    "rulesets": sorted(rulesets),
                    "rules": [*settings.rules.values()],
                    "environments": environments,
                    "refs": sorted(repository.git.refs),
                },
            )

    def _named(self, ruleset: Mapping[str, Any]) -> dict[str, Any]:
        """Teams by name, and without the repository's."""
        slugs = {team.id: team.slug for team in self.github.organization.teams.values()}
        actors = [{**actor, "actor_id": slugs.get(actor.get("actor_id"))} for actor in ruleset["bypass_actors"]]
        return {**ruleset, "bypass_actors": sorted(actors, key=str), "source": ""}

    def _teams(self) -> Iterator[tuple[str, Any]]:
        names = {repository.id: repository.name for repository in self.github.repositories.values()}
        for team in self.github.organization.teams.values():
            access = {names[number]: permission for number, permission in team.access.items()}
            yield team.slug, (team.description, team.privacy, team.members, access)
