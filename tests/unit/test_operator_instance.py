"""What the operator makes of our FluxInstances, asked of its own offline builder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from fleet.errors import ConfigError
from fleet.manifests.instance import flux_instance
from fleet.model import Fleet
from sandbox.build import Parts
from tests import oracle
from tests.rendering import CLUSTERS, load_case, make_fleet

pytestmark = pytest.mark.sandbox

each_cluster: Final = pytest.mark.parametrize(
    ("case", "cluster"), [(case, c) for case in CLUSTERS for c in CLUSTERS[case]]
)


@pytest.fixture(scope="module")
def artifact(parts: Parts) -> Iterator[str]:
    with oracle.serve_artifact(parts.flux_manifests) as address:
        yield address


@each_cluster
@pytest.mark.covers("R78", "R79", "R85", "R86", "R87", "R124", "R143", "R144", "R145")
def test_the_instance_installs_its_controllers_and_syncs_the_fleet_repository(
    case: str, cluster: str, parts: Parts, artifact: str
) -> None:
    """Its signed artifact, or its main branch; image automation is nowhere beside the rest in the oci design."""
    fleet = load_case(case)
    objects = oracle.build_instance(parts, flux_instance(fleet, cluster), artifact)
    assert {o["metadata"]["labels"]["fluxcd.controlplane.io/name"] for o in objects} == {"flux"}
    named = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    deployed = {name for kind, name in named if kind == "Deployment"}
    assert deployed >= set(fleet.controllers_of(cluster))
    assert ("CustomResourceDefinition", "kustomizations.kustomize.toolkit.fluxcd.io") in named
    automates = fleet.automates(cluster) or fleet.environment_of(cluster).role == "update"
    assert ("image-automation-controller" in deployed) is automates
    assert fleet.design == "git" or not {"image-automation-controller", "helm-controller"} <= deployed
    check_sync(fleet, cluster, named)


def check_sync(fleet: Fleet, cluster: str, named: Mapping[tuple[str, str], Any]) -> None:
    sync = named["Kustomization", "flux-system"]["spec"]
    assert (sync["path"], sync["prune"]) == (f"clusters/{cluster}", True)
    environment, repository = fleet.environment_of(cluster), fleet.repositories.fleet
    if fleet.design == "oci":
        source = named["OCIRepository", "flux-system"]["spec"]
        assert source["url"] == f"oci://{fleet.artifacts}/{repository.lower()}"
        assert source["ref"] == {"tag": "latest" if environment.tracks == "main" else "latest-stable"}
        assert source["verify"]["provider"] == "cosign"
        assert ("GitRepository", "flux-system") not in named
    else:
        source = named["GitRepository", "flux-system"]["spec"]
        assert source["url"] == f"{fleet.github.url}/{fleet.owner}/{repository}.git"
        assert source["ref"] == {"name": "refs/heads/main"}
        assert source["secretRef"] == {"name": "flux-system"}
        assert source.get("provider", "generic") == ("github" if environment.auth == "app" else "generic")


@pytest.mark.covers("R72", "R147")
def test_tenants_are_locked_down_and_the_size_is_that_of_the_cluster(parts: Parts, artifact: str) -> None:
    fleet = load_case("complete")
    built = {c: oracle.build_instance(parts, flux_instance(fleet, c), artifact) for c in ("qa", "staging", "prod-eu")}
    arguments = {cluster: arguments_of(objects) for cluster, objects in built.items()}
    for flags in arguments.values():
        assert {"--no-cross-namespace-refs=true", "--no-remote-bases=true"} <= flags
        assert "--default-service-account=flux" in flags
    assert ("--concurrent=5" in arguments["qa"], "--concurrent=20" in arguments["prod-eu"]) == (True, True)
    policies = {cluster: any(o["kind"] == "NetworkPolicy" for o in objects) for cluster, objects in built.items()}
    assert policies == {cluster: fleet.flux_of(cluster).network_policy for cluster in built}
    assert policies == {"qa": True, "staging": False, "prod-eu": True}


def arguments_of(objects: list[Any]) -> set[str]:
    """Of kustomize-controller."""
    (deployment,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Deployment", "kustomize-controller")]
    return set(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


@pytest.mark.parametrize(("version", "works"), [("2.6.x", False), ("2.8.x", True), ("2.x", True)])
def test_flux_is_as_new_as_the_operator_wants_it_for_our_controllers(
    version: str, works: bool, parts: Parts, artifact: str
) -> None:
    """The model refuses what the operator would stall on."""
    manifest = flux_instance(make_fleet(), "staging")
    manifest["spec"]["distribution"]["version"] = version
    if works:
        assert oracle.build_instance(parts, manifest, artifact)
        make_fleet(flux={"version": version})
    else:
        with pytest.raises(AssertionError, match=r"source-watcher is only supported .* >= 2\.7"):
            oracle.build_instance(parts, manifest, artifact)
        with pytest.raises(ConfigError):
            make_fleet(flux={"version": version})
