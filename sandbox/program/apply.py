"""Makes one declared resource real on one cluster: objects by server-side apply, releases by `helm`.

`KubernetesCluster` is what `monitor` opens for each kubernetes provider of the program. It follows the real
provider where that is observable: field manager, force, annotations kept on the live object, AlreadyExists, import.

It has no state, so it tells by the field managers of a live object whether that is ours. An object is always created by
server-side apply, where the real provider makes a plain create unless `upsertExistingObjects` is set.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fleet.errors import ClusterError, Problem, ToolError
from fleet.names import (
    ANNOTATION_FIELD_MANAGER,
    ANNOTATION_PATCH_FORCE,
    ANNOTATION_TIMEOUT,
    ANNOTATION_WAIT_FOR,
)
from sandbox.program import conditions, fields
from sandbox.program.api import Api, Object, Ref, Refusal
from sandbox.program.helm import RELEASE, Releases
from sandbox.program.helm_command import Helm
from sandbox.program.monitor import REAL_STACKS, Applied, Kind
from sandbox.program.registration import Registration, Secret, reveal

MANAGER: Final = "pulumi-kubernetes"
WAIT_SECONDS: Final = 600.0
"""The real provider's default."""
IDENTITY: Final = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
NOT_OBJECTS: Final = ("helm.sh/", "yaml/", "kustomize/")
"""Modules of the kubernetes package whose resources are not API objects."""
SETTINGS: Final = frozenset({"kubeconfig", "namespace", "upsertExistingObjects", "enablePatchForce"})
WITHOUT_EFFECT: Final = frozenset(
    {
        "clusterIdentifier",
        "enableConfigMapMutable",
        "enableSecretMutable",
        "enableServerSideApply",
        "deleteUnreachable",
        "skipUpdateUnreachable",
        "suppressDeprecationWarnings",
        "suppressHelmHookWarnings",
    }
)
"""Provider settings that only say what to do with state, which there is none of, or what is done here anyway."""

Progress = Callable[[str, str], None]
"""Takes the label of a resource that is waited for and the last news of it."""


class KubernetesCluster:
    """One kubernetes provider of the program; `settings` are its inputs in clear."""

    def __init__(self, settings: Mapping[str, Any], *, helm: Path, folder: Path, progress: Progress) -> None:
        if unknown := sorted(settings.keys() - SETTINGS - WITHOUT_EFFECT):
            raise ToolError([Problem(key, "the sandbox does not know this provider setting") for key in unknown])
        if not settings.get("kubeconfig"):
            raise ToolError([Problem("kubeconfig", "is not set", "the sandbox never uses the ambient one")])
        self._api = Api(settings["kubeconfig"])
        command = Helm(
            binary=helm,
            kubeconfig=settings["kubeconfig"],
            folder=folder,
            cluster=self._api.address,
            stopped=self._api.stopped,
        )
        self._releases = Releases(self._api, command)
        self._namespace = settings.get("namespace", "default")
        # Provider inputs arrive as JSON text.
        self._upsert = settings.get("upsertExistingObjects") == "true"
        self._force = settings.get("enablePatchForce") == "true"
        self._progress = progress

    def stop(self) -> None:
        self._api.stopped.set()

    def close(self) -> None:
        self._api.close()

    def make(self, asked: Registration) -> Applied:
        """Bring the cluster to what `asked` says; raises `FleetError` and leaves the rest of the cluster alone."""
        if asked.type == RELEASE:
            return self._releases.read(asked) if asked.read_id else self._releases.install(asked)
        return self._read(asked) if asked.read_id else self._apply(asked)

    def _read(self, asked: Registration) -> Applied:
        api_version, kind = _kind(asked)
        live = self._existing(api_version, kind, asked.read_id)
        return Applied(kind="read", id=asked.read_id, outputs=_outputs(asked, live))

    def _apply(self, asked: Registration) -> Applied:
        wanted = manifest(asked)
        namespace = wanted["metadata"].get("namespace", self._namespace)
        ref = self._api.ref(wanted["apiVersion"], wanted["kind"], wanted["metadata"]["name"], namespace)
        annotations = wanted["metadata"].get("annotations") or {}
        manager = annotations.get(ANNOTATION_FIELD_MANAGER, MANAGER)
        before = self._imported(asked, ref) if asked.import_id else self._api.get(ref)
        if before is not None:
            self._refuse_foreign(asked, ref, before, wanted, manager)
        kind, after = self._write(asked, ref, before, wanted, manager)
        if checks := annotations.get(ANNOTATION_WAIT_FOR):
            after = self._wait(asked, ref, checks, annotations.get(ANNOTATION_TIMEOUT))
        return Applied(kind=kind, id=_identity(ref), outputs=_outputs(asked, after))

    def _imported(self, asked: Registration, ref: Ref) -> Object:
        if asked.import_id not in (_identity(ref), ref.name):
            raise ToolError([Problem(str(ref), f"is imported by another id, `{asked.import_id}`")])
        return self._existing(ref.api_version, ref.kind, asked.import_id)

    def _existing(self, api_version: str, kind: str, identity: str) -> Object:
        namespace, _, name = identity.rpartition("/")
        ref = self._api.ref(api_version, kind, name, namespace or self._namespace)
        live = self._api.get(ref)
        if live is None:
            raise ClusterError([Problem(str(ref), "does not exist, so it can neither be read nor imported")])
        return live

    def _refuse_foreign(self, asked: Registration, ref: Ref, live: Object, wanted: Object, manager: str) -> None:
        """Ours is what our manager wrote, and what is only asked to exist, since that leaves no trace."""
        if live["metadata"].get("deletionTimestamp"):
            raise ClusterError([Problem(str(ref), "is being deleted", "run again when it is gone")])
        owners = fields.managers(live)
        if asked.import_id or self._upsert or manager in owners or not fields.without(wanted, IDENTITY):
            return
        names = ", ".join(f"`{owner}`" for owner in owners)
        hint = "import it, delete it, or set `upsert_existing_objects` on the provider"
        raise ClusterError([Problem(str(ref), f"already exists; it was written by {names}", hint)])

    def _write(
        self, asked: Registration, ref: Ref, before: Object | None, wanted: Object, manager: str
    ) -> tuple[Kind, Object]:
        """Apply `wanted`, unless nothing but ignored parts differ; what that did, and the object afterwards."""
        untouched: Kind = "adopted" if asked.import_id else "unchanged"
        if before is not None and (asked.import_id or asked.ignore_changes):
            ignored = [fields.parse_path(path) for path in asked.ignore_changes]
            rest = fields.without(wanted, ignored)
            if fields.contains(before, rest):
                return untouched, before
            # What we own below an ignored path must be sent as it is, or the server takes it away.
            wanted = fields.merged(rest, fields.only(fields.owned(before, manager), ignored))
        after = self._send(ref, wanted, manager)
        if before is None:
            return "created", after
        return untouched if _is_same(before, after, wanted, manager) else "updated", after

    def _send(self, ref: Ref, wanted: Object, manager: str) -> Object:
        forced = (wanted["metadata"].get("annotations") or {}).get(ANNOTATION_PATCH_FORCE) == "true"
        try:
            return self._api.apply(ref, wanted, manager=manager, force=forced or self._force)
        except Refusal as refusal:
            if conflicts := _conflicts(refusal):
                hint = "nothing was written; leave the field to its owner, or set `pulumi.com/patchForce`"
                raise ClusterError([Problem(str(ref), conflicts, hint)]) from refusal
            raise

    def _wait(self, asked: Registration, ref: Ref, checks: str, seconds: str | None) -> Object:
        limit = float(seconds) if seconds else _seconds(asked.custom_timeouts.get("create", ""))
        return conditions.wait(
            self._api,
            ref,
            conditions.parse_checks(checks),
            seconds=limit,
            progress=lambda news: self._progress(asked.label, news),
        )


