"""Bootstrap, trials and chart updates as the generated fleet repository scripts them, with the real yq.

Clusters, containers and registries are stood in for; what the trial's FluxInstance becomes, the operator itself says.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.manifests.operator import operator_values
from sandbox.build import Parts
from tests import oracle
from tests.documents import files_of, fleet_of
from tests.rendering import read_all
from tests.scripts import Checkout

pytestmark = pytest.mark.sandbox

Make = Callable[[str, str], Checkout]

KUBECTL: Final = """
import subprocess
if "apply" in given:
    source = option("--filename")
    text = sys.stdin.read() if source == "-" else pathlib.Path(source).read_text()
    state.setdefault("applied", []).append(text)
found = state.get("bootstrapped") or given[:3] != ["--namespace", "flux-system", "get"]
end(0 if found else 1, out="something/x\\n" if "--output" in given else "")
"""
TOKEN: Final = 'se"cret'  # noqa: S105 no token, but one with a character that text formats mind
KEY: Final = "-----BEGIN KEY-----\nse'cret\n-----END KEY-----"


@pytest.fixture
def machine(tmp_path: Path, parts: Parts) -> Make:
    """Makes a working copy on a machine with yq, where clusters and containers are stood in for."""

    def make(case: str, repository: str) -> Checkout:
        made = Checkout.make(tmp_path / case, files_of(case, repository))
        (made.stand_ins / "yq").symlink_to(parts.yq)
        made.stand_in("kubectl", KUBECTL)
        for name in ("helm", "kind", "docker", "curl"):
            made.stand_in(name, "end(0)")
        return made

    return make


def applied(copy: Checkout) -> Iterator[Any]:
    for text in copy.state.get("applied", []):
        yield from (manifest for manifest in read_all(text) if manifest)


def secrets(copy: Checkout) -> dict[str, Any]:
    return {m["metadata"]["name"]: m for m in applied(copy) if m["kind"] == "Secret"}


@pytest.mark.covers("R103", "R105", "R106", "R107", "R108", "R148")
def test_bootstrap_brings_the_secrets_then_the_operator_then_flux(machine: Make) -> None:
    from fleet.resources.managed import _docker_config

    copy = machine("default", "fleet")
    run = copy.run("bootstrap.sh", "staging", GITHUB_TOKEN=TOKEN)
    assert run.returncode == 0, run.stderr
    steps = [next(word for word in call if word in ("upgrade", "apply", "wait", "get")) for call in copy.calls]
    assert steps == ["get", "apply", "apply", "upgrade", "apply", "wait"]
    (helm,) = (" ".join(call) for call in copy.calls if call[0] == "helm")
    operator = fleet_of("default").operator.version
    assert f"oci://ghcr.io/controlplaneio-fluxcd/charts/flux-operator --version {operator} " in helm
    assert "--namespace flux-system --values clusters/staging/flux-system/" in helm
    (secret,) = secrets(copy).values()
    assert secret["metadata"]["labels"] == {"reconcile.fluxcd.io/watch": "Enabled"}
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    given = json.loads(secret["stringData"][".dockerconfigjson"])
    assert given == json.loads(_docker_config("acme-flux-bot", TOKEN, ("ghcr.io",))), "as the program makes it"
    assert list(applied(copy))[-1] == yaml.safe_load((copy.folder / INSTANCE).read_text())
    assert not [call for call in copy.calls if any("cret" in word for word in call)]


INSTANCE: Final = "clusters/staging/flux-system/flux-instance.yaml"


def test_bootstrap_changes_nothing_while_a_token_is_missing(machine: Make) -> None:
    copy = machine("git", "fleet-sre")
    run = copy.run("bootstrap.sh", "qa", FLUX_PLATFORM_TOKEN="x", FLUX_BOT_TOKEN="x")  # noqa: S106
    assert run.returncode == 1
    assert "`FLUX_TENANTS_TOKEN` is not set" in run.stderr
    assert copy.calls == []


def test_bootstrap_names_the_clusters_when_it_is_given_another(machine: Make) -> None:
    run = machine("default", "fleet").run("bootstrap.sh", "stagging", GITHUB_TOKEN=TOKEN)
    assert run.returncode == 1
    assert "one of: prod-eu prod-us staging update" in run.stderr


@pytest.mark.covers("R99", "R148")
def test_bootstrap_renews_secrets_and_nothing_else_where_flux_is_already(machine: Make) -> None:
    copy = machine("git", "fleet-sre")
    copy.state |= {"bootstrapped": True}
    tokens = {f"FLUX_{name}_TOKEN": f"{name} {TOKEN}" for name in ("PLATFORM", "TENANTS", "BOT")}
    run = copy.run("bootstrap.sh", "qa", FLUX_ALERT_ADDRESS="https://chat.test/x", **tokens)
    assert run.returncode == 0, run.stderr
    assert {manifest["kind"] for manifest in applied(copy)} == {"Secret"}
    found = {name: secret["stringData"] for name, secret in secrets(copy).items()}
    assert found.pop("alert-address") == {"address": "https://chat.test/x"}
    for name, use in (("flux-system", "PLATFORM"), ("flux-apps", "TENANTS"), ("github-auth", "BOT")):
        token = f"{use} {TOKEN}"
        assert found.pop(name) == {"username": "acme-bot", "password": token, "token": token}
    assert found == {}
    assert not [call for call in copy.calls if any("cret" in word for word in call)]


def test_bootstrap_signs_in_as_an_app_where_the_environment_does(machine: Make) -> None:
    copy = machine("git", "fleet-sre")
    uses = ("PLATFORM", "TENANTS")
    ids = {f"FLUX_{use}_APP_ID": "1" for use in uses} | {f"FLUX_{use}_APP_INSTALLATION": "2" for use in uses}
    keys = {f"FLUX_{use}_APP_KEY": KEY for use in uses}
    run = copy.run("bootstrap.sh", "production", FLUX_ALERT_ADDRESS="x", **ids, **keys)
    assert run.returncode == 0, run.stderr
    for name in ("flux-system", "flux-apps"):
        assert secrets(copy)[name]["stringData"] == {
            "githubAppID": "1",
            "githubAppInstallationID": "2",
            "githubAppPrivateKey": KEY,
            "githubAppBaseURL": "https://github.example.com/api/v3",
        }


def test_bootstrap_gives_a_cluster_without_a_token_keys_of_files_and_identities(machine: Make) -> None:
    """Azure must know the accounts before their pods start, and Flux would undo what kubectl has annotated."""
    copy = machine("cloud", "fleet")
    keys = {"FLUX_AGE_KEY_BROKER": f"# made today\n{KEY}", "FLUX_AGE_KEY_BIG_SHOP": KEY}
    run = copy.run("bootstrap.sh", "production", **keys)
    assert run.returncode == 1
    assert "`SOURCE_CLIENT_ID` is not set" in run.stderr
    assert copy.calls == []
    run = copy.run("bootstrap.sh", "production", SOURCE_CLIENT_ID="reader", **keys)
    assert run.returncode == 0, run.stderr
    assert {name: secret["stringData"] for name, secret in secrets(copy).items()} == {
        "sops-age-broker": {"age.agekey": f"# made today\n{KEY}"},
        "sops-age-big-shop": {"age.agekey": KEY},
    }
    kinds = [manifest["kind"] for manifest in applied(copy)]
    assert kinds.index("ServiceAccount") < kinds.index("FluxInstance")
    (account,) = (manifest["metadata"] for manifest in applied(copy) if manifest["kind"] == "ServiceAccount")
    assert account["name"] == "source-controller"
    assert account["annotations"] == {"azure.workload.identity/client-id": "reader"}
    managers = [word for call in copy.calls for word in call if word.startswith("--field-manager=")]
    assert len([manager for manager in managers if not manager.startswith("--field-manager=kubectl")]) == 1
    assert not [call for call in copy.calls if any("ecret" in word for word in call)]


def test_bootstrap_finds_client_ids_in_the_variables_of_the_cluster(machine: Make) -> None:
    copy = machine("cloud", "fleet")
    assert copy.run("bootstrap.sh", "staging", FLUX_AGE_KEY_BROKER=KEY).returncode == 0
    (account,) = (manifest["metadata"] for manifest in applied(copy) if manifest["kind"] == "ServiceAccount")
    assert account["annotations"] == {"azure.workload.identity/client-id": "6a1d3b0e-0000-4000-8000-000000000003"}
    copy = machine("default", "fleet")
    assert copy.run("bootstrap.sh", "staging", GITHUB_TOKEN=TOKEN).returncode == 0
    assert "ServiceAccount" not in {manifest["kind"] for manifest in applied(copy)}


def test_bootstrap_pulls_the_operator_from_the_mirror(machine: Make) -> None:
    """Signed in for this run only; the pod's secrets and what it trusts come first, on an update cluster too."""
    from fleet.resources.managed import _docker_config

    copy = machine("mirror", "fleet")
    given = {"FLUX_REGISTRY_TOKEN": "x", "FLUX_BOT_TOKEN": "x"}
    run = copy.run("bootstrap.sh", "update", GITHUB_TOKEN="x", **given)  # noqa: S106
    assert (run.returncode, copy.calls) == (1, []), "GitHub's token is none of the mirror's"
    assert "`FLUX_MIRROR_TOKEN` is not set" in run.stderr
    copy.stand_in("helm", HELM)
    run = copy.run("bootstrap.sh", "update", FLUX_MIRROR_TOKEN=TOKEN, **given)
    assert run.returncode == 0, run.stderr
    held = secrets(copy)
    fleet, mirror = fleet_of("mirror"), fleet_of("mirror").mirror
    assert mirror
    assert mirror.ca
    auth = json.loads(held["mirror-auth"]["stringData"][".dockerconfigjson"])
    assert auth == json.loads(_docker_config("robot$pull", TOKEN, ("harbor.internal", "hub.internal:5000")))
    assert held["mirror-trust"]["stringData"] == {"ca.crt": mirror.ca, "trusted_root.json": mirror.trusted_root}
    login, upgrade = copy.state["helm"]
    assert (login["given"][:5], login["read"]) == (
        ["registry", "login", "harbor.internal", "--username", "robot$pull"],
        f"{TOKEN}\n",
    )
    assert upgrade["given"][3] == "oci://harbor.internal/mirror/ghcr.io/controlplaneio-fluxcd/charts/flux-operator"
    assert yaml.safe_load(upgrade["--values"]) == operator_values(fleet)
    assert login["--ca-file"].strip() == upgrade["--ca-file"].strip() == mirror.ca.strip()
    assert login["config"] == upgrade["config"]
    assert not Path(upgrade["config"]).exists()
    steps = [next((word for word in call if word in ("login", "upgrade", "apply")), "") for call in copy.calls]
    assert [step for step in steps if step] == ["login", "apply", "apply", "upgrade", "apply"]
    assert [manifest["kind"] for manifest in applied(copy)][-1] == "FluxInstance"
    assert not [call for call in copy.calls if any("cret" in word for word in call)]


