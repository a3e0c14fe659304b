"""Makes a `helm.sh/v3:Release` real with the helm binary, so that helm-controller or a person can take it over later.

Called by `apply`. What is deployed is read from Helm's own Secrets on the cluster, so a run that changes
nothing starts no helm at all. Left out on purpose: importing a Release (the real provider writes a revision then; the
program takes it over with `.get`), chart repositories, provenance, values from files.
"""

from __future__ import annotations

import base64
import gzip
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.errors import ClusterError, Problem, ToolError
from sandbox.program.api import Api
from sandbox.program.helm_command import Helm, Turn
from sandbox.program.monitor import Applied, Kind
from sandbox.program.registration import Registration, reveal

RELEASE: Final = "kubernetes:helm.sh/v3:Release"
TIMEOUT_SECONDS: Final = 300
"""Helm's and the provider's default."""
FLAGS: Final = {
    "createNamespace": "--create-namespace",
    "skipCrds": "--skip-crds",
    "takeOwnership": "--take-ownership",
    "waitForJobs": "--wait-for-jobs",
    "atomic": "--atomic",
    "cleanupOnFail": "--cleanup-on-fail",
    "disableWebhooks": "--no-hooks",
    "forceUpdate": "--force",
}
INPUTS: Final = frozenset({"chart", "version", "name", "namespace", "values", "skipAwait", "timeout", "compat", *FLAGS})
LOOPBACK: Final = ("oci://127.0.0.1:", "oci://localhost:", "oci://[::1]:")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One revision of a release as Helm stored it."""

    number: int
    status: str
    chart: str
    version: str
    app_version: str
    values: Mapping[str, Any]

    @property
    def pending(self) -> bool:
        """Whether an operation on it was cut off."""
        return self.status.startswith("pending-") or self.status == "uninstalling"

    @property
    def was_deployed(self) -> bool:
        return self.status in ("deployed", "superseded")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A release as the program asks for it."""

    name: str
    namespace: str
    chart: str
    version: str
    values: Mapping[str, Any]
    flags: tuple[str, ...]
    seconds: int

    def is_met_by(self, revision: Revision) -> bool:
        """Whether nothing needs to be run: deployed, same chart, same version, same values."""
        name, version = _chart_identity(self.chart, self.version)
        same = (revision.chart, revision.version, revision.values) == (name, version, self.values)
        return revision.status == "deployed" and same


class Releases:
    """The Helm releases of one cluster."""

    def __init__(self, api: Api, helm: Helm) -> None:
        self._api = api
        self._helm = helm

    def read(self, asked: Registration) -> Applied:
        """A release that someone else runs; it is only looked at."""
        namespace, _, name = asked.read_id.rpartition("/")
        history = self.history(name, namespace or "default")
        if not history:
            raise ClusterError([Problem(asked.read_id, "no such Helm release, so it cannot be read")])
        return Applied(kind="read", id=asked.read_id, outputs=_outputs(name, namespace or "default", history[-1]))

    def install(self, asked: Registration) -> Applied:
        """Install or upgrade, unless what is deployed is already what is asked for."""
        wanted = parse(asked)
        with self._helm.turn(wanted.name, wanted.namespace, wanted.seconds) as turn:
            history = self._recover(wanted, turn)
            kind: Kind = "unchanged"
            if not history or not wanted.is_met_by(history[-1]):
                kind = "updated" if any(revision.was_deployed for revision in history) else "created"
                values = json.dumps(wanted.values)
                turn.run("upgrade", wanted.name, wanted.chart, "--install", *wanted.flags, values=values)
                history = self.history(wanted.name, wanted.namespace)
        outputs = _outputs(wanted.name, wanted.namespace, history[-1])
        return Applied(kind=kind, id=f"{wanted.namespace}/{wanted.name}", outputs=outputs)

    def history(self, name: str, namespace: str) -> list[Revision]:
        """All stored revisions, oldest first; empty where there is no such release."""
        found = self._api.secrets(namespace, f"owner=helm,name={name}")
        return sorted((_revision(secret["data"]["release"]) for secret in found), key=lambda r: r.number)

    def _recover(self, wanted: Wanted, turn: Turn) -> list[Revision]:
        """Clear what a cut-off run left: back to the last deployed revision, or away with what never was deployed."""
        history = self.history(wanted.name, wanted.namespace)
        if not history or not history[-1].pending:
            return history
        good = [revision.number for revision in history if revision.was_deployed]
        if good and history[-1].status != "uninstalling":
            turn.run("rollback", wanted.name, str(good[-1]))
        else:
            turn.run("uninstall", wanted.name, "--wait")
        return self.history(wanted.name, wanted.namespace)


def parse(asked: Registration) -> Wanted:
    """What a Release asks for; raises `ToolError` for inputs that helm would have to be told about and is not."""
    inputs = {key: value for key, value in reveal(asked.inputs).items() if value not in (None, False, [], {})}
    if asked.import_id:
        raise ToolError(
            [Problem("import_", "importing a Release writes a revision", "take it over with `Release.get`")]
        )
    if unknown := sorted(inputs.keys() - INPUTS):
        raise ToolError([Problem(key, "the sandbox cannot honour this input of a Release") for key in unknown])
    if not inputs.get("name"):
        raise ToolError([Problem("name", "is not set", "the sandbox keeps no state for generated names")])
    flags = [flag for key, flag in FLAGS.items() if inputs.get(key)]
    flags += [] if inputs.get("skipAwait") else ["--wait"]
    flags += ["--version", inputs["version"]] if inputs.get("version") else []
    flags += ["--plain-http"] if inputs["chart"].startswith(LOOPBACK) else []
    return Wanted(
        name=inputs["name"],
        namespace=inputs.get("namespace", "default"),
        chart=inputs["chart"],
        version=inputs.get("version", ""),
        values=inputs.get("values", {}),
        flags=tuple(flags),
        seconds=int(inputs.get("timeout", TIMEOUT_SECONDS)),
    )


def _chart_identity(chart: str, version: str) -> tuple[str, str]:
    """Name and version of a chart: a local one says it, a remote one has its address and the version asked for."""
    import yaml

    path = Path(chart)
    if chart.startswith("oci://") or not path.exists():
        return chart.rpartition("/")[2], version
    if path.is_dir():
        text = Path(path, "Chart.yaml").read_bytes()
    else:
        with tarfile.open(path) as archive:
            member = next(m for m in archive.getmembers() if m.name.count("/") == 1 and m.name.endswith("/Chart.yaml"))
            file = archive.extractfile(member)
            text = file.read() if file else b""
    described = yaml.safe_load(text)
    return described["name"], str(described["version"])


def _revision(release: str) -> Revision:
    """Helm's storage: gzipped JSON in base64, in a Secret's base64."""
    stored = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(release))))
    described = stored["chart"]["metadata"]
    return Revision(
        number=stored["version"],
        status=stored["info"]["status"],
        chart=described["name"],
        version=described["version"],
        app_version=described.get("appVersion", ""),
        values=stored.get("config") or {},
    )


def _outputs(name: str, namespace: str, revision: Revision) -> Mapping[str, Any]:
    """As the real provider: inputs by name, and `status` with what is deployed."""
    status = {
        "name": name,
        "namespace": namespace,
        "revision": revision.number,
        "status": revision.status,
        "chart": revision.chart,
        "version": revision.version,
        "appVersion": revision.app_version,
    }
    return {"name": name, "namespace": namespace, "version": revision.version, "status": status}
