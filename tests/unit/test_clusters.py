"""Clusters of a stack, several side by side."""

from __future__ import annotations

import threading

import pytest

from fleet.resources import live
from sandbox.program.registration import Answer, Registration
from tests.checkout import Checkout, label
from tests.reader import ADOPTED, FRESH, Reader, found
from tests.recording import RecordingMonitor

AT_MOST = 30.0
"""Seconds until a test that waits for something that does not happen fails."""


def test_clusters_are_read_at_the_same_time(checkout: Checkout, reader: Reader) -> None:
    """Neither read ends before both have begun."""
    both = threading.Barrier(2, timeout=AT_MOST)

    def answer(kubeconfig: str) -> live.Verdicts:
        both.wait()
        return FRESH

    reader.answer = answer
    checkout.run("production")
    assert sorted(reader.asked) == sorted(checkout.kubeconfig(name) for name in ("prod-eu", "prod-us"))


@pytest.mark.parametrize("first", ["prod-eu", "prod-us"])
def test_it_does_not_matter_which_cluster_answers_first(checkout: Checkout, reader: Reader, first: str) -> None:
    """Each verdict goes to its own cluster, and the text that names the clusters keeps the order of the file."""
    answered = threading.Event()

    def answer(kubeconfig: str) -> live.Verdicts:
        if kubeconfig == checkout.kubeconfig(first):
            answered.set()
            return found("instance", ADOPTED, ADOPTED)
        assert answered.wait(AT_MOST)
        return FRESH

    reader.answer = answer
    run = checkout.run("production")
    adopted = {name: run.of(name, "instance").import_id for name in ("prod-eu", "prod-us")}
    assert adopted == {"prod-eu": "", "prod-us": ""} | {first: "flux-system/flux"}
    assert "production runs on: prod-eu, prod-us" in run.outputs["onboarding"]


def test_a_slow_cluster_delays_no_other(checkout: Checkout, reader: Reader) -> None:
    """It is still being read when the last object of the other one is declared."""
    declared = threading.Event()

    class Watching(RecordingMonitor):
        def register(self, asked: Registration) -> Answer:
            if asked.name == "prod-eu-fluxinstance-flux":
                declared.set()
            return super().register(asked)

    def answer(kubeconfig: str) -> live.Verdicts:
        assert kubeconfig == checkout.kubeconfig("prod-eu") or declared.wait(AT_MOST)
        return FRESH

    reader.answer = answer
    run = checkout.run("production", monitor=Watching())
    assert label("prod-us", "instance") in run.resources