APPLY: Final = ["apply", "--server-side", "--force-conflicts", "--field-manager=kubectl-fleet", "--filename", "-"]
HELM: Final = """
seen = {key: pathlib.Path(option(key)).read_text() for key in ("--values", "--ca-file") if option(key)}
seen |= {"given": given, "config": os.environ["HELM_REGISTRY_CONFIG"]}
state.setdefault("helm", []).append(seen | {"read": sys.stdin.read() if "--password-stdin" in given else ""})
end(0)
"""


def test_nodes_of_a_trial_trust_the_mirror(machine: Make) -> None:
    copy = machine("mirror", "fleet")
    copy.stand_in("kind", 'end(0, out="e2e-control-plane\\n" if "nodes" in given else "")')
    copy.stand_in("docker", DOCKER)
    run = copy.run("e2e.sh", "staging", GITHUB_TOKEN="x", FLUX_MIRROR_TOKEN=TOKEN)  # noqa: S106
    assert run.returncode == 0, run.stderr
    mirror = fleet_of("mirror").mirror
    assert mirror
    assert mirror.ca
    for server in mirror.servers:
        folder = copy.folder.parent / "node/etc/containerd/certs.d" / server
        assert (folder / "ca.crt").read_text().strip() == mirror.ca.strip()
        hosts = tomllib.loads((folder / "hosts.toml").read_text())
        assert hosts["host"][f"https://{server}"]["ca"].endswith(f"/etc/containerd/certs.d/{server}/ca.crt")
    (created,) = (call for call in copy.calls if call[:3] == ["kind", "create", "cluster"])
    assert created[created.index("--image") + 1].startswith("hub.internal:5000/kindest/node:v")
    (registry,) = (call for call in copy.calls if call[:2] == ["docker", "run"])
    assert registry[-1].startswith("hub.internal:5000/library/registry:3")


