"""No secret value shows anywhere in the clear: inputs, options, providers, outputs, log, console, errors."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import pytest
import yaml

from fleet.errors import ClusterError, ConfigError
from sandbox.program.registration import Secret, reveal
from tests.checkout import (
    APPS,
    DESIGNS,
    KIND,
    KIND_STACKS,
    SECRET_OBJECTS,
    STACKS,
    UPDATE_APP,
    Checkout,
    kubeconfig_token,
    label,
    secret_value,
)
from tests.kubernetes_api import serve
from tests.reader import ADOPTED, Reader, found
from tests.recording import RecordingMonitor

REGISTRY_TOKEN = secret_value("registryToken")
KEYS = {
    ("oci", "sandbox"): ["registryToken"],
    ("oci", "staging"): ["registryToken"],
    ("oci", "production"): ["registryToken"],
    ("oci", "update"): ["registryToken", "updateToken"],
    ("git", "sandbox"): ["platformToken", "tenantsToken", "updateToken"],
    ("git", "production"): ["platformToken", "tenantsToken"],
    ("git with apps", "sandbox"): ["platformAppKey", "tenantsAppKey", "updateAppKey"],
}
"""Keys of the secrets of each stack in a design, which becomes the Secrets of its clusters."""
ADDRESS = {"alerts": {"chat": {"type": "slack"}}}
TOKENS = [
    *(secret_value(key) for key in {*(key for keys in KEYS.values() for key in keys), "alertAddress", "statusToken"}),
    *(kubeconfig_token(cluster) for cluster in ("staging", "prod-eu", "prod-us", "update")),
]
EVERY = pytest.mark.parametrize(("design", "stack"), KEYS)


def spellings(token: str) -> set[str]:
    """The token as text, and as base64 whatever stands before and after it in what is encoded."""
    found = {token}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + token.encode()).decode()
        found.add(encoded[-(-before * 8 // 6) : len(encoded) - 4 * bool((before + len(token)) % 3)])
    return found


def texts(value: Any) -> Iterator[str]:
    """Every text in the open part of a value: keys, items, fields, but nothing within a `Secret`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, Secret | type):
        value = vars(value)
    if isinstance(value, Mapping):
        yield from (text for item in value.items() for part in item for text in texts(part))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (text for item in value for text in texts(item))
    elif not isinstance(value, Secret):
        yield str(value)


def leaks(value: Any) -> set[str]:
    """The tokens that can be read in the open part of a value."""
    told = "\n".join(texts(value))
    return {token for token in TOKENS if any(spelling in told for spelling in spellings(token))}


@pytest.mark.parametrize("before", ["", "u", "us", "use"])
@pytest.mark.parametrize("after", ["", "a", "af", "aft"])
def test_the_search_finds_a_token_in_any_base64(before: str, after: str) -> None:
    """And none where there is none: the tests below prove what they say only if this holds."""
    text = base64.b64encode(f"{before}{REGISTRY_TOKEN}{after}".encode()).decode()
    assert leaks({"key": [{"nested": f"x{text}"}]}) == {REGISTRY_TOKEN}
    assert leaks({"key": Secret(text), text[:8]: "other"}) == set()


