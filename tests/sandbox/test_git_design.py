"""The git design on this machine, as a user has it: Flux follows the branches of a local Git server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet.ownership import judge
from sandbox.build import Parts
from tests.sandbox.checkouts import GIT, Checkout, brought_up, row

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Checkout]:
    with brought_up(tmp_path_factory.mktemp("git") / "checkout", lambda checkout: checkout.edit(**GIT)) as checkout:
        yield checkout


@pytest.fixture(autouse=True)
def _as_begun(fleet: Checkout) -> Iterator[None]:
    """Each test leaves fleet.yaml as it found it; the next one's `up` brings the fleet back to it."""
    before = (fleet.root / "fleet.yaml").read_text()
    yield
    (fleet.root / "fleet.yaml").write_text(before)


def _address(checkout: Checkout) -> str:
    return f"http://127.0.0.1:{checkout.plan.ports['git']}/{checkout.fleet.owner}"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _history(checkout: Checkout, repository: str, branch: str = "main") -> list[str]:
    """Hashes of a branch, newest first."""
    folder = checkout.home.git / checkout.fleet.owner / f"{repository}.git"
    return _git(folder, "rev-list", branch).split()


def test_the_table_tells_that_everything_is_ready_on_the_commit(fleet: Checkout) -> None:
    found = row(fleet.up())
    assert found[2] == f"main@sha1:{_history(fleet, 'fleet')[0][:10]}"
    assert found[3:] == fleet.counts()


def test_every_workload_comes_from_its_repository(fleet: Checkout) -> None:
    """At the commit that was published, and nothing of the fleet is an artifact any more."""
    fleet.up()
    sources = {name: item for name, item in fleet.objects().items() if name.startswith("GitRepository ")}
    expected = {
        **{f"GitRepository {name}/infra": "infra" for name in fleet.fleet.components},
        **{f"GitRepository {name}/apps": "apps" for name in fleet.fleet.tenants},
        "GitRepository flux-system/flux-system": "fleet",
        "GitRepository infra-update/infra-update": "infra",
        "GitRepository apps-update/apps-update": "apps",
    }
    assert {name: item["spec"]["url"] for name, item in sources.items()} == {
        name: f"{_address(fleet)}/{repository}.git" for name, repository in expected.items()
    }
    for name, repository in expected.items():
        revision = sources[name]["status"]["artifact"]["revision"]
        ref = "refs/heads/main" if repository == "fleet" else "main"
        assert revision == f"{ref}@sha1:{_history(fleet, repository)[0]}"
    assert not any(name.startswith("OCIRepository ") and _is_local(item) for name, item in fleet.objects().items())


def _is_local(item: dict[str, dict[str, str]]) -> bool:
    return "127.0.0.1" in item["spec"]["url"]


def test_image_automation_is_there_and_says_that_it_is_simulated(fleet: Checkout) -> None:
    fleet.up()
    api = fleet.api()
    for plural in ("imagerepositories", "imagepolicies", "imageupdateautomations"):
        found = api.list_all("image.toolkit.fluxcd.io/v1", plural)
        assert found
        for item in found:
            (condition,) = item["status"]["conditions"]
            assert condition["status"] == "True"
            assert condition["message"].startswith("stand-in: ")
    api.close()


def test_flux_has_taken_everything_over(fleet: Checkout) -> None:
    """Instance and ResourceSets carry Flux's labels, and none of our managers are left on them."""
    ours = {name: item for name, item in fleet.objects().items() if name.split()[0] in ("FluxInstance", "ResourceSet")}
    assert "ResourceSet flux-system/image-update-automation" in ours
    for name, item in ours.items():
        assert judge(item["metadata"]["labels"]).state == "adopted", name
        managers = {entry["manager"] for entry in item["metadata"]["managedFields"]}
        assert managers <= {"kustomize-controller", "flux-operator"}, name


def test_a_second_up_commits_and_changes_nothing(fleet: Checkout) -> None:
    def picture() -> dict[str, object]:
        objects = {name: item["metadata"]["generation"] for name, item in fleet.objects().items()}
        return objects | {name: _history(fleet, name) for name in ("fleet", "infra", "apps")}

    fleet.up()  # whatever a test before left to be done
    before = picture()
    output = fleet.up()
    assert picture() == before
    assert not any(word in output for word in ("created ", "updated ", "failed "))


def test_a_change_is_a_commit_on_top_that_flux_applies(fleet: Checkout) -> None:
    """On both branches, so that clusters of every environment would have it."""
    fleet.up()
    before = _history(fleet, "apps")
    release = {"chart": "oci://ghcr.io/stefanprodan/charts/podinfo", "version": "6.14.0"}
    fleet.edit(tenants={"shop": {"team": "web", "releases": {"cart": release}}})
    assert row(fleet.up())[3:] == fleet.counts()
    assert _history(fleet, "apps")[1:] == before
    assert _history(fleet, "apps", "production") == _history(fleet, "apps")
    assert {"Kustomization shop/apps", "HelmRelease shop/cart"} <= fleet.objects().keys()
    fleet.edit(tenants={"shop": None})
    assert row(fleet.up())[3:] == fleet.counts()
    assert "shop" not in fleet.namespaces()
    assert _history(fleet, "apps")[2:] == before


