"""The whole fleet on this machine, as a user has it: one sandbox, brought up once, changed, broken and mended."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from fleet.ownership import judge
from sandbox.build import Parts
from sandbox.cluster.home import write_file
from sandbox.program.api import Refusal
from tests.sandbox.checkouts import GIT, PATIENCE, Checkout, brought_up, path_without_engine, pids, row
from tests.sops import Identity, encrypted_secret

pytestmark = pytest.mark.sandbox

TENANT = {"team": "web", "catalog": "frontend", "dependsOn": ["monitoring"]}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Checkout]:
    with brought_up(tmp_path_factory.mktemp("fleet") / "checkout") as checkout:
        yield checkout


@pytest.fixture(autouse=True)
def _as_committed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves fleet.yaml as it found it; the next one's `up` brings the fleet back to it."""
    yield
    if "fleet" in request.fixturenames:
        checkout = request.getfixturevalue("fleet")
        checkout.edit(tenants=dict.fromkeys(("shop", "broken", "safe", "thief")))


def test_the_table_tells_that_everything_is_ready(fleet: Checkout) -> None:
    """`make status` names the cluster, Flux's version and each count, the page, KUBECONFIG, and what is simulated."""
    code, output = fleet.run("status")
    assert code == 0
    found = row(output)
    assert found[1].startswith("v2.")
    assert found[2].startswith("latest@sha256:")
    assert found[3:] == fleet.counts()
    assert f"http://127.0.0.1:{fleet.plan.ports['staging/page']}/" in output
    assert f"export KUBECONFIG={fleet.home.cluster('staging').kubeconfig}" in output
    for word in ("pods", "Helm releases", "image automation", "alerts", "source-controller", "make down"):
        assert word in output


def test_the_status_page_is_served(fleet: Checkout, parts: Parts) -> None:
    """The page of the operator answers; it is the real one where npm was there to build it."""
    answer = httpx2.get(f"http://127.0.0.1:{fleet.plan.ports['staging/page']}/", trust_env=False)
    assert answer.status_code == 200
    assert ("<script" in answer.text) == parts.web


def test_flux_has_taken_everything_over(fleet: Checkout) -> None:
    """Instance and ResourceSets carry Flux's labels, and none of our managers or annotations are left on them."""
    ours = {name: item for name, item in fleet.objects().items() if name.split()[0] in ("FluxInstance", "ResourceSet")}
    assert len(ours) == 5
    for name, item in ours.items():
        assert judge(item["metadata"]["labels"]).state == "adopted", name
        assert not any(key.startswith("pulumi.com/") for key in item["metadata"].get("annotations", {})), name
        managers = {entry["manager"] for entry in item["metadata"]["managedFields"]}
        assert managers <= {"kustomize-controller", "flux-operator"}, name


def test_a_second_up_changes_nothing(fleet: Checkout) -> None:
    """No object's specification or metadata moves, no Helm revision is added, nothing is reported as done."""

    def picture() -> dict[str, object]:
        found: dict[str, object] = {
            name: (item["metadata"]["generation"], item["metadata"].get("labels"), item["metadata"].get("annotations"))
            for name, item in fleet.objects().items()
        }
        api = fleet.api()
        releases = api.secrets("flux-system", "owner=helm")
        instance = api.get(api.ref("fluxcd.controlplane.io/v1", "FluxInstance", "flux", "flux-system"))
        info = api.get(api.ref("v1", "ConfigMap", "flux-runtime-info", "flux-system"))
        api.close()
        assert instance
        assert info
        return found | {
            "releases": sorted(release["metadata"]["resourceVersion"] for release in releases),
            "owners": [entry["manager"] for entry in instance["metadata"]["managedFields"]],
            "runtime info": info["metadata"]["resourceVersion"],
        }

    fleet.up()  # whatever a test before left to be done
    before = picture()
    output = fleet.up()
    assert picture() == before
    assert not any(word in output for word in ("created ", "updated ", "failed "))


def test_a_tenant_appears_and_disappears(fleet: Checkout) -> None:
    """An entry in fleet.yaml is all it takes, in both directions; the namespace goes with its tenant."""
    fleet.edit(tenants={"shop": TENANT})
    assert " 3/3 " in fleet.up()
    assert "shop" in fleet.namespaces()
    assert {"Kustomization shop/apps", "HelmRelease shop/podinfo"} <= fleet.objects().keys()
    fleet.edit(tenants={"shop": None})
    assert " 2/2 " in fleet.up()
    assert "shop" not in fleet.namespaces()
    assert not any(" shop/" in name for name in fleet.objects())


