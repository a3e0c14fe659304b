"""What a stack exports: facts, a text for newcomers, and kubeconfigs as secrets."""

from __future__ import annotations

import pytest

from fleet.resources import live
from sandbox.program.registration import UNKNOWN, Secret
from tests.checkout import STACKS, Checkout
from tests.reader import ADOPTED, Reader, found

TENANTS = {
    "frontend": {"team": "web", "namespace": "frontend"},
    "backend": {"team": "data", "namespace": "backend"},
}


@pytest.mark.parametrize(
    ("stack", "environment", "tag"),
    [
        ("sandbox", "staging", "latest"),
        ("staging", "staging", "latest"),
        ("production", "production", "latest-stable"),
    ],
)
def test_the_outputs_of_a_stack(checkout: Checkout, reader: Reader, stack: str, environment: str, tag: str) -> None:
    outputs = dict(checkout.run(stack).outputs)
    outputs.pop("onboarding")
    assert outputs == {
        "environment": environment,
        "artifacts": "oci://ghcr.io/acme-platform",
        "clusters": {
            name: {
                "instance": f"{name}-fluxinstance-flux-id",
                "source": "oci://ghcr.io/acme-platform/fleet",
                "revision": tag,
                "path": f"clusters/{name}",
            }
            for name in STACKS[stack]
        },
        "tenants": TENANTS,
        "kubeconfigs": {name: Secret(checkout.kubeconfig(name)) for name in STACKS[stack]},
    }


ONBOARDING = {
    "sandbox": """\
staging runs on: staging
Applications: https://github.com/acme-platform/apps, folder components/<tenant>; a merge to main brings a change here.
Tenants: frontend (team web), backend (team data)""",
    "production": """\
production runs on: prod-eu, prod-us
Applications: https://github.com/acme-platform/apps, folder components/<tenant>; \
a release tag `<tenant>/vX.Y.Z` brings a change here.
Tenants: frontend (team web), backend (team data)""",
}


@pytest.mark.parametrize("stack", ONBOARDING)
def test_the_text_for_newcomers(checkout: Checkout, reader: Reader, stack: str) -> None:
    assert checkout.run(stack).outputs["onboarding"] == ONBOARDING[stack]


def test_a_fleet_without_tenants_says_so(checkout: Checkout, reader: Reader) -> None:
    checkout.change_fleet(tenants={})
    outputs = checkout.run("sandbox").outputs
    assert (outputs["tenants"], outputs["onboarding"].splitlines()[-1]) == ({}, "Tenants: none")


def test_the_stacks_registry_is_the_one_that_is_told(checkout: Checkout, reader: Reader) -> None:
    outputs = checkout.run("sandbox", registry="mirror.example.com:5000").outputs
    assert outputs["artifacts"] == "oci://mirror.example.com:5000/acme-platform"
    assert outputs["clusters"]["staging"]["source"] == "oci://mirror.example.com:5000/acme-platform/fleet"


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_the_instance_is_told_whoever_owns_it(checkout: Checkout, reader: Reader, preview: bool) -> None:
    """An adopted object keeps its outputs: a reader of the stack sees no difference."""
    verdicts: live.Verdicts = found("instance", ADOPTED, ADOPTED)
    reader.answer = lambda kubeconfig: verdicts
    run = checkout.run("sandbox", preview=preview)
    assert run.outputs["clusters"]["staging"]["instance"] == "flux-system/flux"
    component = run.resources["fleet:index:FluxCluster::staging"].urn
    assert run.monitor.outputs[component] == {"instance": "flux-system/flux"}


def test_outputs_of_a_cluster_that_is_not_there_yet(checkout: Checkout, reader: Reader) -> None:
    """Everything but its kubeconfig is known from the files."""
    outputs = checkout.run("staging", preview=True).outputs
    assert outputs["kubeconfigs"] == {"staging": Secret(UNKNOWN)}
    assert outputs["clusters"]["staging"]["path"] == "clusters/staging"
