"""What a mirror calls each thing that is pulled, and the list of all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from fleet import config
from fleet.cli import main
from fleet.manifests.images import Pulled, kept, pulled
from fleet.manifests.instance import flux_instance
from fleet.manifests.trees.documents import FLUX
from fleet.model import mirrored, parse_fleet, parse_stack, with_catalog
from fleet.model.distribution import RELEASES
from fleet.model.mirror import bare
from sandbox.parts import recipe
from tests.checkout import REPOSITORY
from tests.mirrors import COPIES, MIRROR, upstream
from tests.rendering import CASES, load_case, make_fleet, module_folder

DIGEST: Final = f"sha256:{'0' * 64}"


# --- names -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reference", "copy"),
    [
        ("quay.io/jetstack/x:v1", "harbor.internal/quay/jetstack/x:v1"),
        ("ghcr.io/a/b", "harbor.internal/mirror/ghcr.io/a/b"),
        ("oci://ghcr.io/a/b", "oci://harbor.internal/mirror/ghcr.io/a/b"),
        ("traefik:v3", "hub.internal:5000/library/traefik:v3"),
        ("docker.io/traefik:v3", "hub.internal:5000/library/traefik:v3"),
        ("giantswarm/tiny-tools", "hub.internal:5000/giantswarm/tiny-tools"),
        ("oci://registry-1.docker.io/cloudpirates/redis", "oci://hub.internal:5000/cloudpirates/redis"),
        ("localhost:5000/x/y:1", "harbor.internal/mirror/localhost-5000/x/y:1"),
        ("harbor.internal/charts/x:1", "harbor.internal/charts/x:1"),
        ("hub.internal:5000/x", "hub.internal:5000/x"),
        ("ghcr.io/acme/own:1", "ghcr.io/acme/own:1"),
        ("ghcr.io/acme-evil/x", "harbor.internal/mirror/ghcr.io/acme-evil/x"),
    ],
)
def test_where_something_is_pulled_from(reference: str, copy: str) -> None:
    fleet = make_fleet(mirror=MIRROR, flux={"version": FLUX})
    assert fleet.pulled_from(reference) == copy
    assert fleet.pulled_from(copy) == copy, "once is enough"
    assert make_fleet().pulled_from(reference) == reference


def test_mirroring_twice_is_mirroring_once() -> None:
    assert mirrored(load_case("mirror")) == load_case("mirror")


@pytest.mark.parametrize(
    ("reference", "source", "copy"),
    [
        (f"docker.io/redis:8@{DIGEST}", f"docker.io/library/redis@{DIGEST}", "hub.internal:5000/library/redis:8"),
        ("a/b", "docker.io/a/b", "hub.internal:5000/a/b:latest"),
        ("quay.io/a/b:1", "quay.io/a/b:1", "harbor.internal/quay/a/b:1"),
    ],
)  # fmt: skip
def test_a_line_of_the_list_is_what_a_registry_tool_copies(reference: str, source: str, copy: str) -> None:
    """Tools take a tag or a digest, and write tags only."""
    each = Pulled(kind="image", reference=reference, used_by="x")
    assert (each.source, each.mirror(upstream("oci")), each.mirror(make_fleet())) == (source, copy, None)


def test_values_for_what_no_pod_template_names_are_filled_in() -> None:
    fleet = load_case("mirror")
    assert fleet.components["own"].releases["agent"].values == {
        "args": ["--helper=harbor.internal/mirror/ghcr.io/acme/helper:v1"],
        "from": "hub.internal:5000",
    }
    unmirrored = yaml.safe_load(CASES["mirror"].read_text()) | {"mirror": None}
    raw, _ = with_catalog(unmirrored, config.catalog(), "fleet.yaml")
    assert mirrored(parse_fleet(raw)).components["own"].releases["agent"].values == {}


def test_a_distribution_of_flux_keeps_its_flavour() -> None:
    """The operator knows it by the registry's name otherwise, and no other than its own."""
    fleet = load_case("mirror")
    found = {cluster: flux_instance(fleet, cluster)["spec"]["distribution"] for cluster in fleet.clusters}
    assert {name: given["variant"] for name, given in found.items()} == {
        "staging": "upstream-alpine",
        "production": "enterprise-distroless",
        "update": "upstream-alpine",
    }
    assert {given["imagePullSecret"] for given in found.values()} == {"mirror-auth"}
    assert [given["artifactPullSecret"] for given in found.values()] == ["manifests", "enterprise", "manifests"]
    plain = flux_instance(make_fleet(mirror=MIRROR, flux={"version": FLUX}), "staging")["spec"]["distribution"]
    assert plain["artifactPullSecret"] == "mirror-auth"


