"""Workflows and scripts of the generated repositories before linters, and their check of manifests with real tools."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from fleet.manifests.trees.documents import FLUX
from fleet.model import repositories_of
from sandbox.build import Parts
from sandbox.parts import files, recipe
from tests import oracle
from tests.documents import FLEETS, files_of, fleet_of
from tests.rendering import find_schemas
from tests.scripts import Checkout

pytestmark = pytest.mark.sandbox

each_fleet: Final = pytest.mark.parametrize("case", FLEETS)
BIN: Final = Path(sys.executable).parent
SHELLCHECK: Final = BIN / "shellcheck"


@pytest.fixture(params=FLEETS)
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """The repositories of a fleet, as working copies."""
    for repository in repositories_of(fleet_of(request.param)):
        for path, content in files_of(request.param, repository).items():
            (tmp_path / repository / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / repository / path).write_bytes(content)
    return sorted(tmp_path.iterdir())


# --- linters ---------------------------------------------------------------------------------------------------------
def test_actionlint_finds_no_fault(folders: list[Path], parts: Parts) -> None:
    for folder in folders:
        found = sorted((folder / ".github/workflows").iterdir())
        oracle.run(parts.actionlint, "-shellcheck", str(SHELLCHECK), "-pyflakes=", *map(str, found))


def test_zizmor_finds_no_fault(folders: list[Path], tmp_path: Path) -> None:
    """All but one of its audits, also the pedantic ones: GitHub Enterprise Server does not know `uses: $/…` yet."""
    settings = tmp_path / "zizmor.yml"
    settings.write_text("rules: {self-repository: {disable: true}}\n")
    flags = ("--offline", "--no-progress", "--persona=pedantic", f"--config={settings}")
    oracle.run(BIN / "zizmor", *flags, *map(str, folders))


def test_shellcheck_finds_no_fault(folders: list[Path]) -> None:
    for folder in folders:
        scripts = sorted((folder / "scripts").glob("*.sh"))
        run = subprocess.run([SHELLCHECK, "-x", *scripts], cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout


# --- versions --------------------------------------------------------------------------------------------------------
def test_scripts_ask_for_the_tools_that_they_are_tested_with() -> None:
    text = files_of("default", "infra")["scripts/tools.sh"].decode()
    for module in (recipe.KUBECONFORM, "sigs.k8s.io/kustomize/kustomize/v5", "github.com/mikefarah/yq/v4"):
        (version,) = re.findall(rf"{re.escape(module)}\S*@(\S+)", text.replace('"', ""))
        assert version == recipe.module_version(module)


def test_schemas_and_publishing_are_of_the_newest_flux_that_the_operator_knows(parts: Parts) -> None:
    assert files.newest_flux(parts.flux_manifests / "flux").name == f"v{FLUX}"


# --- validate.sh -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GitHub's releases with schemas, as Flux and its operator publish them."""
    root = tmp_path_factory.mktemp("releases")
    operator = recipe.module_version(recipe.OPERATOR).removeprefix("v")
    for project, repository, version in (
        ("flux", "fluxcd/flux2", FLUX),
        ("flux-operator", "controlplaneio-fluxcd/flux-operator", operator),
    ):
        release = root / repository / "releases/download" / f"v{version}"
        release.mkdir(parents=True)
        with tarfile.open(release / "crd-schemas.tar.gz", "w:gz") as archive:
            for (api, kind), schema in find_schemas().items():
                group, served = api.split("/")
                if (group == "fluxcd.controlplane.io") == (project == "flux-operator"):
                    content = json.dumps(schema).encode()
                    entry = tarfile.TarInfo(f"./{kind.lower()}-{group.partition('.')[0]}-{served}.json")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        digest = hashlib.sha256((release / "crd-schemas.tar.gz").read_bytes()).hexdigest()
        (release / f"{project}_{version}_checksums.txt").write_text(f"{digest}  crd-schemas.tar.gz\n")
    return root


@pytest.fixture
def checkout(tmp_path: Path, parts: Parts, releases: Path) -> Callable[[str, str], Checkout]:
    """Makes a working copy with the tools that are built, and schemas of custom resources only."""

    def make(case: str, repository: str) -> Checkout:
        made = Checkout.make(tmp_path / case / repository, files_of(case, repository))
        for program in (parts.yq, parts.kustomize, parts.kubeconform):
            (made.stand_ins / program.name).symlink_to(program)
        none = str(tmp_path / "{{ .ResourceKind }}.json")
        made.environment |= {"RELEASES": f"file://{releases}", "KUBERNETES_SCHEMAS": none}
        return made

    return make


Make = Callable[[str, str], Checkout]


@each_fleet
@pytest.mark.covers("R22", "R23", "R53")
def test_every_generated_repository_is_valid(case: str, checkout: Make) -> None:
    for repository in repositories_of(fleet_of(case)).values():
        if repository.role != "source":
            run = checkout(case, repository.name).run("validate.sh")
            assert run.returncode == 0, run.stderr
            assert run.stdout.startswith("no faults in ")


