"""What the sandbox publishes of a fleet: the repositories as commits, and artifacts in the design that has them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx2
import pytest

from fleet import config
from fleet.manifests.trees import trees
from fleet.model import Fleet, repositories_of
from sandbox.sources import registry
from sandbox.sources.publish import Published, publish
from tests.fake_registry import FakeRegistry, connect, sha256
from tests.rendering import CASES


class Registries:
    """A `FakeRegistry` for each repository, since it knows no more than one."""

    def __init__(self) -> None:
        self.repositories: dict[str, FakeRegistry] = {}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        found = re.search(r"/v2/(.+?)/(manifests|blobs|uploads)/", request.url.path)
        assert found
        return self.repositories.setdefault(found[1], FakeRegistry())(request)


class Scene:
    """Registries that are not reached over the network, and folders for what is published."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registries()
        self.git = folder / "git"
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        (self.manifests / "install.yaml").write_text("x")

    def publish(self, fleet: Fleet) -> Published:
        return publish(fleet, trees(fleet), self.manifests, "127.0.0.1:5000", self.git)

    def rev_parse(self, path: str, ref: str) -> str:
        command = ["git", "rev-parse", "--verify", ref]
        return subprocess.run(command, cwd=self.git / path, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene(tmp_path)

    def connect_to(address: str) -> httpx2.Client:
        assert address == "127.0.0.1:5000"
        return connect(scene.registry)

    monkeypatch.setattr(registry, "connect", connect_to)
    return scene


def test_the_git_design_is_commits(scene: Scene) -> None:
    """Every repository, tenants' own ones too, with `production` where environments follow it. The artifact of the
    fleet is there for clusters that still follow it, and nobody is waited for to do so."""
    fleet = config.load_fleet(CASES["git"])
    published = scene.publish(fleet)
    base = "https://github.example.com/acme-sre"
    delivering = {"infra", "apps", "shop-deploy", "billing-deploy"}
    assert {"fleet-sre", *delivering} <= repositories_of(fleet).keys()
    assert published.keys() == {f"{base}/{name}.git" for name in repositories_of(fleet)}
    for name in repositories_of(fleet):
        main = scene.rev_parse(f"acme-sre/{name}.git", "main")
        assert published[f"{base}/{name}.git"] == f"sha1:{main}"
        production = main if name in delivering else ""
        assert scene.rev_parse(f"acme-sre/{name}.git", "production") == production
    artifacts = {"controlplaneio-fluxcd/flux-operator-manifests", "acme-sre/fleet-sre"}
    assert scene.registry.repositories.keys() == artifacts


def test_the_oci_design_is_artifacts_and_commits(scene: Scene) -> None:
    """One for the fleet and one a component or tenant, in lower case, under every tag that is followed."""
    fleet = config.load_fleet(CASES["complete"])
    published = scene.publish(fleet)
    base = f"oci://{fleet.registry}/acme-corp"
    workloads = [
        *(f"platform-infra/{name}" for name in fleet.components),
        *(f"{fleet.repository_of(tenant).lower()}/{name}" for name, tenant in fleet.tenants.items()),
    ]
    addresses = {f"{base}/{name}" for name in ["fleet", *workloads]}
    assert {address for address in published if address.startswith("oci://")} == addresses
    for address in addresses:
        manifests = scene.registry.repositories[address.removeprefix(f"oci://{fleet.registry}/")].manifests
        assert sha256(manifests["latest"]) == sha256(manifests["latest-stable"]) == published[address]
    commits = {address for address in published if address.startswith("https://")}
    assert {"Fleet", "Platform-Infra", "apps.v2"} < repositories_of(fleet).keys()
    assert commits == {f"https://github.com/Acme-Corp/{name}.git" for name in repositories_of(fleet)}


def test_an_artifact_holds_its_folder(scene: Scene) -> None:
    fleet = config.load_fleet(CASES["complete"])
    published = scene.publish(fleet)
    component = next(iter(fleet.components))
    name = f"acme-corp/platform-infra/{component}"
    tree = trees(fleet)[fleet.repositories.infra]
    folder = f"components/{component}/"
    files = {path.removeprefix(folder): content for path, content in tree.items() if path.startswith(folder)}
    assert "controllers/base/kustomization.yaml" in files
    manifest = scene.registry.repositories[name].manifests[published[f"oci://{fleet.registry}/{name}"]]
    packed = registry.make_artifact(files, source="", revision="", created="")
    (layer,) = packed.blobs.keys() - {sha256(b"{}")}
    assert layer.encode() in manifest


@pytest.mark.parametrize("case", ["git", "complete"])
def test_publishing_twice_moves_nothing(scene: Scene, case: str) -> None:
    fleet = config.load_fleet(CASES[case])
    first = scene.publish(fleet)
    for repository in scene.registry.repositories.values():
        repository.written.clear()
    before = {path: path.stat().st_mtime_ns for path in scene.git.rglob("*")}
    assert scene.publish(fleet) == first
    assert not any(repository.written for repository in scene.registry.repositories.values())
    assert {path: path.stat().st_mtime_ns for path in scene.git.rglob("*")} == before


def test_only_what_changed_moves(scene: Scene) -> None:
    fleet = config.load_fleet(CASES["git"])
    first = scene.publish(fleet)
    billing = fleet.tenants["billing"].model_copy(update={"releases": fleet.tenants["shop"].releases})
    second = scene.publish(fleet.model_copy(update={"tenants": {**fleet.tenants, "billing": billing}}))
    moved = {address.rpartition("/")[2] for address in first if first[address] != second[address]}
    assert moved == {"billing-deploy.git"}