def manifest(asked: Registration) -> Object:
    """The object as it is sent: inputs in clear, `stringData` folded into `data` as the real provider does."""
    api_version, kind = _kind(asked)
    result: Object = {"apiVersion": api_version, "kind": kind, **reveal(asked.inputs)}
    if result["kind"] != kind or result["apiVersion"] != api_version:
        raise _unsupported(asked)
    if not result.get("metadata", {}).get("name"):
        raise ToolError([Problem("metadata.name", "is not set", "the sandbox keeps no state for generated names")])
    if (api_version, kind) == ("v1", "Secret") and (text := result.pop("stringData", None)):
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        result["data"] = {**(result.get("data") or {}), **encoded}
    return result


def _kind(asked: Registration) -> tuple[str, str]:
    """`kubernetes:apps/v1:Deployment` → (`apps/v1`, `Deployment`); the package writes `core/v1` for `v1`."""
    _, api_version, kind = asked.type.split(":", 2)
    if api_version.startswith(NOT_OBJECTS):
        raise _unsupported(asked)
    return api_version.removeprefix("core/"), kind


def _unsupported(asked: Registration) -> ToolError:
    return ToolError([Problem(asked.type, "the sandbox cannot make this type", REAL_STACKS)])


def _conflicts(refusal: Refusal) -> str:
    """Who owns which fields, if that is why it was refused."""
    causes = (refusal.status.get("details") or {}).get("causes") or []
    found = [cause for cause in causes if cause.get("reason") == "FieldManagerConflict"]
    owners = [re.search(r'"([^"]+)"', cause["message"]) for cause in found]
    return "; ".join(
        f"`{owner[1] if owner else cause['message']}` owns `{cause['field']}`"
        for cause, owner in zip(found, owners, strict=True)
    )


def _is_same(before: Object, after: Object, wanted: Object, manager: str) -> bool:
    """Whether an apply changed nothing; a controller may have written the status meanwhile, which is not ours."""
    if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
        return True
    same_record = fields.applied_by(before, manager) == fields.applied_by(after, manager)
    return same_record and fields.contains(before, wanted)


def _identity(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


def _outputs(asked: Registration, live: Object) -> Mapping[str, Any]:
    """The live object; what went in as secret comes out as secret."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    hidden = {key for key, value in asked.inputs.items() if _has_secret(value)} | set(asked.additional_secret_outputs)
    if live["kind"] == "Secret":
        hidden |= {"data", "stringData"}
    shown = {**live, "metadata": metadata}
    return {key: Secret(value) if key in hidden else value for key, value in shown.items()}


def _has_secret(value: Any) -> bool:
    return bool(value != reveal(value))


def _seconds(duration: str) -> float:
    """`1h5m30s` → seconds; the default where nothing is set."""
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|m|s)", duration)
    return sum(float(number) * units[unit] for number, unit in parts) if parts else WAIT_SECONDS