@pytest.mark.parametrize("state", ["fresh", "adopted"])
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
@EVERY
def test_nothing_is_told_by_a_run(
    checkout: Checkout,
    reader: Reader,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    design: str,
    stack: str,
    preview: bool,
    state: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    if state == "adopted":
        reader.answer = lambda kubeconfig: found("operator", ADOPTED, ADOPTED)
    values = checkout.use(design, stack, **ADDRESS)
    run = checkout.run(stack, preview=preview, kind_exists=True, **values)
    told = [run.monitor.registrations, run.monitor.outputs, run.outputs, capfd.readouterr(), caplog.text]
    assert leaks(told) == set()
    used = {secret_value(key) for key in KEYS[design, stack]} | {kubeconfig_token(c) for c in STACKS[stack]}
    used |= {secret_value("alertAddress")} if stack != "update" else set()
    assert leaks(reveal([vars(asked) for asked in run.monitor.registrations])) == used


def held(checkout: Checkout, design: str, stack: str, **values: Any) -> dict[str, dict[str, str]]:
    """What the Secrets of the stack's first cluster hold, by the words for them; each is secret as a whole."""
    run = checkout.run(stack, **checkout.use(design, stack, **values))
    cluster, data = STACKS[stack][0], {}
    for word in SECRET_OBJECTS:
        if label(cluster, word) in run.resources:
            inputs = run.of(cluster, word).inputs
            assert isinstance(inputs["stringData"], Secret), word
            assert inputs["metadata"]["namespace"] == "flux-system"
            assert inputs["metadata"]["labels"] == {"reconcile.fluxcd.io/watch": "Enabled"}
            kind = "kubernetes.io/dockerconfigjson" if word == "secret" else "Opaque"
            assert inputs["type"] == kind
            data[word] = reveal(inputs["stringData"])
    return data


def docker_config(token: str, host: str = "ghcr.io") -> dict[str, str]:
    auth = base64.b64encode(f"acme-flux-bot:{token}".encode()).decode()
    entry = {"username": "acme-flux-bot", "password": token, "auth": auth}
    return {".dockerconfigjson": json.dumps({"auths": {host: entry}})}


def token_of(key: str) -> dict[str, str]:
    """Sources read the first two, alerts the third."""
    return {"username": "acme-flux-bot", "password": secret_value(key), "token": secret_value(key)}


def app_of(use: str, app: Mapping[str, int]) -> dict[str, str]:
    return {
        "githubAppID": str(app["id"]),
        "githubAppInstallationID": str(app["installation"]),
        "githubAppPrivateKey": secret_value(f"{use}AppKey"),
    }


@pytest.mark.parametrize("stack", STACKS)
def test_each_kubeconfig_is_secret_where_it_is_used(checkout: Checkout, reader: Reader, stack: str) -> None:
    run = checkout.run(stack)
    for cluster in STACKS[stack]:
        kubeconfig = Secret(checkout.kubeconfig(cluster))
        assert run.resources[f"pulumi:providers:kubernetes::{cluster}"].inputs["kubeconfig"] == kubeconfig
        assert run.outputs["kubeconfigs"][cluster] == kubeconfig


REGISTRY = docker_config(REGISTRY_TOKEN)


@pytest.mark.parametrize(
    ("design", "stack", "wanted"),
    [
        ("oci", "staging", {"secret": REGISTRY}),
        ("oci", "production", {"secret": REGISTRY}),
        ("oci", "update", {"secret": REGISTRY, "update": token_of("updateToken")}),
        (
            "git",
            "sandbox",
            {use: token_of(f"{use}Token") for use in ("platform", "tenants", "update")},
        ),
        ("git", "production", {use: token_of(f"{use}Token") for use in ("platform", "tenants")}),
        ("git with apps", "sandbox", {use: app_of(use, app) for use, app in (APPS | UPDATE_APP).items()}),
        ("git with apps", "production", {use: app_of(use, app) for use, app in APPS.items()}),
    ],
)
@pytest.mark.covers("R100", "R108", "R126", "R148")
def test_each_credential_becomes_the_secret_that_flux_reads_it_from(
    checkout: Checkout, reader: Reader, design: str, stack: str, wanted: Mapping[str, Any]
) -> None:
    assert held(checkout, design, stack) == wanted


@pytest.mark.parametrize("design", ["oci", "git"])
def test_alerts_have_secrets_of_their_own(checkout: Checkout, reader: Reader, design: str) -> None:
    """In the git design what reads reports too; an address of a chat is as secret as a token."""
    alerts = {"commitStatus": True, "chat": {"type": "slack"}}
    found = held(checkout, design, "production", alerts=alerts)
    assert found["address"] == {"address": secret_value("alertAddress")}
    assert found.get("status") == (token_of("statusToken") if design == "oci" else None)
    assert "address" not in held(checkout, design, "production", alerts={})


def test_an_app_of_a_github_of_ones_own_is_asked_for_there(checkout: Checkout, reader: Reader) -> None:
    found = held(checkout, "git with apps", "production", github={"url": "https://github.example.com"})
    assert {text["githubAppBaseURL"] for text in found.values()} == {"https://github.example.com/api/v3"}


def test_the_pull_secret_is_for_the_stacks_own_registry(checkout: Checkout, reader: Reader) -> None:
    """A path below the host is no part of what a docker config is keyed by."""
    run = checkout.run("sandbox", registry="mirror.example.com:5000/ghcr")
    assert reveal(run.of("staging", "secret").inputs["stringData"]) == docker_config(
        REGISTRY_TOKEN, "mirror.example.com:5000"
    )


def test_what_kind_prints_is_secret_and_not_logged(checkout: Checkout, reader: Reader) -> None:
    """The command's own output is marked for the state, and what is made of it even where the mark is missing."""
    for stack in KIND_STACKS:
        command = checkout.run(stack).resources[f"{KIND}::{stack}-kind"]
        assert command.additional_secret_outputs == ("stdout", "stderr")
        assert command.inputs["logging"] == "none"


BROKEN = f"users: {kubeconfig_token('staging')}: broken"


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
@pytest.mark.parametrize("fault", ["refused", "unreachable", "broken kubeconfig"])
def test_nothing_is_told_by_a_failure(
    checkout: Checkout,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    fault: str,
    preview: bool,
) -> None:
    """With the real reader, down to the log of its HTTP client."""
    caplog.set_level(logging.DEBUG)
    with serve() as api:
        api.refusal = 403
        checkout.servers = {"staging": api.url} if fault == "refused" else {}
        kubeconfig = BROKEN if fault == "broken kubeconfig" else checkout.kubeconfig("staging")
        monitor = RecordingMonitor(outputs={KIND: {"stdout": kubeconfig}})
        with nullcontext() if preview else pytest.raises(ClusterError) as raised:
            checkout.run("staging", preview=preview, monitor=monitor)
    told = [str(raised), str(raised and raised.value), *capfd.readouterr(), caplog.text]
    assert "cannot be read" in "".join(told)
    assert leaks([*told, monitor.registrations, monitor.outputs]) == set()


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("change", [{"environment": "nowhere"}, {"readyTimeout": 0}, {"clusters": {}}])
def test_nothing_is_told_by_a_refused_configuration(
    checkout: Checkout, reader: Reader, design: str, change: dict[str, Any]
) -> None:
    values = checkout.use(design, "production") | change
    with pytest.raises(ConfigError) as raised:
        checkout.run("production", **values)
    assert leaks(str(raised.value)) == set()


@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_file_of_the_repository_holds_a_secret_in_the_clear(checkout: Checkout, stack: str) -> None:
    values = yaml.safe_load((checkout.root / f"Pulumi.{stack}.yaml").read_text())["config"]
    plain = {"fleet:environment", "fleet:clusters", "fleet:runtimeInfo", "pulumi:disable-default-providers"}
    assert set(values) <= plain
