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
from tests.checkout import KIND, REGISTRY_TOKEN, STACKS, Checkout, kubeconfig_token
from tests.kubernetes_api import serve
from tests.reader import ADOPTED, Reader, found
from tests.recording import RecordingMonitor

TOKENS = [REGISTRY_TOKEN, *(kubeconfig_token(cluster) for cluster in ("staging", "prod-eu", "prod-us"))]


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
@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_told_by_a_run(
    checkout: Checkout,
    reader: Reader,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    stack: str,
    preview: bool,
    state: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    if state == "adopted":
        reader.answer = lambda kubeconfig: found("operator", ADOPTED, ADOPTED)
    run = checkout.run(stack, preview=preview, kind_exists=True)
    told = [run.monitor.registrations, run.monitor.outputs, run.outputs, capfd.readouterr(), caplog.text]
    assert leaks(told) == set()
    used = {REGISTRY_TOKEN, *(kubeconfig_token(cluster) for cluster in STACKS[stack])}
    assert leaks(reveal([vars(asked) for asked in run.monitor.registrations])) == used


@pytest.mark.parametrize("stack", STACKS)
def test_each_secret_is_secret_where_it_is_used(checkout: Checkout, reader: Reader, stack: str) -> None:
    run = checkout.run(stack)
    for cluster in STACKS[stack]:
        kubeconfig = Secret(checkout.kubeconfig(cluster))
        assert run.resources[f"pulumi:providers:kubernetes::{cluster}"].inputs["kubeconfig"] == kubeconfig
        assert run.outputs["kubeconfigs"][cluster] == kubeconfig
        data = run.of(cluster, "secret").inputs["stringData"]
        assert isinstance(data, Secret)
        assert json.loads(reveal(data)[".dockerconfigjson"]) == {
            "auths": {
                "ghcr.io": {
                    "username": "acme-flux-bot",
                    "password": REGISTRY_TOKEN,
                    "auth": base64.b64encode(f"acme-flux-bot:{REGISTRY_TOKEN}".encode()).decode(),
                }
            }
        }


def test_the_pull_secret_is_for_the_stacks_own_registry(checkout: Checkout, reader: Reader) -> None:
    """A path below the host is no part of what a docker config is keyed by."""
    run = checkout.run("sandbox", registry="mirror.example.com:5000/ghcr")
    config = json.loads(reveal(run.of("staging", "secret").inputs["stringData"])[".dockerconfigjson"])
    assert list(config["auths"]) == ["mirror.example.com:5000"]


def test_what_kind_prints_is_secret_and_not_logged(checkout: Checkout, reader: Reader) -> None:
    """The command's own output is marked for the state, and what is made of it even where the mark is missing."""
    command = checkout.run("staging").resources[f"{KIND}::staging-kind"]
    assert command.additional_secret_outputs == ("stdout",)
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


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_told_by_a_refused_configuration(checkout: Checkout, reader: Reader, stack: str) -> None:
    with pytest.raises(ConfigError) as raised:
        checkout.run(stack, environment="nowhere", without=["registryToken"])
    assert leaks(str(raised.value)) == set()


@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_file_of_the_repository_holds_a_secret_in_the_clear(checkout: Checkout, stack: str) -> None:
    values = yaml.safe_load((checkout.root / f"Pulumi.{stack}.yaml").read_text())["config"]
    assert set(values) <= {"fleet:environment", "fleet:clusters", "pulumi:disable-default-providers"}