DOCKER: Final = """
import subprocess
if given[0] == "exec":
    node = pathlib.Path.cwd().parent / "node"
    script = given[-1].replace("/etc/containerd", f"{node}/etc/containerd")
    end(subprocess.run([*given[3:-1], script], stdin=sys.stdin, check=False).returncode)
end(0)
"""


def instance_of(copy: Checkout) -> Any:
    (instance,) = (manifest for manifest in applied(copy) if manifest["kind"] == "FluxInstance")
    return instance


@pytest.mark.parametrize(("case", "cluster"), [("default", "staging"), ("complete", "qa"), ("complete", "prod-us")])
def test_a_trial_syncs_the_working_copy_and_flux_does_not_undo_that(
    case: str, cluster: str, machine: Make, parts: Parts
) -> None:
    """Q3: what is tried is the pull request. The operator itself says what becomes of the instance."""
    repository = fleet_of(case).repositories.fleet
    copy = machine(case, repository)
    copy.write("clusters/marker.yaml", "mine: true\n")
    run = copy.run("e2e.sh", cluster, GITHUB_TOKEN=TOKEN)
    assert run.returncode == 0, run.stderr
    (artifact,) = copy.state["artifacts"].values()
    assert "clusters/marker.yaml" in artifact["files"]
    assert list(copy.state["tags"]) == ["127.0.0.1:5000/fleet:latest"]
    instance = instance_of(copy)
    assert instance["metadata"]["annotations"] == {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}
    with oracle.serve_artifact(parts.flux_manifests) as address:
        objects = oracle.build_instance(parts, instance, address)
    (source,) = (o["spec"] for o in objects if o["kind"] == "OCIRepository")
    assert (source["url"], source["ref"]) == ("oci://e2e-registry:5000/fleet", {"tag": "latest"})
    assert source["insecure"] is True
    assert "verify" not in source
    assert "provider" not in source or source["provider"] == "generic"
    assert not [call for call in copy.calls if any("cret" in word for word in call)]


