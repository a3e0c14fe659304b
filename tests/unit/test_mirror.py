"""A fleet behind a mirror: every address is the copy's, and who pulls signs in and trusts it.

That the images of the catalog are those of its charts cannot be shown here: charts lie in registries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import pytest

from fleet import config
from fleet.manifests.images import Pulled, pulled
from fleet.manifests.instance import flux_instance
from fleet.manifests.operator import operator_resource_set
from fleet.manifests.trees.documents import FLUX
from fleet.model import Fleet, mirrored
from fleet.model.distribution import RELEASES
from fleet.model.mirror import bare
from sandbox.build import Parts
from tests import oracle
from tests.addresses import addresses
from tests.checkout import Checkout
from tests.mirrors import COPIES, MIRROR, upstream
from tests.reader import Reader
from tests.rendering import CASES, load_case, objects_of, trees_of

EVERY_DESIGN: Final = pytest.mark.parametrize("design", ["oci", "git"])
OTHERS: Final = {
    "https://github.com": "where validate.sh gets schemas, unless RELEASES names a mirror of them",
    "https://github[": "the regex of an identity, which is compared and not asked",
    "https://token[": "likewise",
    "https://token.actions.githubusercontent.com": "likewise",
    "https://rekor.sigstore.dev": "in the trusted root, which is given so that nobody is asked",
    "https://fluxcd.io": "a page to read",
    "https://acme-v02.api.letsencrypt.org/directory": "a service of the catalog's issuer, which fleet.yaml can replace",
    "https://acme-staging-v02.api.letsencrypt.org/directory": "likewise",
    "http://127.0.0.1:5000/v2": "on the machine itself",
    "127.0.0.1:5000/fleet:latest": "likewise",
    "e2e-registry:5000/fleet": "likewise",
    "http://localhost:3000/dashboards": "likewise",
    "http://localhost:9080": "likewise",
    "http://victoria-logs:9428": "inside the cluster",
    "harbor.internal/ca.crt": "a file of a node",
    "harbor.internal/hosts.toml": "likewise",
    "hub.internal:5000/ca.crt": "likewise",
    "hub.internal:5000/hosts.toml": "likewise",
    "https://harbor.internal": "the mirror",
    "https://hub.internal:5000": "likewise",
    "github.com/mikefarah/yq/v4": "built by Go, whose GOPROXY is the builder's",
    "github.com/yannh/kubeconform/cmd/kubeconform": "likewise",
    "sigs.k8s.io/kustomize/kustomize/v5": "likewise",
}
"""Addresses that are no mirror's business, and why."""


def foreign(found: Iterable[str], fleet: Fleet) -> set[str]:
    """Addresses that are neither the mirror's, nor the owner's, nor in the list of others."""
    own = (f"{fleet.artifacts}/", f"{fleet.home}/", *(f"{copy}/" for copy in COPIES))
    return {address for address in found if not f"{address}/".startswith(own)} - OTHERS.keys()


def copies(found: Iterable[str]) -> set[str]:
    """Names of what is on the mirror, without tags."""
    inside = tuple(f"{copy}/" for copy in COPIES)
    return {bare(address) for address in found if f"{address}/".startswith(inside) and address not in OTHERS}


def listed(fleet: Fleet) -> dict[str, Pulled]:
    """What has to be on the mirror, by its name there."""
    return {str(each.mirror(fleet)): each for each in pulled(fleet)}


# --- every address ---------------------------------------------------------------------------------------------------
@EVERY_DESIGN
def test_nothing_that_is_rendered_is_pulled_from_outside(design: str) -> None:
    """And what is pulled is listed, all of it: controllers are named by their registry only, see below."""
    before, fleet = upstream(design), mirrored(upstream(design))
    found = [address for text in trees_of(fleet).values() for address in addresses(text.decode())]
    assert foreign(found, fleet) == set()
    wanted, controllers = (
        set(map(bare, listed(before))),
        {f"harbor.internal/mirror/ghcr.io/fluxcd/{c}" for c in RELEASES[FLUX]},
    )
    assert controllers <= wanted
    folders = {name.rpartition("/")[0] for name in wanted} | {"harbor.internal/mirror/ghcr.io/partner"} | set(COPIES)
    assert copies(found) - folders == wanted - controllers
    assert copies(found) & folders >= {"harbor.internal/mirror/ghcr.io/fluxcd"}


