"""Environment `production` on two clusters of the sandbox at a time, each behind a gate, brought up as a stack is."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from fleet import config, names
from fleet.manifests.trees import trees
from fleet.resources import live
from fleet.resources.connection import connect, path_of
from sandbox import up
from sandbox.build import Parts
from sandbox.cluster import control
from sandbox.cluster.home import open_home
from sandbox.definitions import define_kinds
from sandbox.program.engine import STACK, Engine
from sandbox.sources.publish import publish
from tests.sandbox.checkouts import REPOSITORY, Checkout, taken
from tests.sandbox.gates import Gate

CLUSTERS: Final = ("prod-eu", "prod-us")
TOKEN: Final = f"{names.PROJECT}:registryToken"
Sources = Mapping[str, dict[str, Any]]

SHUT_AFTER_READING: Final = """\
import socket
from fleet.resources import live
from fleet.resources.connection import connect, path_of
read = live.read
def read_and_shut(kubeconfig):
    found = read(kubeconfig)
    if "127.0.0.1:{port}" in kubeconfig:
        with socket.create_connection(("127.0.0.1", {switch})) as connection:
            connection.recv(1)
    return found
live.read = read_and_shut
"""
"""In front of the program: once a cluster was read, its gate is shut, before anything is declared for it."""


def use_production(checkout: Checkout, sources: Sources | None = None, **values: Any) -> None:
    """The sandbox's stack, of environment `production` now, as a user would write it."""
    checkout.set_stack("production", sources or {name: taken(name) for name in CLUSTERS}, **values)


class Production:
    """What runs, and the stack that is brought up on it by the engine or without."""

    def __init__(self, checkout: Checkout, parts: Parts, gates: Mapping[str, Gate]) -> None:
        self.checkout = checkout
        self.gates = gates
        self._parts = parts
        self.sources: Sources = {
            name: {"kind": "existing", "kubeconfig": str(gate.kubeconfig(checkout.home.cluster(name), checkout.root))}
            for name, gate in gates.items()
        }
        """How the stack takes its clusters, as long as a test says nothing else."""
        self._given: dict[str, Any] = {}
        self.use()

    def reset(self) -> None:
        """As it was at first, but for values that were given."""
        shutil.copy(REPOSITORY / config.FLEET_FILE, self.checkout.root)
        for gate in self.gates.values():
            gate.open()
        self.use()

    def use(self, sources: Sources | None = None, **values: Any) -> None:
        """How the stack takes its clusters from now on, and values that stay; what is published follows fleet.yaml."""
        taken = sources or self.sources
        self._given |= values
        use_production(self.checkout, taken, **self._given)
        fleet, stack = config.read_files(self.checkout.root, STACK)
        plan, home = self.checkout.plan, self.checkout.home
        local = up._local(fleet, stack, plan)
        content = trees(local)
        publish(local, content, self._parts.flux_manifests, up._address(plan, "registry"), home.git)
        for name in CLUSTERS:
            with closing(up._api(self._place, name)) as api:
                define_kinds(api, content.values(), self._parts.crds)
        self._values = up._values(self._place, plan, local) | {f"{names.PROJECT}:clusters": taken}

    @property
    def _place(self) -> up.Place:
        return up.Place(checkout=self.checkout.root, home=self.checkout.home, cache=up.default_cache())

    @contextmanager
    def patched(self, text: str) -> Iterator[None]:
        """The program with something done in front of it."""
        entry = self.checkout.root / "__main__.py"
        original = entry.read_text()
        entry.write_text(text + original)
        try:
            yield
        finally:
            entry.write_text(original)

    @contextmanager
    def dying(self, name: str) -> Iterator[None]:
        """A cluster dies in this run once it was read."""
        gate, read = self.gates[name], live.read
        with gate.switch() as switch, self.patched(SHUT_AFTER_READING.format(port=gate.port, switch=switch)):
            try:
                yield
            finally:
                live.read = read  # without the engine, the program runs in this process

    # --- the two ways to run the program ------------------------------------------------------------------------------
    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """By the engine, as `make up` calls it."""
        engine = Engine(program=shutil.which("pulumi") or "", checkout=self.checkout.root, home=self.checkout.home)
        engine._write_project(self._values)
        engine._run("stack", "select", "--create", STACK, quiet=True)
        token = up._token(self.checkout.home, "registryToken")
        engine._run("config", "set", "--secret", "--stack", STACK, TOKEN, stdin=token, quiet=True)
        return self.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", "--suppress-outputs", *arguments)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The CLI on the stack as it was brought up last; stderr is with stdout."""
        folder = self.checkout.home.root / "pulumi"
        own = {
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(folder / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(REPOSITORY),
        }
        return subprocess.run(
            ["pulumi", *arguments, "--stack", STACK, "--non-interactive"],
            cwd=folder,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def state(self) -> dict[str, Any]:
        """Resources of the stack's state by URN; what a refresh writes is left out, and secrets, encrypted each time
        anew."""
        exported = json.loads(self.pulumi("stack", "export").stdout, object_hook=_without_ciphertext)
        kept = ("id", "inputs", "protect", "deletedWith")
        found = exported["deployment"].get("resources", [])
        return {each["urn"]: {key: each.get(key) for key in kept} for each in found}

    def apply(self) -> str:
        """Without the engine: each resource applied as it is registered. What was printed; raises FleetError."""
        shown = io.StringIO()
        confidential = {TOKEN: up._token(self.checkout.home, "registryToken")}
        up._apply(self._place, self.checkout.plan, self._values, confidential, Console(file=shown, width=200))
        return shown.getvalue()

    # --- what is on a cluster, past its gate --------------------------------------------------------------------------
    def objects(self, name: str) -> dict[str, Any]:
        """What the program makes in flux-system, one of each kind."""
        own = partial(path_of, namespace=names.FLUX_NAMESPACE)
        paths = {
            "Namespace": path_of("v1", "namespaces", names.FLUX_NAMESPACE),
            "Secret": own("v1", "secrets", names.REGISTRY_SECRET),
            "ConfigMap": own("v1", "configmaps", names.RUNTIME_INFO),
            "Deployment": own("apps/v1", "deployments", names.OPERATOR),
            "FluxInstance": own(names.OPERATOR_API, "fluxinstances", names.INSTANCE),
        }
        with connect(self.checkout.home.cluster(name).kubeconfig.read_text()) as api:
            found = {kind: api.find(path) for kind, path in paths.items()}
        return {kind: item for kind, item in found.items() if item}

    def uids(self) -> dict[str, dict[str, str]]:
        """Of these, by cluster and kind: another one would have been made anew."""
        found = {name: self.objects(name) for name in CLUSTERS}
        return {name: {kind: item["metadata"]["uid"] for kind, item in each.items()} for name, each in found.items()}

    def variables(self, name: str) -> dict[str, str]:
        return dict(self.objects(name)["ConfigMap"]["data"])

    def is_ready(self, name: str) -> bool:
        instance = self.objects(name).get("FluxInstance") or {}
        conditions = (instance.get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _without_ciphertext(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "ciphertext"}


@contextmanager
def running(folder: Path, parts: Parts) -> Iterator[Production]:
    """Both clusters without a fleet on them, gone afterwards."""
    checkout = Checkout(folder)
    use_production(checkout)
    home = open_home(checkout.root / ".sandbox")
    try:
        plan = control.start(home, parts, CLUSTERS)
        with ExitStack() as stack:
            gates = {name: stack.enter_context(Gate(plan.ports[f"{name}/api"])) for name in CLUSTERS}
            yield Production(checkout, parts, gates)
    finally:
        control.stop(home)