def test_a_broken_tenant_is_reported_with_its_cause(fleet: Checkout) -> None:
    """`make up` fails, names object, reason and message, and every other tenant stays ready; mending it is enough."""
    release = {"chart": "oci://ghcr.io/stefanprodan/charts/podinfo", "version": "6.14.0"}
    broken = release | {"values": {"host": "${NOT_SET}"}}
    fleet.edit(tenants={"broken": {"team": "data", "releases": {"bad": broken}}})
    code, output = fleet.run("up")
    assert code == 1
    assert "Kustomization broken/apps: BuildFailed" in output
    assert 'variable not set (strict mode): "NOT_SET"' in output
    assert " 2/3 " in output
    fleet.edit(tenants={"broken": {"team": "data", "releases": {"bad": release}}})
    assert " 3/3 " in fleet.up()


def test_flux_leaves_what_others_annotate_on_its_accounts_unless_that_was_kubectl(fleet: Checkout) -> None:
    """So a client ID that the program has put there stays, and the annotation that goes shows that Flux has looked."""
    api = fleet.api()
    account = api.ref("v1", "ServiceAccount", "source-controller", "flux-system")
    own = {"name": account.name, "namespace": account.namespace}
    body: dict[str, object] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own}
    managers = ("pulumi-kubernetes-0a1b2c3d", "fleet", "kubectl-fleet")
    for manager in managers:
        annotated = {"metadata": own | {"annotations": {f"example.com/{manager}": "x"}}}
        api.apply(account, body | annotated, manager=manager, force=False)
    instance = api.ref("fluxcd.controlplane.io/v1", "FluxInstance", "flux", "flux-system")
    api.annotate(instance, "reconcile.fluxcd.io/requestedAt", "tried")
    deadline = time.monotonic() + PATIENCE
    while (api.get(instance) or {}).get("status", {}).get("lastHandledReconcileAt") != "tried":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    found = api.get(account)
    for manager in managers[:2]:
        api.apply(account, body, manager=manager, force=False)
    api.close()
    assert found
    left = {key for key in found["metadata"]["annotations"] if key.startswith("example.com/")}
    assert left == {f"example.com/{manager}" for manager in managers[:2]}


def test_an_encrypted_secret_is_opened_with_its_tenants_own_key_and_with_no_other(fleet: Checkout) -> None:
    """What the stack holds, Flux decrypts with; another tenant that has the same file cannot read it."""
    identity = Identity.make()
    write_file(fleet.home.secret("ageKey-safe"), identity.key.encode())
    door = {"base": encrypted_secret("door", {"code": "4711"}, identity)}
    tenant = {"team": "data", "decryption": {"provider": "age"}, "objects": {"door": door}}
    fleet.edit(tenants={"safe": tenant})
    assert " 3/3 " in fleet.up()
    fleet.edit(tenants={"thief": tenant})
    code, output = fleet.run("up")
    assert code == 1
    assert "Kustomization thief/apps" in output
    assert "identity did not match any of the recipients" in output
    api = fleet.api()
    secrets = {f"{s['metadata']['namespace']}/{s['metadata']['name']}": s for s in api.list_all("v1", "secrets")}
    api.close()
    assert base64.b64decode(secrets["safe/door"]["data"]["code"]) == b"4711"
    assert "thief/door" not in secrets
    keys = {name: s["data"]["age.agekey"] for name, s in secrets.items() if "sops-age" in name}
    assert keys.keys() == {f"flux-system/sops-age-{t}" for t in ("safe", "thief")} | {"safe/sops-age", "thief/sops-age"}
    assert keys["safe/sops-age"] == keys["flux-system/sops-age-safe"] != keys["thief/sops-age"]


def test_a_source_that_is_not_allowed_is_refused(fleet: Checkout) -> None:
    """The admission policy keeps a tenant to the listed prefixes and tells which those are."""
    fleet.up()
    api = fleet.api()
    ref = api.ref("source.toolkit.fluxcd.io/v1", "OCIRepository", "foreign", "frontend")
    body = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": {"name": ref.name, "namespace": ref.namespace}}
    spec = {"interval": "1h", "url": "oci://ghcr.io/somebody/charts/x"}
    with pytest.raises(Refusal, match="must start with one of") as refused:
        api.apply(ref, body | {"spec": spec}, manager="test", force=False)
    api.close()
    assert "oci://ghcr.io/stefanprodan/charts/" in str(refused.value)