@pytest.mark.covers("R24", "R54")
def test_every_fault_is_told_and_none_hides_another(checkout: Make) -> None:
    copy = checkout("default", "infra")
    overlay = "components/monitoring/controllers/staging"
    copy.write("extra/malformed.yaml", "a: [1\n")
    copy.write("extra/unknown-field.yaml", HELM_RELEASE.replace("interval", "intervall"))
    copy.write("extra/not-kubernetes.yaml", "just: text\n")
    copy.write("extra/key-twice.yaml", HELM_RELEASE + "kind: HelmRelease\n")
    unlisted = "components/monitoring/configs/base/unlisted.yaml"  # kustomize does not read it
    copy.write(unlisted, "a: [1\n")
    copy.write(f"{overlay}/kustomization.yaml", "kind: Kustomization\nresources: [../missing]\n")
    copy.write("components/cert-manager/controllers/base/cert-manager.yaml", HELM_RELEASE.replace("1h", "soon"))
    run = copy.run("validate.sh", GITHUB_ACTIONS="true")
    assert run.returncode == 1
    told = {line.partition(": ")[0] for line in run.stderr.splitlines() if re.match(r"[\w./-]+: ", line)}
    broken = {f"components/cert-manager/controllers/{name}" for name in ("base", "staging", "production")}
    plain = {f"extra/{name}.yaml" for name in ("malformed", "unknown-field", "not-kubernetes", "key-twice")}
    expected = {*plain, unlisted, overlay, *broken}
    assert told - {"error"} == expected
    assert run.stderr.endswith(f"error: {len(expected)} faults\n")
    annotated = set(re.findall(r"^::error file=(.*?)::", run.stdout, re.MULTILINE))
    assert annotated == expected


HELM_RELEASE: Final = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: x}
spec: {interval: 1h, chartRef: {kind: OCIRepository, name: x}}
"""


def test_what_is_no_manifest_is_left_out(checkout: Make) -> None:
    """Hidden folders, charts, Terraform, and what is asked for; the valid object shows that something is checked."""
    copy = checkout("default", "apps")
    before = copy.run("validate.sh").stdout
    copy.write(".hidden/x.yaml", "a: [1\n")
    copy.write("charts/x/Chart.yaml", "name: x\n")
    copy.write("charts/x/templates/x.yaml", "{{ if }}: [\n")
    copy.write("terraform/main.tf", "")
    copy.write("terraform/x.yaml", "a: [1\n")
    copy.write("named/x.yaml", "a: [1\n")
    copy.write("main.tf", "")
    assert copy.run("validate.sh").returncode == 1
    run = copy.run("validate.sh", "-e", "named")
    assert (run.returncode, run.stdout) == (0, before), run.stderr
    copy.write("valid.yaml", HELM_RELEASE)
    assert copy.run("validate.sh", "-e", "./named/x.yaml").stdout.startswith("no faults in 1 files")
    copy.write("invalid.yaml", HELM_RELEASE.replace("1h", "soon"))
    assert copy.run("validate.sh", "-d", "components").returncode == 0
    assert copy.run("validate.sh", "-e", "named").returncode == 1


@pytest.mark.covers("R21")
def test_schemas_that_are_not_what_was_released_are_refused(checkout: Make, releases: Path, tmp_path: Path) -> None:
    copy = checkout("default", "apps")
    forged = tmp_path / "forged"
    shutil.copytree(releases, forged)
    (archive,) = forged.rglob(f"v{FLUX}/crd-schemas.tar.gz")
    archive.write_bytes(archive.read_bytes() + b"more")
    run = copy.run("validate.sh", RELEASES=f"file://{forged}")
    assert run.returncode == 1
    assert "is not what its checksum says" in run.stderr


def test_a_release_without_the_schemas_of_flux_fails_the_check(checkout: Make, releases: Path, tmp_path: Path) -> None:
    """kubeconform lets pass what it has no schema for."""
    other = tmp_path / "other"
    shutil.copytree(releases, other)
    (archive,) = other.rglob(f"v{FLUX}/crd-schemas.tar.gz")
    with tarfile.open(archive, "w:gz"):
        pass
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (archive.parent / f"flux_{FLUX}_checksums.txt").write_text(f"{digest}  crd-schemas.tar.gz\n")
    run = checkout("default", "apps").run("validate.sh", RELEASES=f"file://{other}")
    assert run.returncode == 1
    assert "error: the releases have no schema " in run.stderr


def test_schemas_that_cannot_be_had_fail_the_check(checkout: Make, tmp_path: Path) -> None:
    """Without them every custom resource would pass."""
    run = checkout("default", "apps").run("validate.sh", RELEASES=f"file://{tmp_path}/nowhere")
    assert run.returncode == 1
    assert "crd-schemas.tar.gz cannot be had" in run.stderr
