"""The programs of the sandbox: which package makes each, and the versions it is told.

`sandbox.build` calls it, and `sandbox.parts.files` for versions. Versions stand in go.mod only; this
module reads them there. How a build runs, where it keeps things and what it prints is not here.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KUBERNETES: Final = "k8s.io/kubernetes"
OPERATOR: Final = "github.com/controlplaneio-fluxcd/flux-operator"
KWOK: Final = "sigs.k8s.io/kwok"
HELM: Final = "helm.sh/helm/v3"
REGISTRY: Final = "github.com/distribution/distribution/v3"
KUBECONFORM: Final = "github.com/yannh/kubeconform"


@dataclass(frozen=True, kw_only=True)
class Binary:
    """One program: its file name, its main package, and the string variables that the linker sets."""

    name: str
    package: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def linker_flags(self) -> str:
        """The value of `go build -ldflags`: no debug tables, and the variables."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables.items())])


SOURCE: Final = ("go.mod", "go.sum", "registry/main.go")
"""The files of this folder that are the Go module."""


def folder() -> Path:
    """Where go.mod, the chart and the page are committed."""
    return Path(__file__).parent


def cache_key() -> str:
    """Names a build: the same files on the same kind of machine give the same key."""
    digest = hashlib.sha256(f"{platform.system()}/{platform.machine()}\n".encode())
    root = folder()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def module_version(module: str) -> str:
    """The version that go.mod pins for `module`, with its leading `v`."""
    return _find(rf"^(?:require )?\s*{re.escape(module)} (v\S+)")


def go_version() -> tuple[int, int]:
    """The oldest Go that builds the parts, from go.mod's `go` line."""
    major, minor = _find(r"^go (\d+\.\d+)").split(".")
    return int(major), int(minor)


def binaries() -> tuple[Binary, ...]:
    """All programs in building order: the API server first, since most others share packages with it."""
    return (*_kubernetes(), *_flux(), *_tools())


def _kubernetes() -> tuple[Binary, ...]:
    version = module_version(KUBERNETES)
    major, minor = version.removeprefix("v").split(".")[:2]
    # Without these the API server calls itself v0.0.0-master, and charts refuse that version.
    base = "k8s.io/component-base/version"
    variables = {
        f"{base}.gitVersion": version,
        f"{base}.gitMajor": major,
        f"{base}.gitMinor": minor,
        f"{base}.gitTreeState": "clean",
    }
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    return (
        *(Binary(name=name, package=f"{KUBERNETES}/cmd/{name}", variables=variables) for name in names),
        Binary(name="etcd", package="go.etcd.io/etcd/server/v3"),
        Binary(name="kwok", package=f"{KWOK}/cmd/kwok"),
    )


def _flux() -> tuple[Binary, ...]:
    version = {"main.VERSION": module_version(OPERATOR)}
    return (
        Binary(name="flux-operator", package=f"{OPERATOR}/cmd/operator", variables=version),
        Binary(name="flux-operator-cli", package=f"{OPERATOR}/cmd/cli", variables=version),
        Binary(name="kustomize-controller", package="github.com/fluxcd/kustomize-controller"),
    )


def _tools() -> tuple[Binary, ...]:
    major, minor = module_version(KUBERNETES).removeprefix("v").split(".")[:2]
    helm = {f"{HELM}/internal/version.version": module_version(HELM)}
    # Helm renders and lints for the Kubernetes version it was linked with, 1.20 if told nothing.
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        helm |= {f"{HELM}/{package}.k8sVersionMajor": major, f"{HELM}/{package}.k8sVersionMinor": minor}
    return (
        Binary(name="helm", package=f"{HELM}/cmd/helm", variables=helm),
        Binary(
            name="registry",
            package="sandbox/parts/registry",
            variables={f"{REGISTRY}/version.version": module_version(REGISTRY)},
        ),
        Binary(name="kustomize", package="sigs.k8s.io/kustomize/kustomize/v5"),
        Binary(
            name="kubeconform",
            package=f"{KUBECONFORM}/cmd/kubeconform",
            variables={"main.version": module_version(KUBECONFORM)},
        ),
        Binary(name="yq", package="github.com/mikefarah/yq/v4"),
        Binary(name="actionlint", package="github.com/rhysd/actionlint/cmd/actionlint"),
        Binary(name="kind", package="sigs.k8s.io/kind"),
    )


def _find(pattern: str) -> str:
    match = re.search(pattern, (folder() / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        message = f"go.mod has no line that matches `{pattern}`"
        raise LookupError(message)
    return match[1]
