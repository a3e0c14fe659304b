"""What Flux tells people: commit statuses and a chat, in every namespace, with the secrets that they need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from fleet.manifests.alerts import alerts
from fleet.manifests.delivery import tenant_resource_sets
from fleet.model import Fleet
from tests.rendering import Schemas, make_fleet, validate

CHAT: Final = {"type": "slack", "channel": "fleet"}
BOTH: Final = {"commitStatus": True, "chat": CHAT, "severity": "info"}
each_design: Final = pytest.mark.parametrize("design", ["oci", "git"])
SECRETS: Final = {
    ("oci", "infra"): {"ghcr-auth", "github-status", "alert-address"},
    ("oci", "apps"): {"ghcr-auth", "github-status", "alert-address"},
    ("git", "infra"): {"flux-system", "alert-address"},
    ("git", "apps"): {"flux-apps", "alert-address"},
}
"""Copies in the namespaces of a ResourceSet; in the git design the token that reads reports too."""


def fleet_with(design: str, **settings: Any) -> Fleet:
    workloads: dict[str, Any] = {"components": {"a": {}}, "tenants": {"b": {"team": "platform"}}}
    return make_fleet(design=design, owner="Acme-Corp", alerts=settings, **workloads)


def of_kind(resource_set: Any, kind: str) -> dict[str, Any]:
    """By name; where a ResourceSet has no inputs, its objects are in flux-system."""
    return {r["metadata"]["name"]: r for r in resource_set["spec"]["resources"] if r["kind"] == kind}


def told(fleet: Fleet) -> Iterator[tuple[str, Any]]:
    for name, resource_set in tenant_resource_sets(fleet).items():
        if any(r["kind"] == "Alert" for r in resource_set["spec"]["resources"]):
            yield name, resource_set


@each_design
@pytest.mark.covers("R60", "R170")
def test_every_namespace_tells_of_its_own_objects(design: str) -> None:
    """An alert must not refer to other namespaces, and a tenant's has no right to."""
    found = dict(told(fleet_with(design, **BOTH)))
    assert list(found) == ["alerts", "infra", "apps"]
    for name, resource_set in found.items():
        providers, made = of_kind(resource_set, "Provider"), of_kind(resource_set, "Alert")
        assert list(made) == list(providers) == ["commit-status", "chat"]
        namespace = "flux-system" if name == "alerts" else "<< inputs.tenant >>"
        for alert in made.values():
            assert alert["metadata"]["namespace"] == namespace
            assert alert["spec"]["providerRef"]["name"] in providers
            assert not [source for source in alert["spec"]["eventSources"] if "namespace" in source]
            assert alert["spec"]["eventMetadata"] == {"cluster": "${CLUSTER_NAME}"}


@each_design
@pytest.mark.parametrize("severity", ["info", "error"])
def test_a_chat_is_told_of_everything_that_is_as_grave_as_is_wanted(design: str, severity: str) -> None:
    for _, resource_set in told(fleet_with(design, **BOTH | {"severity": severity})):
        provider, alert = (of_kind(resource_set, kind)["chat"]["spec"] for kind in ("Provider", "Alert"))
        assert provider == {"type": "slack", "channel": "fleet", "secretRef": {"name": "alert-address"}}
        assert alert["eventSeverity"] == severity
        source = "GitRepository" if design == "git" else "OCIRepository"
        assert [s["kind"] for s in alert["eventSources"]] == [source, "Kustomization", "HelmRelease"]


@each_design
def test_a_commit_status_goes_to_the_repository_that_the_revision_is_of(design: str) -> None:
    """Only Kustomizations report revisions, failures and successes alike."""
    home = "https://github.com/Acme-Corp"
    addresses = {"alerts": f"{home}/fleet", "infra": f"{home}/<< inputs.repository >>"}
    secrets = {"alerts": "flux-system", "infra": "flux-system", "apps": "flux-apps"}
    for name, resource_set in told(fleet_with(design, **BOTH)):
        provider, alert = (of_kind(resource_set, kind)["commit-status"]["spec"] for kind in ("Provider", "Alert"))
        assert (provider["type"], provider["address"]) == ("github", addresses.get(name, addresses["infra"]))
        assert provider["secretRef"] == {"name": secrets[name] if design == "git" else "github-status"}
        assert (alert["eventSeverity"], [s["kind"] for s in alert["eventSources"]]) == ("info", ["Kustomization"])


@pytest.mark.parametrize(("design", "kind"), SECRETS)
def test_each_namespace_has_a_copy_of_every_secret_that_its_alerts_name(design: str, kind: str) -> None:
    resource_set = tenant_resource_sets(fleet_with(design, **BOTH))[kind]
    copies = of_kind(resource_set, "Secret")
    wanted = {provider["spec"]["secretRef"]["name"] for provider in of_kind(resource_set, "Provider").values()}
    assert wanted <= copies.keys() == SECRETS[design, kind]
    for name, copy in copies.items():
        assert copy["metadata"]["annotations"]["fluxcd.controlplane.io/copyFrom"] == f"flux-system/{name}"


@pytest.mark.parametrize(
    ("design", "settings", "names"),
    [
        ("oci", {}, []),
        ("oci", {"commitStatus": True}, ["commit-status"]),
        ("oci", {"chat": CHAT}, ["chat"]),
        ("git", {}, ["commit-status"]),
        ("git", {"commitStatus": False}, []),
        ("git", {"commitStatus": False, "chat": CHAT}, ["chat"]),
    ],
)
def test_nothing_is_told_that_nobody_asked_for(design: str, settings: Any, names: list[str]) -> None:
    """In the git design there is a token for it anyway; and without alerts nothing waits for their kinds."""
    fleet = fleet_with(design, **settings)
    assert {name: list(of_kind(found, "Alert")) for name, found in told(fleet)} == (
        dict.fromkeys(("alerts", "infra", "apps"), names) if names else {}
    )
    waits = [d["name"] for s in tenant_resource_sets(fleet).values() for d in s["spec"].get("dependsOn", [])]
    assert ("alerts.notification.toolkit.fluxcd.io" in waits) is bool(names)
    assert ("alerts" in tenant_resource_sets(fleet)) is bool(names)


@each_design
def test_every_alert_fits_its_schema(design: str, schemas: Schemas) -> None:
    fleet = fleet_with(design, **BOTH)
    for manifest in alerts(fleet, "flux-system", "fleet", "secret"):
        validate(schemas, manifest)
    for kind in ("slack", "msteams", "discord", "googlechat", "rocket", "generic"):
        for manifest in alerts(fleet_with(design, chat={"type": kind}), "flux-system", "fleet", "secret"):
            validate(schemas, manifest)


def test_a_github_of_ones_own_is_told_at_its_own_address() -> None:
    fleet = make_fleet(design="git", github={"url": "https://github.example.com"}, components={"a": {}})
    provider = of_kind(tenant_resource_sets(fleet)["alerts"], "Provider")["commit-status"]["spec"]
    assert provider["address"] == "https://github.example.com/acme/fleet"
