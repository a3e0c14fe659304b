"""The update environment on this machine: a real API server, operator and kustomize-controller set image automation up,
and the program has it run before it ends. The image controllers are stand-ins that find no new version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet import names
from sandbox.build import Parts
from sandbox.cluster.objects import FAULT
from sandbox.program.api import Api, Object, Ref
from tests.sandbox.checkouts import Checkout, brought_up, taken

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Checkout]:
    def use_update(checkout: Checkout) -> None:
        checkout.set_stack("update", {"update": taken("update")})

    with brought_up(tmp_path_factory.mktemp("update") / "checkout", use_update) as checkout:
        yield checkout


@pytest.fixture
def api(fleet: Checkout) -> Iterator[Api]:
    api = Api(fleet.home.cluster("update").kubeconfig.read_text())
    yield api
    api.close()


def automations(api: Api) -> list[Object]:
    return list(api.list_all(names.IMAGE_API, "imageupdateautomations"))


def handled(api: Api) -> set[str]:
    """What each automation was last asked by."""
    return {found["status"].get("lastHandledReconcileAt", "") for found in automations(api)}


def test_every_automation_looked_again_when_all_policies_were_known(fleet: Checkout, api: Api) -> None:
    (first,) = handled(api)
    assert first
    fleet.up()
    (second,) = handled(api)
    assert second not in ("", first)


@pytest.mark.parametrize(("kind", "plural"), [("ImagePolicy", "imagepolicies"), ("ImageUpdateAutomation", "")])
def test_what_fails_ends_the_run_with_its_own_words(fleet: Checkout, api: Api, kind: str, plural: str) -> None:
    found = next(iter(api.list_all(names.IMAGE_API, plural) if plural else automations(api)))["metadata"]
    ref = Ref(api_version=names.IMAGE_API, kind=kind, name=found["name"], namespace=found["namespace"])
    api.annotate(ref, FAULT, "no tag matches")
    code, output = fleet.run("up")
    assert code != 0
    assert f"{kind} {ref.namespace}/{ref.name} is not ready" in output
    assert "no tag matches" in output
    api.annotate(ref, FAULT, None)
    fleet.up()