def test_a_trial_of_a_release_takes_what_is_published_with_its_signature(machine: Make) -> None:
    copy = machine("default", "fleet")
    run = copy.run("e2e.sh", "prod-eu", "published", GITHUB_TOKEN=TOKEN)
    assert run.returncode == 0, run.stderr
    committed = (copy.folder / "clusters/prod-eu/flux-system/flux-instance.yaml").read_text()
    assert instance_of(copy) == yaml.safe_load(committed)
    assert copy.state["artifacts"] == {}


def test_a_trial_waits_for_each_stage_that_the_one_before_brings(machine: Make) -> None:
    copy = machine("default", "fleet")
    assert copy.run("await.sh").returncode == 0
    waits = [[word for word in call[1:] if not word.startswith("--")] for call in copy.calls if "wait" in call]
    kustomizations = "kustomizations.kustomize.toolkit.fluxcd.io"
    assert waits == [
        ["flux-system", "wait", "kustomization/flux-system"],
        ["wait", kustomizations, "flux-system"],
        ["wait", "resourcesets.fluxcd.controlplane.io", "flux-system"],
        ["wait", kustomizations],
        ["wait", "helmreleases.helm.toolkit.fluxcd.io"],
    ]
    assert all("--for=condition=Ready" in call for call in copy.calls if "wait" in call)