@pytest.mark.parametrize("release", RELEASES)
def test_the_releases_of_flux_have_these_controllers(release: str) -> None:
    """As the operator has them, by which it names images."""
    folder = module_folder(recipe.OPERATOR) / "config/data/flux-images" / f"v{release}"
    for file in folder.glob("*.yaml"):
        images = yaml.safe_load(file.read_text())["images"]
        assert {i["name"].rpartition("/")[2]: i["newTag"] for i in images} == {
            controller: f"v{version}" for controller, version in RELEASES[release].items()
        }
    assert list(folder.glob("upstream-alpine.yaml"))


def test_the_newest_release_of_flux_is_known() -> None:
    assert next(iter(RELEASES)) == FLUX


# --- the list --------------------------------------------------------------------------------------------------------
def test_a_stack_asks_for_what_its_clusters_need() -> None:
    fleet = config.load_upstream(CASES["mirror"])
    stack = parse_stack({"environment": "update", "clusters": {"update": {"kind": "kind"}}}, fleet, "x")
    found = {bare(each.source).rpartition("/")[2] for each in pulled(fleet, stack)}
    assert {"image-automation-controller", "flux-operator", "node"} <= found
    assert found.isdisjoint({"helm-controller", "cert-manager", "redis"})
    everything = {each.source for each in pulled(fleet)}
    assert {each.source for each in pulled(fleet, stack)} < everything


def test_what_is_the_owners_or_the_stacks_is_named_apart() -> None:
    fleet = config.load_upstream(CASES["mirror"])
    own = f"{fleet.artifacts}/"
    given = {
        "environment": "staging",
        "clusters": {"staging": {"kind": "kind"}},
        "operatorChart": "./chart",
        "operatorVersion": "0.59.0",
        "manifestsArtifact": "oci://r.test/m:1",
    }
    stack = parse_stack(given, fleet, "x")
    needed = {each.source for each in pulled(fleet, stack)}
    assert not [source for source in needed if source.startswith(own)]
    assert "ghcr.io/controlplaneio-fluxcd/flux-operator:v0.59.0" in needed
    assert not [source for source in needed if "manifests" in source]
    assert kept(fleet, stack)[-2:] == ["./chart", "oci://r.test/m:1"]
    assert [f"{own}fleet", *(f"{own}infra/{name}" for name in fleet.components)] == kept(fleet)[:4]
    assert kept(upstream("git"))[0] == "https://github.com/acme-platform/fleet.git"


def test_without_a_mirror_the_sources_are_listed() -> None:
    fleet = load_case("default")
    assert {each.mirror(fleet) for each in pulled(fleet)} == {None}
    assert "ghcr.io/fluxcd/source-controller" in {each.source for each in pulled(fleet)}, "the operator chooses its tag"


# --- the command -----------------------------------------------------------------------------------------------------
@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fleet behind a mirror, and a stack of it that lacks its secrets."""
    (tmp_path / config.FLEET_FILE).write_bytes(CASES["mirror"].read_bytes())
    stack = {"fleet:environment": "staging", "fleet:clusters": {"staging": {"kind": "kind"}}}
    (tmp_path / "Pulumi.local.yaml").write_text(yaml.safe_dump({"config": stack}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["--stack", "local"]])
def test_each_line_is_a_copy_to_be_made_or_a_comment(
    arguments: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["images", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    copied = [line.split() for line in lines if not line.startswith("#")]
    assert {len(words) for words in copied} == {2}
    assert [target for _, target in copied if not target.startswith(COPIES) or "@" in target] == []
    assert len({target for _, target in copied}) == len(copied)
    comments = {line.removeprefix("# not mirrored: ") for line in lines if line.startswith("#")}
    assert comments >= {"harbor.internal/fleet/acme-corp/fleet", "harbor.internal/charts/agent:1.0.0"}
    assert any("kindest/node" in line for line in lines)


def test_as_json_it_says_what_each_is_and_who_uses_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {
        "kind": "chart",
        "source": "quay.io/jetstack/charts/cert-manager:v1.20.2",
        "mirror": "harbor.internal/quay/jetstack/charts/cert-manager:v1.20.2",
        "usedBy": "components.cert-manager.releases.cert-manager",
    } in found["pulled"]
    assert {each["kind"] for each in found["pulled"]} == {"image", "chart", "artifact"}
    assert "harbor.internal/fleet/acme-corp/apps/frontend" in found["notMirrored"]


def test_whoever_has_read_enough_ends_the_list_in_silence() -> None:
    """As `python -m fleet images | head` does."""
    command = [sys.executable, "-m", "fleet", "images"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
