"""The files of the sandbox that are not programs, copied out of the modules: chart, manifests, CRDs, stages.

`sandbox.build` calls it with the folders of the modules. Nothing of the modules is committed here; the
chart's templates are ours and take the module's own objects as files.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Final

from fleet.errors import Problem, ToolError
from sandbox.parts import recipe

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS: Final = ("flux-manifests", "chart", "crds", "kwok-stages")
"""What `write_files` makes."""
STAGES: Final = ("pod/fast", "node/fast", "node/heartbeat-with-lease")


def write_files(target: Path, *, operator: Path, kwok: Path) -> None:
    """Fills the empty folder `target` from the folders of the modules `operator` and `kwok`."""
    copy_folder(operator / "config/data", target / "flux-manifests")
    _write_chart(target / "chart", operator / "config")
    _copy_yaml(operator / "config/crd/bases", target / "crds/flux-operator")
    _copy_yaml(kwok / "kustomize/crd/bases", target / "crds/kwok")
    _write_flux_crds(target / "crds/flux", newest_flux(target / "flux-manifests/flux"))
    for stage in STAGES:
        _copy_yaml(kwok / "kustomize/stage" / stage, target / "kwok-stages")


def copy_operator(source: Path, target: Path) -> None:
    """A copy of the operator's module that serves its page on loopback only; it has no setting for the address."""
    copy_folder(source, target)
    server = target / "internal/web/server.go"
    text, replaced = re.subn(r'fmt\.Sprintf\(":%d", port\)', 'fmt.Sprintf("127.0.0.1:%d", port)', server.read_text())
    if replaced != 1:
        problem = f"the page's address is set in {replaced} places, not in one"
        raise ToolError([Problem(str(server), problem, "adapt `copy_operator` to this version of the operator")])
    server.write_text(text)


def write_page(dist: Path, reason: str) -> None:
    """Fills the folder that the operator embeds with the page that stands in for the Status page."""
    dist.mkdir(exist_ok=True)
    text = (recipe.folder() / "page/index.html").read_text()
    (dist / "index.html").write_text(text.replace("REASON", reason))


def copy_folder(source: Path, target: Path) -> None:
    """Copies content only: in Go's module cache folders and files are read-only, the copies must not be."""
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def newest_flux(folder: Path) -> Path:
    """The subfolder `vX.Y.Z` of `folder` with the highest version."""
    return max(folder.glob("v*"), key=lambda path: tuple(int(n) for n in path.name[1:].split(".")))


def _write_chart(target: Path, config: Path) -> None:
    copy_folder(recipe.folder() / "chart", target)
    version = recipe.module_version(recipe.OPERATOR)
    (target / "Chart.yaml").write_text(
        "apiVersion: v2\n"
        "name: flux-operator\n"
        "description: Flux Operator for the sandbox, assembled from the manifests of its Go module\n"
        f"version: {version.removeprefix('v')}\n"
        f"appVersion: {version}\n"
    )
    _copy_yaml(config / "crd/bases", target / "files/crds")
    _copy_yaml(config / "manager", target / "files/operator")
    _copy_yaml(config / "default", target / "files/operator", leave_out="namespace.yaml")


def _write_flux_crds(target: Path, manifests: Path) -> None:
    """One file a CRD: the manifests hold them among other objects, a file for each controller."""
    target.mkdir(parents=True)
    for path in sorted(manifests.glob("*.yaml")):
        for document in re.split(r"^---$", path.read_text(), flags=re.MULTILINE):
            is_crd = re.search(r"^kind: CustomResourceDefinition$", document, re.MULTILINE)
            name = re.search(r"^  name: (\S+)$", document, re.MULTILINE)
            if is_crd and name:
                (target / f"{name[1]}.yaml").write_text(document.lstrip())


def _copy_yaml(source: Path, target: Path, *, leave_out: str = "") -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.yaml"):
        if path.name not in {"kustomization.yaml", leave_out}:
            shutil.copyfile(path, target / path.name)
