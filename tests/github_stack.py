"""The whole program of the stack that makes the repositories, for the unit tests: a fleet, what GitHub says, a run.

What GitHub says comes from `Oracle`, which stands in for the only place that asks before anything is made.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet import config, names
from fleet.github import preflight
from fleet.github.inventory import Inventory, LiveRepository, LiveTeam
from fleet.model import Fleet, credentials_of, repositories_of
from fleet.resources.github import observation
from sandbox.program import seam
from sandbox.program.registration import Answer, Registration
from tests.checkout import REPOSITORY, kubeconfig
from tests.recording import RecordingMonitor

STACK: Final = "makers"
GITHUB: Final = "github:index/"
TEAMS: Final = {
    "platform": {"role": "platform", "members": ["Ada", "Grace-H"]},
    "web": {"role": "tenant"},
    "data": {"role": "tenant"},
}
ENVIRONMENTS: Final = {"staging": {"tracks": "main"}, "production": {"tracks": "releases"}}
PEM: Final = "-----BEGIN RSA PRIVATE KEY-----\nof the tests\n-----END RSA PRIVATE KEY-----\n"
APPS: Final = {
    use: {"id": 100 + n, "installation": 200 + n}
    for n, use in enumerate(("github", "platform", "tenants", "update", "status"))
}
"""GitHub Apps by use."""


def value_of(key: str) -> str:
    """The value of a secret of the stack."""
    return f"{PEM}{key}" if key.endswith("AppKey") else f"secret-of-{key}-0123456789"


def fleet_file(**sections: Any) -> dict[str, Any]:
    """A fleet of the OCI design, with other sections where they are given."""
    base = {
        "design": "oci",
        "owner": "Acme-Corp",
        "github": {"stack": STACK},
        "bot": {"name": "Acme-Bot"},
        "teams": TEAMS,
        "environments": ENVIRONMENTS,
        "clusters": {"staging": {"environment": "staging"}, "production": {"environment": "production"}},
        "components": {"cert-manager": {}},
        "tenants": {"frontend": {"team": "web"}},
    }
    return base | sections


def git_file(**sections: Any) -> dict[str, Any]:
    """The same fleet in the Git design."""
    return fleet_file(**({"design": "git"} | sections))


def live_repository(**found: Any) -> LiveRepository:
    """A repository that others made, like a new one of GitHub's but for what is given."""
    usual: dict[str, Any] = {
        "visibility": "private",
        "archived": False,
        "administered": True,
        "default_branch": "main",
        "branches": frozenset({"main"}),
        "topics": frozenset(),
        "rulesets": {},
        "protections": frozenset(),
        "environments": frozenset(),
    }
    return LiveRepository(**(usual | found))


GOOD: Final = preflight.Answer(
    account="Organization",
    plan="team",
    scopes=None,
    expires=None,
    creates_repositories=True,
    creates_teams=True,
    inventory=Inventory(people=frozenset({"ada", "grace-h", "acme-bot"})),
    bot="acme-bot",
)
"""What GitHub says to an owner with a fine-grained token, before the first run."""