def test_nobody_else_gets_in(fleet: Checkout, parts: Parts) -> None:
    """The API server knows no anonymous user, etcd no client without our certificate, and no file is open to others."""
    ports = fleet.plan.ports
    with httpx2.Client(verify=False, trust_env=False) as client:
        assert client.get(f"https://127.0.0.1:{ports['staging/api']}/api").status_code == 401
        with pytest.raises(httpx2.TransportError):
            client.get(f"https://127.0.0.1:{ports['staging/etcd']}/version")
    assert stat.S_IMODE(fleet.home.root.stat().st_mode) == 0o700
    listening = [
        c.laddr.ip for pid in pids(fleet) for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"
    ]
    assert listening
    assert set(listening) <= {"127.0.0.1"}


def test_the_token_shows_up_nowhere(fleet: Checkout) -> None:
    """The registry token is in one file of ours and on the cluster; no log, output or command line has it."""
    token = fleet.home.secret("registryToken").read_text()
    assert token not in fleet.up()
    for log in fleet.home.logs.rglob("*.log"):
        assert token not in log.read_text(errors="replace"), log
    assert not any(token in " ".join(psutil.Process(pid).cmdline()) for pid in pids(fleet))


def test_a_second_up_at_the_same_time_is_locked_out(fleet: Checkout) -> None:
    """It ends at once and names the pid of the first; the first is not disturbed."""
    with fleet.start("up") as first:
        while not any(line.startswith("Applying") for line in iter(first.stdout.readline, "")):  # type: ignore[union-attr]
            pass
        code, output = fleet.run("up")
        assert code == 1
        assert f"(pid {first.pid})" in output
        first.communicate()
    assert first.returncode == 0


@pytest.mark.parametrize(
    "processes",
    [
        ["supervisor"],
        ["staging/kube-apiserver", "staging/etcd"],
        ["registry", "staging/source-stand-in"],
        ["supervisor", "*"],
    ],
    ids=lambda names: "+".join(name.rpartition("/")[2] for name in names),
)
def test_killed_processes_are_recovered(fleet: Checkout, processes: list[str]) -> None:
    """After SIGKILL, `make up` ends with everything ready and the same objects as before."""
    fleet.up()
    before = fleet.objects().keys()
    for pid in [pid for name in processes for pid in (pids(fleet) if name == "*" else [_pid(fleet, name)])]:
        os.kill(pid, signal.SIGKILL)
    fleet.up()
    assert fleet.objects().keys() == before


def test_faults_of_the_configuration_are_told_before_anything_is_touched(fleet: Checkout) -> None:
    """All faults at once, with path and hint; what runs goes on running."""
    before = fleet.status.supervisor
    fleet.edit(tenants={"broken": {"teem": "web"}})
    code, output = fleet.run("up")
    assert code == 1
    assert "fleet.yaml.tenants.broken.team: required" in output
    assert "did you mean `team`?" in output
    assert fleet.status.supervisor == before


def test_a_running_fleet_changes_to_the_git_design(fleet: Checkout) -> None:
    """Flux learns of it from the artifact that it follows, and replaces that. The last on this fleet: see
    docs/sandbox.md for the way back."""
    fleet.up()
    fleet.edit(**GIT)
    found = row(fleet.up())
    assert found[2].startswith("main@sha1:")
    assert found[3:] == fleet.counts()
    sources = {name for name in fleet.objects() if name.startswith("OCIRepository ")}
    assert not {name for name in sources if name.endswith(("/infra", "/apps", "/flux-system"))}


def test_an_interrupted_run_goes_on(tmp_path: Path, parts: Parts) -> None:
    """SIGKILL in the middle of applying; the next `make up` brings the whole fleet up, and `make down` works twice."""
    checkout = Checkout(tmp_path / "checkout", path=path_without_engine())
    try:
        with checkout.start("up") as first:
            while "Release" not in (line := first.stdout.readline()):  # type: ignore[union-attr]
                assert line, "it ended before the release was there"
            first.kill()
        assert row(checkout.up())[3:] == checkout.counts()
    finally:
        assert checkout.run("down") == (0, "The sandbox is stopped and its data removed.\n")
    assert not checkout.home.root.exists()
    assert checkout.run("down") == (0, "The sandbox was not running.\n")


def test_a_port_that_is_taken_is_named(tmp_path: Path, parts: Parts) -> None:
    """Another program on a remembered port: who it is and what to do, and nothing of ours is left running."""
    checkout = Checkout(tmp_path / "checkout", path=path_without_engine())
    checkout.home.root.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (checkout.home.root / "ports.json").write_text(json.dumps({"registry": taken}))
        code, output = checkout.run("up")
    assert code == 1
    assert f"port {taken} (`registry`)" in output
    assert f"(pid {os.getpid()})" in output
    assert checkout.status.supervisor is None


def _pid(checkout: Checkout, name: str) -> int:
    pid = checkout.status.supervisor if name == "supervisor" else checkout.pid(name)
    assert pid is not None
    return pid
