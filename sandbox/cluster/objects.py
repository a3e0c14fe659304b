"""The cluster objects that make a cluster without kubelets and chart controllers look alive; pure dicts.

Laid down by the supervisor: one node, the Stage definitions that KWOK plays (its own for nodes and pods, ours for
Flux) and its permissions.
Every message written by a stage begins with `stand-in:`, so a user sees in the status what is simulated.
Left out on purpose: kinds that charts would bring (`sandbox.definitions`), sources on loopback addresses (`stand_in`
answers for them) and Kustomizations (real).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.names import ANNOTATION_RECONCILE_AT

Manifest = dict[str, Any]

FAULT: Final = "sandbox.fleet/fault"
"""Annotation on a simulated object: its value becomes the message of Ready=False and Stalled=True."""
SERVED_SINCE: Final = "sandbox.fleet/served-since"
NODE: Final = "sandbox"
STAGE_GROUP: Final = "kwok.x-k8s.io"
LOOPBACK_URL: Final = r"^(oci|https?)://(127\\.0\\.0\\.1|localhost)[:/]"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of the API, with what its definition needs."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def definition(self) -> str:
        return f"{self.plural}.{self.group}"


STAGE: Final = Kind(group=STAGE_GROUP, version="v1alpha1", kind="Stage", plural="stages", namespaced=False)
SOURCE_KINDS: Final = tuple(
    Kind(group="source.toolkit.fluxcd.io", version="v1", kind=kind, plural=plural)
    for kind, plural in (
        ("Bucket", "buckets"),
        ("GitRepository", "gitrepositories"),
        ("HelmChart", "helmcharts"),
        ("HelmRepository", "helmrepositories"),
        ("OCIRepository", "ocirepositories"),
    )
)
SIMULATED_KINDS: Final = (
    Kind(group="helm.toolkit.fluxcd.io", version="v2", kind="HelmRelease", plural="helmreleases"),
    *(
        Kind(group="image.toolkit.fluxcd.io", version="v1", kind=kind, plural=plural)
        for kind, plural in (
            ("ImagePolicy", "imagepolicies"),
            ("ImageRepository", "imagerepositories"),
            ("ImageUpdateAutomation", "imageupdateautomations"),
        )
    ),
    Kind(group="notification.toolkit.fluxcd.io", version="v1", kind="Receiver", plural="receivers"),
    *SOURCE_KINDS,
)


def base_objects(kwok_stages: Path) -> list[Manifest]:
    """What a fresh API server gets, definitions first."""
    import yaml

    files = sorted(path for path in kwok_stages.rglob("*.yaml"))
    documents = [document for path in files for document in yaml.safe_load_all(path.read_text())]
    stages = [document for document in documents if document and document.get("kind") == STAGE.kind]
    return [
        permissive_definition(STAGE, [STAGE.version]),
        *kwok_permissions(),
        *stages,
        healing_stage(),
        node(),
    ]


def flux_stages(kind: Kind, since: str) -> list[Manifest]:
    """The stages of a simulated kind that began to be served at `since`.

    KWOK looks for a kind only when one of its stages changes, so a kind that went and came back needs a new `since`.
    """
    return [simulated_stage(kind, since, fault=fault) for fault in (False, True)]


def simulated_stage(kind: Kind, since: str, *, fault: bool) -> Manifest:
    """Reports objects of `kind` Ready once per generation and whenever it is asked to look again, or Stalled while they
    carry the fault annotation."""
    wanted, gone = ("False", "true") if fault else ("True", "false")
    observed = "(.status.observedGeneration // -1) == .metadata.generation"
    asked = f'.metadata.annotations["{ANNOTATION_RECONCILE_AT}"] // .status.lastHandledReconcileAt'
    handled = f"({asked}) == .status.lastHandledReconcileAt"
    answered = f'[.status.conditions[]? | select(.type == "Ready") | .status] == ["{wanted}"]'
    expressions: list[Manifest] = [
        _expression(".metadata.deletionTimestamp", "DoesNotExist"),
        _expression(".spec.suspend", "NotIn", "true"),
        _expression(f"({observed}) and ({answered}) and ({handled})", "In", "false"),
        _expression(f'(.metadata.annotations // {{}}) | has("{FAULT}")', "In", gone),
    ]
    if kind in SOURCE_KINDS:
        expressions.append(_expression(f'(.spec.url // "") | test("{LOOPBACK_URL}")', "In", "false"))
    name = f"{kind.plural}-{'fault' if fault else 'ready'}"
    return {
        "apiVersion": f"{STAGE_GROUP}/v1alpha1",
        "kind": STAGE.kind,
        "metadata": {"name": name, "annotations": {SERVED_SINCE: since}},
        "spec": {
            "resourceRef": {"apiGroup": f"{kind.group}/{kind.version}", "kind": kind.kind},
            "selector": {"matchExpressions": expressions},
            "delay": {"durationMilliseconds": 300},
            "steps": [_patch_status(_FAULTY if fault else _READY)],
        },
    }


_CONDITION: Final = """\
- type: {type}
  status: "{status}"
  reason: {reason}
  message: {message}
  observedGeneration: {{{{ .metadata.generation }}}}
  lastTransitionTime: {{{{ Now | Quote }}}}
