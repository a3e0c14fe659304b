"""The sandbox's stack with the real Pulumi engine: what only it can show, state, diff, refresh, import."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.build import Parts
from sandbox.cluster import control
from tests.sandbox.checkouts import REPOSITORY, Checkout

pytestmark = [pytest.mark.sandbox, pytest.mark.engine]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Checkout]:
    """A fleet that the engine has brought up."""
    checkout = Checkout(tmp_path_factory.mktemp("engine") / "checkout")
    try:
        output = checkout.up()
        assert "Applying with the Pulumi engine" in output
        assert re.search(r"\+ 11 created", output)
        yield checkout
    finally:
        checkout.run("down")


def _pulumi(checkout: Checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The CLI on the sandbox's stack, as `make up` calls it."""
    folder = checkout.home.root / "pulumi"
    environment = os.environ | {
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(folder / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [shutil.which("pulumi") or "pulumi", *arguments, "--stack", "sandbox", "--non-interactive"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _owned(checkout: Checkout) -> Mapping[str, Any]:
    """What moves when somebody writes a handed-over object: its version but for the status, and its managers."""
    return {
        name: (
            item["metadata"]["generation"],
            item["metadata"].get("annotations"),
            item["metadata"]["managedFields"][0],
        )
        for name, item in checkout.objects().items()
        if name.split()[0] in ("FluxInstance", "ResourceSet")
    }


def test_after_the_hand_off_nothing_changes(fleet: Checkout) -> None:
    """With a refresh in each run: 11 unchanged, no object handed over to Flux is written, no release revision added."""
    before = _owned(fleet)
    for _ in range(2):
        assert "11 unchanged" in fleet.up()
    assert _owned(fleet) == before
    preview = _pulumi(fleet, "preview", "--expect-no-changes")
    assert preview.returncode == 0, preview.stdout


def test_no_secret_is_in_the_state_in_clear(fleet: Checkout) -> None:
    """Neither the registry token nor the cluster's credentials; outputs show the kubeconfigs as secret only."""
    token = fleet.home.secret("registryToken").read_text()
    credentials = re.findall(r'"token": *"([^"]+)"', fleet.home.cluster("staging").kubeconfig.read_text())
    assert credentials
    exported = _pulumi(fleet, "stack", "export").stdout
    assert json.loads(exported)["deployment"]["resources"]
    outputs = _pulumi(fleet, "stack", "output").stdout
    assert "[secret]" in outputs
    for secret in (token, *credentials):
        assert secret not in exported
        assert secret not in outputs


def test_lost_state_is_adopted_again(fleet: Checkout) -> None:
    """What Flux has adopted is imported, what is ours is taken over; no object is deleted or written by force."""
    state = fleet.home.root / "pulumi" / "state"
    kept = state.with_name("kept")
    shutil.copytree(state, kept)
    before = _owned(fleet)
    listed = json.loads(_pulumi(fleet, "stack", "export").stdout)
    adopted = [
        r["urn"] for r in listed["deployment"]["resources"] if "::ResourceSet" in r["urn"] or "FluxInstance" in r["urn"]
    ]
    for urn in adopted:
        assert _pulumi(fleet, "state", "delete", urn, "--yes", "--force").returncode == 0
    assert re.search(rf"{len(adopted)} imported|= {len(adopted)} imported", fleet.up())
    assert _owned(fleet) == before


def test_a_hand_edit_of_a_managed_object_is_undone(fleet: Checkout) -> None:
    """The next `up` puts the registry secret back, though somebody else owns the field by then."""
    api = fleet.api()
    ref = api.ref("v1", "Secret", "ghcr-auth", "flux-system")
    good = api.get(ref)
    assert good
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ref.name, "namespace": ref.namespace}}
    api.apply(ref, body | {"data": {".dockerconfigjson": "e30="}}, manager="somebody", force=True)
    fleet.up()
    after = api.get(ref)
    api.close()
    assert after
    assert after["data"] == good["data"]


def test_a_preview_needs_no_cluster(fleet: Checkout) -> None:
    """Without a refresh the plan is made from the state: a warning for what cannot be read, and nothing to change."""
    control.stop(fleet.home)
    preview = _pulumi(fleet, "preview", "--refresh=false")
    assert preview.returncode == 0, preview.stdout
    assert "clusters.staging: cannot be read" in preview.stdout
    assert not re.search(r"\d+ to (create|update|delete|replace|import)", preview.stdout), preview.stdout
    assert "11 unchanged" in fleet.up()


def test_without_the_engine_its_sandbox_is_left_alone(fleet: Checkout) -> None:
    """A sandbox of the engine's is not gone on with by the monitor, which has no state of it."""
    path = os.pathsep.join(f for f in os.environ["PATH"].split(os.pathsep) if not (Path(f) / "pulumi").exists())
    other = Checkout(fleet.root, path=path)
    code, output = other.run("up")
    assert code == 1
    assert "was made with the Pulumi engine" in output


def test_destroying_uninstalls_flux_and_leaves_what_it_delivered(fleet: Checkout) -> None:
    """Last, since Flux is gone then. The operator stays for what Git had put beside it, which can go in order."""
    before = fleet.namespaces()
    destroyed = _pulumi(fleet, "destroy", "--yes", "--skip-preview")
    assert destroyed.returncode == 0, destroyed.stdout
    assert fleet.namespaces() == before
    api = fleet.api()
    deployments = api.list_all("apps/v1", "deployments")
    left = {each["metadata"]["name"] for each in deployments if each["metadata"]["namespace"] == "flux-system"}
    assert left == {"flux-operator"}
    own = api.ref("fluxcd.controlplane.io/v1", "ResourceSet", "flux-operator", "flux-system")
    assert [item["metadata"]["name"] for item in api.list_all(own.api_version, "resourcesets")] == [own.name]
    assert api._client.delete(api._path(own)).is_success
    deadline = time.monotonic() + 60
    while api.get(own) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert api.get(own) is None
    api.close()
