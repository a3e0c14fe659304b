"""Whether a live cluster is the one that the stack means: every pair of what it says and what is wanted."""

from __future__ import annotations

import dataclasses

import pytest

from fleet.errors import ClusterError
from fleet.model import ExistingCluster
from fleet.resources.identity import Identities
from tests.checkout import Checkout
from tests.reader import FRESH, Reader
from tests.recording import RecordingMonitor

OURS = {"FLEET_STACK": "production", "FLEET_CLUSTER": "eu", "CLUSTER_NAME": "eu"}
WRONG = "otherwise the kubeconfig leads to the wrong cluster"


def fault(name: str, said: dict[str, str], renamed_from: str | None = None) -> str | None:
    """What is wrong with a cluster of that name whose live variables are these, in stack `production`."""
    source = ExistingCluster(kind="existing", kubeconfig="x", renamed_from=renamed_from)
    found = dataclasses.replace(FRESH, variables=said)
    problem = Identities(stack="production").fault(name, source, found)
    return problem.message if problem else None


@pytest.mark.parametrize(
    ("name", "renamed_from", "said"),
    [
        ("eu", None, {}),
        ("eu", None, OURS),
        ("eu", None, {"CLUSTER_NAME": "eu"}),
        ("west", "eu", OURS),
        ("west", "eu", OURS | {"CLUSTER_NAME": "west"}),
        ("west", "eu", OURS | {"CLUSTER_NAME": "between"}),
        ("west", "eu", {"CLUSTER_NAME": "eu"}),
        ("west", "eu", {"CLUSTER_NAME": "west"}),
    ],
)
def test_a_cluster_that_says_nothing_else_is_gone_on_with(
    name: str, renamed_from: str | None, said: dict[str, str]
) -> None:
    """Before it was ever brought up, and while Git has either of its names."""
    assert fault(name, said, renamed_from) is None


@pytest.mark.parametrize(
    ("name", "renamed_from", "said", "message"),
    [
        ("west", None, OURS, "the live cluster is `eu`"),
        ("west", None, OURS | {"CLUSTER_NAME": "west"}, "the live cluster is `eu`"),
        ("west", None, {"CLUSTER_NAME": "eu"}, "the live cluster is `eu`"),
        ("eu", "us", OURS, "the live cluster is `eu`"),
        ("eu", None, OURS | {"FLEET_STACK": "staging"}, "the live cluster belongs to stack `staging`"),
    ],
)
def test_a_cluster_that_says_another_name_or_stack_is_refused(
    name: str, renamed_from: str | None, said: dict[str, str], message: str
) -> None:
    assert fault(name, said, renamed_from) == message


def test_two_names_cannot_lead_to_one_cluster(checkout: Checkout, reader: Reader) -> None:
    """By whatever addresses: the one that is read first stays."""
    reader.answer = lambda kubeconfig: dataclasses.replace(FRESH, uid="u-1")
    with pytest.raises(ClusterError) as raised:
        checkout.run("production")
    (problem,) = raised.value.problems
    told = {name: f"left as it is: the live cluster is that of `{name}`" for name in ("prod-eu", "prod-us")}
    del told[problem.path.removeprefix("clusters.")]
    assert problem.message in told.values()


def test_clusters_of_their_own_are_told_apart(checkout: Checkout, reader: Reader) -> None:
    reader.answer = lambda kubeconfig: dataclasses.replace(FRESH, uid=str(hash(kubeconfig)))
    checkout.run("production")


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_nothing_is_declared_for_a_cluster_that_is_another(checkout: Checkout, reader: Reader, preview: bool) -> None:
    """In a preview too: its plan would be that of another cluster."""
    said = {"FLEET_STACK": "production", "FLEET_CLUSTER": "prod-us"}
    reader.answer = lambda kubeconfig: dataclasses.replace(FRESH, variables=said)
    monitor = RecordingMonitor()
    with pytest.raises(ClusterError) as raised:
        checkout.run("production", preview=preview, monitor=monitor)
    (problem,) = raised.value.problems
    assert problem.path == "clusters.prod-eu"
    assert problem.hint == f"if it was renamed, `renamedFrom: prod-us`; {WRONG}"
    assert not [asked for asked in monitor.registrations if asked.name.startswith("prod-eu")]
    assert [asked for asked in monitor.registrations if asked.name.startswith("prod-us")]