"""
_STATUS: Final = (
    "observedGeneration: {{ .metadata.generation }}\n"
    f'{{{{ with .metadata.annotations }}}}{{{{ with index . "{ANNOTATION_RECONCILE_AT}" }}}}'
    "lastHandledReconcileAt: {{ . | Quote }}\n{{ end }}{{ end }}"
    "conditions:\n"
)
_READY: Final = _STATUS + _CONDITION.format(
    type="Ready",
    status="True",
    reason="Succeeded",
    message='"stand-in: nothing was fetched or installed, no controller for this kind runs in the sandbox"',
)
_MESSAGE: Final = f'{{{{ printf "stand-in: %s" (index .metadata.annotations "{FAULT}") | Quote }}}}'
_FAULTY: Final = _STATUS + "".join(
    _CONDITION.format(type=type_, status=status, reason="FaultInjected", message=_MESSAGE)
    for type_, status in (("Ready", "False"), ("Stalled", "True"))
)


def healing_stage() -> Manifest:
    """Pods whose node was silent for long stay Ready=False for good: nobody but a kubelet sets them Ready again."""
    conditions = "".join(
        f'- type: {name}\n  status: "True"\n  lastTransitionTime: {{{{ Now | Quote }}}}\n'
        for name in ("Initialized", "Ready", "ContainersReady")
    )
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    return {
        "apiVersion": f"{STAGE_GROUP}/v1alpha1",
        "kind": STAGE.kind,
        "metadata": {"name": "pod-heal"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".status.phase", "operator": "In", "values": ["Running"]},
                    {"key": ready, "operator": "In", "values": ["False"]},
                ]
            },
            "delay": {"durationMilliseconds": 1000},
            "next": {"statusTemplate": f"conditions:\n{conditions}"},
        },
    }


def _expression(jq: str, operator: str, *values: str) -> Manifest:
    """Compared inside jq: KWOK's own match does not know the number type of unstructured objects."""
    return {"jq": {"key": jq, "operator": operator, **({"values": list(values)} if values else {})}}


def _patch_status(template: str) -> Manifest:
    return {"patch": {"subresource": "status", "root": "status", "type": "merge", "template": template}}


def permissive_definition(kind: Kind, versions: Sequence[str]) -> Manifest:
    """A definition that takes anything, in each of `versions`; an object of it without status counts as healthy."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = [
        {
            "name": version,
            "served": True,
            "storage": version == versions[0],
            "schema": {"openAPIV3Schema": anything},
            "subresources": {"status": {}},
        }
        for version in versions
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.definition},
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": served,
        },
    }


def kwok_permissions() -> list[Manifest]:
    """What a kubelet may do on any node, and to report the status of simulated kinds."""
    groups = sorted({kind.group for kind in SIMULATED_KINDS})
    everything = ["create", "delete", "get", "list", "patch", "update", "watch"]
    core = ["nodes", "nodes/status", "pods", "pods/status", "events"]
    rules = [
        {"apiGroups": [""], "resources": core, "verbs": everything},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": everything},
        {"apiGroups": [STAGE_GROUP], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": groups, "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": groups, "resources": ["*/status"], "verbs": ["patch", "update"]},
    ]  # fmt: skip
    name = "sandbox:kwok-controller"
    api = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "namespace": "kube-system", "name": "kwok-controller"}
    return [
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        },
    ]


def node() -> Manifest:
    """The one node, that KWOK plays; its stage fills in status and a size that holds any fleet."""
    labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}}
