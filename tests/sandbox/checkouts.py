"""A checkout of the project in a folder of the test's own, driven as a user drives it: by its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from fleet import names
from fleet.config import load_fleet
from fleet.model import Fleet, repositories_of
from sandbox.cluster.control import Status, status
from sandbox.cluster.home import Home
from sandbox.cluster.plan import Plan, read_plan
from sandbox.observe import KINDS
from sandbox.program.api import Api, Object
from sandbox.program.engine import STACK

REPOSITORY: Final = Path(__file__).parents[2]
FILES: Final = ("__main__.py", "fleet.yaml", "Pulumi.sandbox.yaml")
GIT: Final = {"design": "git"}
"""The word in fleet.yaml that makes the default fleet one of the git design."""
PATIENCE: Final = 600
"""Seconds for one command; a bound against hanging, not an expectation."""


class Checkout:
    """The project's files at `root`; the code is the repository's."""

    def __init__(self, root: Path, *, path: str | None = None) -> None:
        self.root = root
        self._path = os.environ["PATH"] if path is None else path
        root.mkdir(exist_ok=True)
        for name in FILES:
            shutil.copy(REPOSITORY / name, root)

    @property
    def home(self) -> Home:
        return Home(root=self.root / ".sandbox")

    def start(self, verb: str) -> subprocess.Popen[str]:
        """`make VERB`, without waiting for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "sandbox", verb],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PATH": self._path, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, verb: str) -> tuple[int, str]:
        """Exit status and everything printed by `make VERB`."""
        with self.start(verb) as process:
            output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output

    def up(self) -> str:
        """What `make up` prints when it succeeds."""
        code, output = self.run("up")
        assert code == 0, output
        return output

    def edit(self, **sections: Any) -> None:
        """Merges entries into sections of fleet.yaml; an entry that is None is taken out, plain text is replaced."""
        file = self.root / "fleet.yaml"
        fleet = yaml.safe_load(file.read_text())
        for section, entries in sections.items():
            kept = fleet[section] | entries if isinstance(entries, dict) else entries
            fleet[section] = kept if isinstance(kept, str) else {k: v for k, v in kept.items() if v is not None}
        file.write_text(yaml.safe_dump(fleet, sort_keys=False))

    def set_stack(self, environment: str, clusters: Mapping[str, Mapping[str, Any]], **values: Any) -> None:
        """Writes the sandbox's stack as a user would."""
        found = {"environment": environment, "clusters": dict(clusters), **values}
        content = {"config": {f"{names.PROJECT}:{key}": value for key, value in found.items()}}
        (self.root / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump(content))

    @property
    def fleet(self) -> Fleet:
        return load_fleet(self.root / "fleet.yaml")

    def counts(self) -> list[str]:
        """The end of the row that the table shows for `staging` when everything there is ready."""
        fleet = self.fleet
        components = [w for w in fleet.components.values() if "staging" in fleet.overlays_of(w)]
        tenants = [w for w in fleet.tenants.values() if "staging" in fleet.overlays_of(w)]
        automated = [r for r in repositories_of(fleet).values() if r.automated and fleet.automates("staging")]
        kustomizations = 2 + 2 * len(components) + len(tenants) + len(automated)  # 2: the fleet's own, and `tenants`
        releases = 1 + sum(len(w.releases) for w in (*components, *tenants))  # 1: the operator's
        ready = (len(components), len(tenants), kustomizations, releases)
        return [*(f"{count}/{count}" for count in ready), "yes"]

    # --- what runs ---------------------------------------------------------------------------------------------------
    @property
    def plan(self) -> Plan:
        plan = read_plan(self.home)
        assert plan is not None, "the sandbox was never started"
        return plan

    @property
    def status(self) -> Status:
        return status(self.home)

    def pid(self, process: str) -> int:
        found = next(p.pid for p in self.status.processes if p.name == process)
        assert found is not None, f"{process} does not run"
        return found

    def api(self) -> Api:
        return Api(self.home.cluster("staging").kubeconfig.read_text())

    def objects(self) -> Mapping[str, Object]:
        """Every Flux object by kind, namespace and name."""
        api = self.api()
        found = {
            f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}": item
            for version, kind, plural in KINDS
            for item in api.list_all(version, plural)
        }
        api.close()
        return found

    def namespaces(self) -> set[str]:
        api = self.api()
        found = {item["metadata"]["name"] for item in api.list_all("v1", "namespaces")}
        api.close()
        return found


@contextmanager
def brought_up(root: Path, prepare: Callable[[Checkout], None] = lambda _: None) -> Iterator[Checkout]:
    """A fleet that is up, without the Pulumi CLI wherever the tests run; gone afterwards."""
    checkout = Checkout(root, path=path_without_engine())
    prepare(checkout)
    try:
        checkout.up()
        yield checkout
    finally:
        checkout.run("down")


def taken(cluster: str) -> dict[str, str]:
    """A cluster of the sandbox, as a stack takes one that exists."""
    return {"kind": "existing", "kubeconfig": f".sandbox/clusters/{cluster}/credentials/admin.kubeconfig"}


def path_without_engine() -> str:
    """PATH as where the Pulumi CLI is not installed."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not (Path(folder) / "pulumi").exists())


def row(output: str, cluster: str = "staging") -> list[str]:
    """The cells of the table's row for a cluster."""
    return next(line.split() for line in output.splitlines() if line.startswith(f"{cluster} "))


def pids(checkout: Checkout) -> list[int]:
    """Of every process of the sandbox but the supervisor."""
    return [process.pid for process in checkout.status.processes if process.pid]