def test_charts_are_listed_at_the_version_that_is_installed() -> None:
    before, fleet = upstream("oci"), mirrored(upstream("oci"))
    charts = [o["spec"] for path, o in objects_of(fleet) if o["kind"] == "OCIRepository"]
    charts.append(operator_resource_set(fleet)["spec"]["resources"][0]["spec"])
    found = {f"{spec['url'].removeprefix('oci://')}:{next(iter(spec['ref'].values()))}" for spec in charts}
    assert found == {copy for copy, each in listed(before).items() if each.kind == "chart"}


@EVERY_DESIGN
@pytest.mark.parametrize("stack", ["production", "sandbox"])
def test_nothing_that_the_program_makes_is_pulled_from_outside(
    checkout: Checkout, reader: Reader, design: str, stack: str
) -> None:
    given = {key: upstream(design).model_dump(by_alias=True, mode="json")[key] for key in ("mirror", "sources")}
    changes = checkout.use(design, stack, flux={"version": FLUX}, **given)
    run = checkout.run(stack, **changes)
    fleet = config.load_fleet(checkout.root / config.FLEET_FILE)
    asked = (asked.inputs for asked in run.monitor.registrations if "providers" not in asked.type)
    text = "\n".join(json.dumps(inputs, default=str, indent=1).replace('"', " ") for inputs in asked)
    assert foreign(addresses(text), fleet) == set()
    assert {"harbor.internal/mirror/ghcr.io/controlplaneio-fluxcd/flux-operator"} <= copies(addresses(text))


def test_nodes_of_kind_are_made_of_the_copy(checkout: Checkout, reader: Reader) -> None:
    checkout.use("oci", "staging", flux={"version": FLUX}, mirror=MIRROR)
    (made,) = (asked for asked in checkout.run("staging").monitor.registrations if "KIND_IMAGE" in str(asked.inputs))
    assert made.inputs["environment"]["KIND_IMAGE"].startswith("hub.internal:5000/kindest/node:v")


@pytest.mark.sandbox
@pytest.mark.parametrize("cluster", ["staging", "production", "update"])
def test_the_operator_installs_the_copies_of_exactly_the_listed_controllers(cluster: str, parts: Parts) -> None:
    """Of the two distributions that the case has, by their digests."""
    fleet, before = load_case("mirror"), config.load_upstream(CASES["mirror"])
    with oracle.serve_artifact(parts.flux_manifests) as artifact:
        objects = oracle.build_instance(parts, flux_instance(fleet, cluster), artifact)
    pods = [o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment"]
    images = {container["image"].partition("@")[0] for pod in pods for container in pod["containers"]}
    assert images <= set(listed(before))
    assert len(images) == len(fleet.controllers_of(cluster))
    registry = "ghcr.io/controlplaneio-fluxcd/distroless" if cluster == "production" else "ghcr.io/fluxcd"
    assert {image.rpartition("/")[0] for image in images} == {f"harbor.internal/mirror/{registry}"}


@pytest.mark.parametrize(
    "line",
    [
        "image: quay.io/x/y:v1",
        "image: busybox",
        "FROM alpine:3 AS build",
        "url: oci://ghcr.io/x/charts/y",
        "url: https://charts.example.com",
        "args: [--helper=registry.k8s.io/x/y:v1]",
        "image: {repository: curlimages/curl}",
        "kind create cluster --image kindest/node:v1",
        "  docker.io/library/registry:3 \\",
    ],
)
def test_the_finder_finds(line: str) -> None:
    assert foreign(addresses(line), upstream("oci"))