class Oracle:
    """Stands in for `preflight.ask`: gives `answer`, or raises it, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: preflight.Answer | Exception = GOOD
        self.asked: list[preflight.Question] = []

    def __call__(self, question: preflight.Question, progress: object) -> preflight.Answer:
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def finds(self, repositories: Mapping[str, LiveRepository], teams: Mapping[str, LiveTeam] | None = None) -> None:
        """Let there be repositories and teams already."""
        inventory = replace(GOOD.inventory, repositories=repositories, teams=teams or {})
        self.answer = replace(GOOD, inventory=inventory)


class GitHubMonitor(RecordingMonitor):
    """Answers as GitHub's provider does where the program looks at the answer.

    `held` is the state before the run: what has a name on GitHub, by URN.
    """

    def __init__(self, held: Mapping[str, str]) -> None:
        super().__init__()
        self.held = held
        self.invoked: list[tuple[str, Mapping[str, Any]]] = []
        self._numbers = itertools.count(1000)
        self._guard = threading.Lock()

    def invoke(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self.invoked.append((token, arguments))
        return {"outputs": {urn: {"type": "", "outputs": {"name": name}} for urn, name in self.held.items()}}

    def register(self, asked: Registration) -> Answer:
        answer = super().register(asked)
        kind = asked.type.rpartition(":")[2]
        if kind == "Team":
            with self._guard:
                number = str(next(self._numbers))
            return Answer(id=number, outputs={**answer.outputs, "slug": asked.inputs["name"].lower()})
        if kind == "Repository":
            name = asked.inputs["name"]
            added = {"nodeId": f"R_{name}", "repoId": len(name), "htmlUrl": f"https://github.com/Acme-Corp/{name}"}
            return Answer(id=name, outputs={**answer.outputs, **added})
        if kind == "Command":
            told = {"action": "seeded", "pull_request": None}
            return Answer(id=answer.id, outputs={**answer.outputs, "stdout": json.dumps(told)})
        return answer


@dataclass(frozen=True)
class Run:
    """What a run asked for, and the stack's outputs."""

    monitor: GitHubMonitor
    outputs: Mapping[str, Any]
    resources: Mapping[str, Registration]
    """By kind and name."""

    def one(self, kind: str, name: str) -> Registration:
        """By the class of the resource and its name."""
        return self.resources[f"{kind}::{name}"]

    def kinds(self, kind: str) -> dict[str, Registration]:
        """All of a class, by name."""
        return {key.partition("::")[2]: each for key, each in self.resources.items() if key.startswith(f"{kind}::")}

    def around(self, key: str) -> dict[str, Registration]:
        """What belongs to a repository's component, by kind and the rest of the name."""
        parent = self.resources[f"FleetRepository::{key}"].urn
        own = ((short(asked), asked) for asked in self.resources.values() if asked.parent == parent)
        return {label.replace(f"::{key}-", "::"): asked for label, asked in own}

    def before(self, *wanted: Registration) -> set[str]:
        """Kind and name of everything that must be there before these are made."""
        waiting, found = list(wanted), set[str]()
        by_urn = {each.urn: each for each in self.resources.values()}
        while waiting:
            for urn in waiting.pop().dependencies:
                asked = by_urn[urn]
                if (label := short(asked)) not in found:
                    found.add(label)
                    waiting.append(asked)
        return found


def short(asked: Registration) -> str:
    """Kind and name of a resource, without package and module."""
    return f"{asked.type.rpartition(':')[2]}::{asked.name}"


class GitHubStack:
    """The stack in a folder of the test's own."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.oracle = Oracle()
        self.declared: list[Registration] = []
        """By the latest run, also by one that has failed."""
        self._patch = patch
        patch.setattr(preflight, "ask", self.oracle)
        (root / "__main__.py").symlink_to(REPOSITORY / "__main__.py")
        self.file = fleet_file()

    def seed_with(self, files: Mapping[str, bytes]) -> None:
        """Let these be the content of every repository."""
        self._patch.setattr(observation, "trees", lambda fleet: {name: dict(files) for name in repositories_of(fleet)})

    @property
    def fleet(self) -> Fleet:
        (self.root / config.FLEET_FILE).write_text(yaml.safe_dump(self.file))
        return config.load_fleet(self.root / config.FLEET_FILE)

    def run(
        self,
        *,
        stack: str = STACK,
        environment: str = "staging",
        preview: bool = False,
        held: Mapping[str, str] | None = None,
    ) -> Run:
        """Run the program; `held` is the state before."""
        fleet = self.fleet
        used = credentials_of(fleet, environment, stack)
        secrets = {credential.key: value_of(credential.key) for credential in used}
        apps = {credential.name: APPS[credential.name] for credential in used if credential.auth == "app"}
        kubeconfigs = {f"{name}Kubeconfig": kubeconfig(name) for name in fleet.clusters_in(environment)}
        clusters = {
            name: {"kind": "existing", "kubeconfigSecret": f"{name}Kubeconfig"}
            for name in fleet.clusters_in(environment)
        }
        plain = {"environment": environment, "clusters": json.dumps(clusters)}
        plain |= {"githubApps": json.dumps(apps)} if apps else {}
        given = {f"{names.PROJECT}:{key}": value for key, value in (plain | secrets | kubeconfigs).items()}
        monitor = GitHubMonitor(held or {})
        self.declared = monitor.registrations
        outputs = seam.run(
            self.root / "__main__.py",
            project=names.PROJECT,
            stack=stack,
            config=given,
            secrets=[f"{names.PROJECT}:{key}" for key in (*secrets, *kubeconfigs)],
            monitor=monitor,
            preview=preview,
        )
        return Run(monitor, outputs, {short(asked): asked for asked in monitor.registrations})
