"""Two clusters in one stack, without the engine: as `make up` has it, and while one of them is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet.errors import ClusterError
from sandbox.build import Parts
from tests.sandbox.checkouts import Checkout, path_without_engine, row
from tests.sandbox.production import CLUSTERS, Production, running, use_production

pytestmark = pytest.mark.sandbox


def test_make_up_brings_up_every_cluster_of_the_stack(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> None:
    """Another Pulumi.sandbox.yaml is all that it takes; the table has a row for each."""
    checkout = Checkout(tmp_path_factory.mktemp("production") / "checkout", path=path_without_engine())
    use_production(checkout)
    try:
        output = checkout.up()
        for name in CLUSTERS:
            cells = row(output, name)
            assert cells[1].startswith("v2.")
            assert cells[2].startswith("latest-stable@sha256:")
            assert cells[-1] == "yes"
            assert f"Flux Status page of {name}" in output
    finally:
        checkout.run("down")


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Iterator[Production]:
    with running(tmp_path_factory.mktemp("many") / "checkout", parts) as found:
        yield found


def test_a_lost_cluster_stops_no_other_and_the_next_run_repairs_it(production: Production) -> None:
    """Dead from the start; then dead after it was read, before its first object is applied; then back."""
    production.gates["prod-us"].shut()
    with pytest.raises(ClusterError) as left:
        production.apply()
    (problem,) = left.value.problems
    assert problem.path == "clusters.prod-us"
    assert problem.message.startswith("left as it is: cannot be read: ")
    assert production.is_ready("prod-eu")
    assert production.objects("prod-us") == {}

    production.gates["prod-us"].open()
    with production.dying("prod-us"), pytest.raises(ClusterError) as broken:
        production.apply()
    told = [problem for problem in broken.value.problems if problem.path == "clusters.prod-us"]
    assert [problem.message for problem in told] == ["broke off, what failed is told on its own"]
    (failed,) = (problem for problem in broken.value.problems if problem not in told)
    assert failed.path == "kubernetes:core/v1:Namespace::prod-us-flux-system"
    assert production.is_ready("prod-eu")
    assert production.objects("prod-us") == {}

    production.gates["prod-us"].open()
    kept = production.uids()["prod-eu"]
    production.apply()
    assert [production.is_ready(name) for name in CLUSTERS] == [True, True]
    assert production.uids()["prod-eu"] == kept
    production.apply()


def test_what_is_lost_at_the_end_is_told(production: Production) -> None:
    """Where all is as it should be, nobody asks the cluster after it was read, but for once more at the end."""
    with production.dying("prod-us"), pytest.raises(ClusterError) as lost:
        production.apply()
    assert "clusters.prod-us" in {problem.path for problem in lost.value.problems}
    production.gates["prod-us"].open()