@pytest.mark.covers("R31", "R56", "R57", "R58", "R59", "R66", "R155", "R169", "R175")
def test_a_version_that_the_bot_commits_reaches_staging_step_by_step(fleet: Checkout, tmp_path: Path) -> None:
    """Source, Kustomization, release: each step records the revision, and its event is emitted. The Kustomization is
    the real controller's work; source and release are reported by the stand-ins, at the API where theirs would be."""
    fleet.up()
    events = fleet.home.cluster("staging").events
    seen = len(events.read_text().splitlines())
    commit = _move_version(fleet, tmp_path / "apps", "components/frontend/base/podinfo.yaml", "6.14.0", "6.99.0")
    revision = f"main@sha1:{commit}"
    for _ in range(60):
        live = fleet.objects()
        applied, release = live["Kustomization frontend/apps"], live["HelmRelease frontend/podinfo"]
        if applied["status"].get("lastAppliedRevision") == revision and _is_ready(applied) and _is_ready(release):
            break
        time.sleep(1)
    assert live["GitRepository frontend/apps"]["status"]["artifact"]["revision"] == revision
    assert applied["status"]["lastAppliedRevision"] == revision
    assert release["spec"]["chart"]["spec"]["version"] == "6.99.0"
    assert _is_ready(applied)
    assert _is_ready(release)
    told = [json.loads(line) for line in events.read_text().splitlines()[seen:]]
    reporters = {event["reportingController"] for event in told if revision in str(event)}
    assert reporters == {"source-stand-in", "kustomize-controller"}


def _move_version(checkout: Checkout, clone: Path, file: str, before: str, after: str) -> str:
    """Hash of a commit on main that moves a version, as image automation makes it."""
    bare = checkout.home.git / checkout.fleet.owner / "apps.git"
    _git(clone.parent, "clone", "--quiet", "--branch", "main", str(bare), clone.name)
    text = (clone / file).read_text()
    assert before in text
    (clone / file).write_text(text.replace(before, after))
    author = ("-c", "user.name=bot", "-c", "user.email=bot@example.com")
    _git(clone, *author, "commit", "--quiet", "--all", "--message", "Automated chart update")
    _git(clone, "push", "--quiet", "origin", "main")
    return _git(clone, "rev-parse", "HEAD")


def _is_ready(item: Mapping[str, Any]) -> bool:
    """Of the present generation."""
    ready = next(c for c in item["status"]["conditions"] if c["type"] == "Ready")
    return bool(ready["status"] == "True" and item["status"]["observedGeneration"] == item["metadata"]["generation"])


def test_a_tenant_with_a_repository_of_its_own(fleet: Checkout) -> None:
    fleet.edit(tenants={"shop": {"team": "web", "catalog": "frontend", "repository": "shop-deploy"}})
    assert row(fleet.up())[3:] == fleet.counts()
    assert fleet.objects()["GitRepository shop/apps"]["spec"]["url"] == f"{_address(fleet)}/shop-deploy.git"


def test_a_kind_that_only_a_chart_knows_is_applied(fleet: Checkout) -> None:
    """A component of a user's own, with custom resources that nobody foresaw."""
    base = {
        "apiVersion": "example.org/v1beta2",
        "kind": "ClusterGadget",
        "metadata": {"name": "x"},
        "spec": {"size": 3},
    }
    fleet.edit(components={"gadgets": {"configs": {"gadget": {"base": base}}}})
    assert row(fleet.up())[3:] == fleet.counts()
    api = fleet.api()
    found = api.get(api.ref("example.org/v1beta2", "ClusterGadget", "x", ""))
    api.close()
    assert found
    assert found["spec"] == {"size": 3}


def test_a_branch_that_is_not_there_is_told(fleet: Checkout) -> None:
    """In the words of source-controller, on the object and by `make status`; it heals when the branch is back."""
    fleet.up()
    api = fleet.api()
    ref = api.ref("source.toolkit.fluxcd.io/v1", "GitRepository", "apps", "frontend")
    body = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": {"name": ref.name, "namespace": ref.namespace}}
    live = api.get(ref)
    assert live
    try:
        api.apply(ref, body | {"spec": {**live["spec"], "ref": {"branch": "nope"}}}, manager="test", force=True)
        code, output = _status_until(fleet, "couldn't find remote ref")
        assert code == 1
        assert "GitRepository frontend/apps: GitOperationFailed: stand-in: failed to checkout" in output
        assert 'couldn\'t find remote ref "refs/heads/nope"' in output
    finally:
        api.apply(ref, body | {"spec": live["spec"]}, manager="test", force=True)
        api.close()
    assert row(fleet.up())[3:] == fleet.counts()


def _status_until(checkout: Checkout, words: str) -> tuple[int, str]:
    """`make status`, asked again until it tells of `words`; the bound is on the number of questions."""
    for _ in range(60):
        code, output = checkout.run("status")
        if words in output:
            break
    return code, output


def test_killed_servers_are_recovered_with_their_history(fleet: Checkout) -> None:
    fleet.up()
    before = _history(fleet, "fleet"), fleet.objects().keys()
    for name in ("git", "staging/source-stand-in"):
        os.kill(fleet.pid(name), signal.SIGKILL)
    assert row(fleet.up())[3:] == fleet.counts()
    assert (_history(fleet, "fleet"), fleet.objects().keys()) == before


def test_the_repositories_can_be_cloned_and_not_pushed_to(fleet: Checkout, tmp_path: Path) -> None:
    """By the command that is printed."""
    (command,) = [line for line in fleet.up().splitlines() if line.startswith("git clone ")]
    _git(tmp_path, *command.split()[1:], "clone")
    assert (tmp_path / "clone" / "clusters" / "staging").is_dir()
    with pytest.raises(subprocess.CalledProcessError):
        _git(tmp_path / "clone", "push", "--quiet", "origin", "HEAD:refs/heads/mine")


def test_no_token_shows_up(fleet: Checkout) -> None:
    output = fleet.up()
    tokens = [path.read_text() for path in (fleet.home.root / "secrets").iterdir()]
    assert len(tokens) == 3
    logs = [log.read_text(errors="replace") for log in fleet.home.logs.rglob("*.log")]
    assert not [token for token in tokens if any(token in text for text in (output, *logs))]
