"""The whole program of a stack, run through the real entry file with the real settings, for the unit tests.

What is found on the clusters comes from `tests/reader.py`, or from a server on loopback (`tests/kubernetes_api.py`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from fleet import config, names
from fleet.errors import ConfigError, Problem
from fleet.resources.clusters.kind.host import HostError
from sandbox.cluster.credentials import _Authority
from sandbox.program import seam
from sandbox.program.registration import Registration
from tests.recording import RecordingMonitor

REPOSITORY: Final = Path(__file__).parent.parent
STACKS: Final = {
    "sandbox": ["staging"],
    "staging": ["staging"],
    "production": ["prod-eu", "prod-us"],
    "update": ["update"],
}
"""Every stack file of the repository, and the clusters that it brings up."""
KIND: Final = "command:local:Command"
KIND_STACKS: Final = ("staging", "update")
"""Stacks whose cluster, of the same name, the kind CLI makes."""
DELIVERING: Final = [(stack, cluster) for stack in ("sandbox", "staging", "production") for cluster in STACKS[stack]]
"""Stack and cluster of those that get components and tenants; an update cluster gets none."""
SECRET_OBJECTS: Final = {
    "secret": "ghcr-auth",
    "platform": "flux-system",
    "tenants": "flux-apps",
    "update": "github-auth",
    "status": "github-status",
    "address": "alert-address",
}
"""Secrets of a cluster by the words for them."""
SETS: Final = ("policies", "alerts", "infra", "apps", "image-update-automation")
"""ResourceSets by name, which is also the word for each."""
OBJECTS: Final = {
    "namespace": ("kubernetes:core/v1:Namespace", "flux-system"),
    "operator": ("kubernetes:helm.sh/v3:Release", "flux-operator"),
    **{word: ("kubernetes:core/v1:Secret", name) for word, name in SECRET_OBJECTS.items()},
    "runtime": ("kubernetes:core/v1:ConfigMap", "flux-runtime-info"),
    **{name: ("kubernetes:fluxcd.controlplane.io/v1:ResourceSet", f"resourceset-{name}") for name in SETS},
    "instance": ("kubernetes:fluxcd.controlplane.io/v1:FluxInstance", "fluxinstance-flux"),
}
"""Type and name, without the cluster's, of the object that each word stands for."""

Order = tuple[list[str], ...]
"""Words for the objects of a cluster by stages; each stage waits for all earlier ones."""


def order(*secrets: str, sets: Iterable[str]) -> Order:
    """That of a cluster with these secrets and ResourceSets."""
    stages = (["namespace"], [*secrets, "runtime"], ["operator"], [*sets], ["instance"])
    return tuple(stage for stage in stages if stage)


ORDER: Final = order("secret", sets=("policies", "infra", "apps"))
UPDATE_ORDER: Final = order("secret", "update", sets=())
"""Of the repository's own clusters: those that get components and tenants, and the update cluster."""


APPS: Final = {"platform": {"id": 11, "installation": 12}, "tenants": {"id": 21, "installation": 22}}
UPDATE_APP: Final = {"update": {"id": 31, "installation": 32}}
"""GitHub Apps of a stack in the git design, and the one that only image automation needs."""
DESIGNS: Final = ("oci", "git", "git with apps")
"""What `Checkout.use` knows."""


def order_of(design: str, stack: str) -> Order:
    """That of every cluster of a stack of the repository, changed to a design. The first that tracks main automates."""
    if design == "oci":
        return UPDATE_ORDER if stack == "update" else ORDER
    if stack == "production":
        return order("platform", "tenants", sets=("policies", "alerts", "infra", "apps"))
    return order("platform", "tenants", "update", sets=SETS)


def secret_value(key: str) -> str:
    """What the tests set as the secret of that key."""
    return f"value-of-{key}-0123456789"


def kubeconfig_token(cluster: str) -> str:
    return f"bearer-of-{cluster}-0123456789"


@cache
def authority(cluster: str) -> bytes:
    """The certificate of a cluster's authority, in PEM; the program takes its fingerprint, a client trusts it."""
    return _Authority().pem


