"""What a stack exports: facts, a text for newcomers, and kubeconfigs as secrets."""

from __future__ import annotations

import pytest

from fleet.resources import live
from sandbox.program.registration import UNKNOWN, Secret
from tests.checkout import STACKS, Checkout
from tests.reader import ADOPTED, Reader, found

APPS = "https://github.com/acme-platform/apps"
TENANTS = {
    name: {"team": team, "namespace": name, "repository": APPS, "folder": f"components/{name}"}
    for name, team in (("frontend", "web"), ("backend", "data"))
}


@pytest.mark.parametrize(
    ("stack", "environment", "tag"),
    [
        ("sandbox", "staging", "latest"),
        ("staging", "staging", "latest"),
        ("production", "production", "latest-stable"),
        ("update", "update", "latest"),
    ],
)
@pytest.mark.covers("R104")
def test_the_outputs_of_a_stack(checkout: Checkout, reader: Reader, stack: str, environment: str, tag: str) -> None:
    outputs = dict(checkout.run(stack).outputs)
    outputs.pop("onboarding")
    assert outputs == {
        "environment": environment,
        "design": "oci",
        "delivers_from": "oci://ghcr.io/acme-platform",
        "clusters": {
            name: {
                "instance": f"{name}-fluxinstance-flux-id",
                "source": "oci://ghcr.io/acme-platform/fleet",
                "revision": tag,
                "path": f"clusters/{name}",
            }
            for name in STACKS[stack]
        },
        "tenants": {} if stack == "update" else TENANTS,
        "kubeconfigs": {name: Secret(checkout.kubeconfig(name)) for name in STACKS[stack]},
    }


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.covers("R71")
def test_the_platform_team_gets_what_the_program_itself_works_with_on_every_cluster(
    checkout: Checkout, reader: Reader, stack: str
) -> None:
    """As cluster admin: with less, it could not install the operator, which binds itself to that role."""
    run = checkout.run(stack)
    used = {name: run.resources[f"pulumi:providers:kubernetes::{name}"].inputs["kubeconfig"] for name in STACKS[stack]}
    assert run.outputs["kubeconfigs"] == used
    assert all(isinstance(kubeconfig, Secret) for kubeconfig in run.outputs["kubeconfigs"].values())


OWN = {
    "frontend": {"team": "web", "repository": "Frontend.Deploy"},
    "backend": {"team": "data", "environments": ["production"]},
}


def test_the_outputs_in_the_git_design(checkout: Checkout, reader: Reader) -> None:
    """Only tenants of the environment are told of, each with the repository that is its own."""
    checkout.use("git", "sandbox", tenants=OWN)
    outputs = checkout.run("sandbox").outputs
    assert (outputs["design"], outputs["delivers_from"]) == ("git", "https://github.com/acme-platform")
    cluster = outputs["clusters"]["staging"]
    assert cluster["source"] == "https://github.com/acme-platform/fleet.git"
    assert (cluster["revision"], cluster["path"]) == ("refs/heads/main", "clusters/staging")
    assert {name: tenant["repository"] for name, tenant in outputs["tenants"].items()} == {
        "frontend": "https://github.com/acme-platform/Frontend.Deploy"
    }


PEOPLE = f"""
frontend: team web, {APPS}, folder components/frontend
backend: team data, {APPS}, folder components/backend"""
ONBOARDING = {
    ("oci", "sandbox"): "staging runs on: staging\nA merge to main brings a change of a tenant's folder here.",
    ("oci", "production"): "production runs on: prod-eu, prod-us\n"
    "A release tag `<tenant>/vX.Y.Z` brings a change of a tenant's folder here.",
    ("git", "production"): "production runs on: prod-eu, prod-us\n"
    "A merge of main to production brings a change of a tenant's folder here.",
}


@pytest.mark.parametrize(("design", "stack"), ONBOARDING)
def test_the_text_for_newcomers(checkout: Checkout, reader: Reader, design: str, stack: str) -> None:
    checkout.use(design, stack)
    assert checkout.run(stack).outputs["onboarding"] == ONBOARDING[design, stack] + PEOPLE


def test_a_fleet_without_tenants_has_no_lines_about_them(checkout: Checkout, reader: Reader) -> None:
    checkout.change_fleet(tenants={})
    outputs = checkout.run("sandbox").outputs
    assert (outputs["tenants"], len(outputs["onboarding"].splitlines())) == ({}, 2)


def test_the_stacks_registry_is_the_one_that_is_told(checkout: Checkout, reader: Reader) -> None:
    outputs = checkout.run("sandbox", registry="mirror.example.com:5000").outputs
    assert outputs["delivers_from"] == "oci://mirror.example.com:5000/acme-platform"
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
