"""The Flux Operator: values of its chart, and the ResourceSet by which Flux takes its release over.

The first install uses the same values as the release that Flux makes of it later, so that taking over changes nothing.
"""

from __future__ import annotations

from fleet import names
from fleet.manifests.mirror import access, operator_pod
from fleet.manifests.objects import CHART_LAYER, RETRY, cosign, custom_resource_exists, flux_system, resource_set
from fleet.model import Fleet
from fleet.model.base import Manifest


def operator_values(fleet: Fleet) -> Manifest:
    return {
        "multitenancy": {"enabled": True, "defaultServiceAccount": names.OPERATOR},
        "reporting": {"interval": fleet.operator.report_interval},
        **operator_pod(fleet),
    }


def operator_resource_set(fleet: Fleet) -> Manifest:
    """Chart source and HelmRelease of the operator, at one exact version: an upgrade is a change in Git."""
    source: Manifest = {
        "apiVersion": names.SOURCE_API,
        "kind": "OCIRepository",
        "metadata": flux_system(names.OPERATOR),
        "spec": {
            "interval": "10m",
            "url": fleet.operator.chart,
            **access(fleet, fleet.operator.chart),
            "layerSelector": CHART_LAYER,
            "ref": {"semver": fleet.operator.version},
            "verify": cosign(
                "https://github[.]com/controlplaneio-fluxcd/charts/[.]github/workflows/release[.]yml@refs/tags/v[0-9.]+",
                fleet.mirror,
            ),
        },
    }
    release: Manifest = {
        "apiVersion": names.HELM_API,
        "kind": "HelmRelease",
        "metadata": flux_system(names.OPERATOR),
        "spec": {
            "interval": "30m",
            "releaseName": names.OPERATOR,
            "serviceAccountName": names.OPERATOR,
            "chartRef": {"kind": "OCIRepository", "name": names.OPERATOR},
            "install": {"strategy": RETRY},
            "upgrade": {"force": True, "strategy": RETRY},
            "valuesFrom": [{"kind": "ConfigMap", "name": names.OPERATOR_VALUES, "valuesKey": "values.yaml"}],
        },
    }
    served = custom_resource_exists("helmreleases.helm.toolkit.fluxcd.io")
    return resource_set(names.OPERATOR, depends_on=[served], resources=[source, release])