@pytest.mark.parametrize("cluster", ["qa", "production"])
def test_a_trial_of_the_git_design_syncs_the_reference_of_the_run(cluster: str, machine: Make, parts: Parts) -> None:
    copy = machine("git", "fleet-sre")
    run = copy.run("e2e.sh", cluster, GITHUB_TOKEN=TOKEN, GITHUB_REF="refs/pull/7/merge")
    assert run.returncode == 0, run.stderr
    with oracle.serve_artifact(parts.flux_manifests) as address:
        objects = oracle.build_instance(parts, instance_of(copy), address)
    (source,) = (o["spec"] for o in objects if o["kind"] == "GitRepository")
    assert source["ref"] == {"name": "refs/pull/7/merge"}
    (info,) = (manifest for manifest in applied(copy) if manifest["kind"] == "ConfigMap")
    assert info["data"]["GIT_PROVIDER"] == "generic"
    assert info["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled"
    for name in ("flux-system", "flux-apps"):
        assert secrets(copy)[name]["stringData"]["password"] == TOKEN
    assert secrets(copy)["alert-address"]["stringData"]["address"].startswith("http://127.0.0.1")


def test_chart_updates_are_looked_for_once_the_policies_are_known(machine: Make) -> None:
    copy = machine("default", "fleet")
    run = copy.run("update.sh", GITHUB_TOKEN="reads", FLUX_BOT_TOKEN=TOKEN)  # noqa: S106
    assert run.returncode == 0, run.stderr
    assert secrets(copy)["github-auth"]["stringData"]["password"] == TOKEN
    words = [" ".join(call) for call in copy.calls]
    (annotated,) = (number for number, call in enumerate(words) if "requestedAt=" in call)
    now = words[annotated].rpartition("=")[2]
    assert [call for call in words[:annotated] if "kustomizations" in call and "--all-namespaces" in call]
    assert words[annotated + 1].endswith(f"--for=jsonpath={{.status.lastHandledReconcileAt}}={now}")
    assert not [call for call in words if "cret" in call]


def test_chart_updates_need_the_token_that_writes(machine: Make) -> None:
    """Another one would be refused late, when the branch is pushed."""
    copy = machine("default", "fleet")
    assert copy.run("update.sh", GITHUB_TOKEN="reads").returncode == 1  # noqa: S106
    assert copy.calls == []


def test_make_lists_its_commands_and_passes_the_cluster_on(machine: Make) -> None:
    copy = machine("default", "fleet")
    environment = {"PATH": os.pathsep.join([str(copy.stand_ins), os.environ["PATH"]]), "STAND_IN": str(copy.stand_ins)}
    for arguments in ([], ["bootstrap", "CLUSTER=staging"]):
        command = ["make", "--silent", *arguments]
        given = environment | {"GITHUB_TOKEN": TOKEN}
        run = subprocess.run(command, cwd=copy.folder, env=given, capture_output=True, text=True, check=True)
        if not arguments:
            assert [line.split()[1] for line in run.stdout.splitlines()] == ["help", "validate", "bootstrap", "e2e"]
    assert instance_of(copy)["metadata"]["name"] == "flux"
