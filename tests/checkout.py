"""The whole program of a stack, run through the real entry file with the real settings, for the unit tests.

What is found on the clusters comes from `tests/reader.py`, or from a server on loopback (`tests/kubernetes_api.py`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from fleet import config, names
from sandbox.program import seam
from sandbox.program.registration import Registration
from tests.recording import RecordingMonitor

REPOSITORY: Final = Path(__file__).parent.parent
STACKS: Final = {"sandbox": ["staging"], "staging": ["staging"], "production": ["prod-eu", "prod-us"]}
"""Every stack file of the repository, and the clusters that it brings up."""
KIND: Final = "command:local:Command"
REGISTRY_TOKEN: Final = "ghp-of-the-tests-0123456789"  # noqa: S105
ORDER: Final = (
    ["namespace"],
    ["operator"],
    ["secret", "runtime"],
    ["policies", "infra", "apps"],
    ["instance"],
)
"""Words for the objects of a cluster; each stage waits for all earlier ones."""
OBJECTS: Final = {
    "namespace": ("kubernetes:core/v1:Namespace", "flux-system"),
    "operator": ("kubernetes:helm.sh/v3:Release", "flux-operator"),
    "secret": ("kubernetes:core/v1:Secret", "ghcr-auth"),
    "runtime": ("kubernetes:core/v1:ConfigMap", "flux-runtime-info"),
    "policies": ("kubernetes:fluxcd.controlplane.io/v1:ResourceSet", "resourceset-policies"),
    "infra": ("kubernetes:fluxcd.controlplane.io/v1:ResourceSet", "resourceset-infra"),
    "apps": ("kubernetes:fluxcd.controlplane.io/v1:ResourceSet", "resourceset-apps"),
    "instance": ("kubernetes:fluxcd.controlplane.io/v1:FluxInstance", "fluxinstance-flux"),
}
"""Type and name, without the cluster's, of the object that each word stands for."""


def kubeconfig_token(cluster: str) -> str:
    return f"bearer-of-{cluster}-0123456789"


def kubeconfig(cluster: str, server: str = "http://127.0.0.1:1") -> str:
    """A kubeconfig as clusters give it; by default nothing listens at its address."""
    document = {
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": {"server": server}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "users": [{"name": cluster, "user": {"token": kubeconfig_token(cluster)}}],
    }
    return yaml.safe_dump(document)


def label(cluster: str, word: str) -> str:
    """The label of a cluster's object, by its word in `OBJECTS`."""
    type_, name = OBJECTS[word]
    return f"{type_}::{cluster}-{name}"


def label_of(urn: str) -> str:
    """The label of the resource that has this URN: its own type, without its parents', and its name."""
    _, _, types, name = urn.split("::")
    return f"{types.rpartition('$')[2]}::{name}"


@dataclass(frozen=True)
class Run:
    """What a run of the program asked for, and the stack's outputs."""

    monitor: RecordingMonitor
    outputs: Mapping[str, Any]

    @property
    def resources(self) -> dict[str, Registration]:
        """By label, `type::name`."""
        return {asked.label: asked for asked in self.monitor.registrations}

    def of(self, cluster: str, word: str) -> Registration:
        return self.resources[label(cluster, word)]

    def annotations(self, cluster: str, word: str) -> dict[str, str]:
        """Those of Pulumi: they tell its provider what to do."""
        found = self.of(cluster, word).inputs["metadata"].get("annotations", {})
        return {key: value for key, value in found.items() if key.startswith("pulumi.com/")}

    def before(self, wanted: str) -> set[str]:
        """Labels of everything that must be there before the resource of that label is made."""
        direct = {label_of(urn) for urn in self.resources[wanted].dependencies}
        return direct.union(*(self.before(found) for found in direct))


class Checkout:
    """A checkout in a folder of the test's own: the files are the repository's, as long as a test changes none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("__main__.py", config.FLEET_FILE, *(f"Pulumi.{stack}.yaml" for stack in STACKS)):
            (root / name).symlink_to(REPOSITORY / name)
        self.servers: dict[str, str] = {}
        """Address of each cluster's API server, where one listens."""

    def change_fleet(self, **sections: Any) -> None:
        """Give fleet.yaml other sections; the repository's stays as it is."""
        file = self.root / config.FLEET_FILE
        changed = yaml.safe_load(file.read_text()) | sections
        file.unlink()
        file.write_text(yaml.safe_dump(changed))

    def kubeconfig(self, cluster: str) -> str:
        return kubeconfig(cluster, **({"server": self.servers[cluster]} if cluster in self.servers else {}))

    def run(
        self,
        stack: str,
        *,
        preview: bool = False,
        kind_exists: bool | None = None,
        without: Collection[str] = (),
        monitor: RecordingMonitor | None = None,
        **changes: Any,
    ) -> Run:
        """Run the program as the stack's file says, with single keys changed (`readyTimeout=5`).

        A kind cluster exists once `up` has made it; `without` names keys that are not set.
        """
        values = config.read_stack_values(self.root, stack) | {_full(key): v for key, v in changes.items()}
        secrets = {_full(config.REGISTRY_TOKEN): REGISTRY_TOKEN}
        for name, spec in values["fleet:clusters"].items():
            if path := spec.get("kubeconfig"):
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                (self.root / path).write_text(self.kubeconfig(name))
            if key := spec.get("kubeconfigSecret"):
                secrets[_full(key)] = self.kubeconfig(name)
        given = {key: v if isinstance(v, str) else json.dumps(v) for key, v in (values | secrets).items()}
        made = not preview if kind_exists is None else kind_exists
        monitor = monitor or RecordingMonitor(outputs={KIND: {"stdout": self.kubeconfig("staging")}} if made else {})
        outputs = seam.run(
            self.root / "__main__.py",
            project=names.PROJECT,
            stack=stack,
            config={key: value for key, value in given.items() if key not in map(_full, without)},
            secrets=secrets,
            monitor=monitor,
            preview=preview,
        )
        return Run(monitor, outputs)


def _full(key: str) -> str:
    return key if ":" in key else f"{names.PROJECT}:{key}"
