"""Who owns a live object: hands off as soon as one label says that Flux or its operator applied it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fleet.ownership import ABSENT, OURS, UNKNOWN, Verdict, judge


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        (None, ABSENT),
        ({}, OURS),
        ({"app": "x", "toolkit.fluxcd.io/tenant": "web"}, OURS),
        ({"kustomize.toolkit.fluxcd.io/namespace": "flux-system"}, OURS),
        ({"kustomize.toolkit.fluxcd.io/name": ""}, OURS),
        ({"kustomize.toolkit.fluxcd.io/name": "tenants"}, Verdict("adopted", "Kustomization/tenants")),
        ({"helm.toolkit.fluxcd.io/name": "operator"}, Verdict("adopted", "HelmRelease/operator")),
        ({"fluxcd.controlplane.io/name": "flux"}, Verdict("adopted", "FluxInstance/flux")),
        ({"resourceset.fluxcd.controlplane.io/name": "apps"}, Verdict("adopted", "ResourceSet/apps")),
    ],
)
def test_the_labels_tell_the_owner(labels: Mapping[str, str] | None, verdict: Verdict) -> None:
    """Label keys are written out: they are the facts of Flux that `fleet.names` must have right."""
    assert judge(labels) == verdict


@pytest.mark.parametrize(
    ("verdict", "ours"),
    [(ABSENT, True), (OURS, True), (UNKNOWN, False), (Verdict("adopted", "Kustomization/x"), False)],
)
def test_what_flux_owns_or_nobody_could_read_is_not_written(verdict: Verdict, ours: bool) -> None:
    assert verdict.is_ours_to_write is ours