def identity(cluster: str) -> str:
    """Of a cluster that kind made."""
    return hashlib.sha256(authority(cluster)).hexdigest()


def kubeconfig(cluster: str, server: str = "") -> str:
    """A kubeconfig as clusters give it, of one context; by default nothing listens at its address.

    Those of the kind stacks name their authority, as kind's do.
    """
    server = server or f"http://127.0.0.1:1/{cluster}"
    trust = base64.b64encode(authority(cluster)).decode()
    trusted = {"certificate-authority-data": trust} if cluster in KIND_STACKS else {}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": {"server": server} | trusted}],
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


class Kinds:
    """Stands in for what the program finds out about this machine's kind clusters."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.stopped: list[Problem] = []
        self.fault: HostError | None = None
        self.asked: list[Mapping[str, str]] = []

    def look(self, ours: Mapping[str, str]) -> tuple[frozenset[str], list[Problem]]:
        """Of `fleet.resources.clusters.kind.host`."""
        self.asked.append(dict(ours))
        if self.fault:
            raise self.fault
        return frozenset(self.here), self.stopped


class Checkout:
    """A checkout in a folder of the test's own: the files are the repository's, as long as a test changes none.

    Only `github` is taken out of fleet.yaml: what is made on GitHub has tests of its own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("__main__.py", config.FLEET_FILE, *(f"Pulumi.{stack}.yaml" for stack in STACKS)):
            (root / name).symlink_to(REPOSITORY / name)
        self.kinds = Kinds()
        self.servers: dict[str, str] = {}
        """Address of each cluster's API server, where one listens."""
        self.change_fleet(github={})

    @property
    def sections(self) -> dict[str, Any]:
        """fleet.yaml as plain data."""
        return dict(yaml.safe_load((self.root / config.FLEET_FILE).read_text()))

    def change_fleet(self, **sections: Any) -> None:
        """Give fleet.yaml other sections; the repository's stays as it is."""
        changed = self.sections | sections
        file = self.root / config.FLEET_FILE
        file.unlink()
        file.write_text(yaml.safe_dump(changed, sort_keys=False))

    def use(self, design: str, stack: str, **sections: Any) -> dict[str, Any]:
        """Change fleet.yaml to another design, which may lack update clusters; gives what the stack must say then."""
        if design == "oci":
            self.change_fleet(**sections)
            return {}
        found, auth = self.sections, "app" if design == "git with apps" else "token"
        environments = {name: e | {"auth": auth} for name, e in found["environments"].items() if "role" not in e}
        clusters = {name: c for name, c in found["clusters"].items() if c["environment"] in environments}
        changed = {"design": "git", "alerts": {}, "environments": environments, "clusters": clusters}
        self.change_fleet(**changed | sections)
        apps = APPS if stack == "production" else APPS | UPDATE_APP
        return {"githubApps": apps} if auth == "app" else {}

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
        secrets = {_full(key): secret_value(key) for key in self._secrets(values["fleet:environment"], stack)}
        for name, spec in values["fleet:clusters"].items():
            if path := spec.get("kubeconfig"):
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                (self.root / path).write_text(self.kubeconfig(name))
            if key := spec.get("kubeconfigSecret"):
                secrets[_full(key)] = self.kubeconfig(name)
        given = {key: v if isinstance(v, str) else json.dumps(v) for key, v in (values | secrets).items()}
        made = not preview if kind_exists is None else kind_exists
        printed = {f"{name}-kind": {"stdout": self.kubeconfig(name)} for name in values["fleet:clusters"]}
        monitor = monitor or RecordingMonitor(outputs=printed if made else {})
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

    def _secrets(self, environment: str, stack: str) -> list[str]:
        """Keys of the secrets that follow from fleet.yaml; without a valid one, that of its design."""
        try:
            fleet = config.load_fleet(self.root / config.FLEET_FILE)
        except ConfigError:
            return ["registryToken"]
        return list(config.secrets_of(fleet, environment, stack))


def _full(key: str) -> str:
    return key if ":" in key else f"{names.PROJECT}:{key}"
