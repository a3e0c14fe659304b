"""The admission policy that keeps tenants to known sources: an allow-list of address prefixes."""

from __future__ import annotations

from collections.abc import Mapping

from fleet import names
from fleet.manifests.objects import config_map, flux_system, metadata, resource_set
from fleet.model import Fleet, Workload
from fleet.model.base import Manifest

POLICIES = "policies"
SOURCE_POLICY = "source.policy.fluxcd.controlplane.io"
SOURCE_CONTROLLER = f"system:serviceaccount:{names.FLUX_NAMESPACE}:source-controller"


def allowed_sources(fleet: Fleet) -> list[str]:
    """Prefixes tenants may pull from: the owner's own, those of their releases' charts, and the listed ones."""
    return list(dict.fromkeys([*fleet.own_sources, *_chart_prefixes(fleet.tenants), *fleet.sources]))


def _chart_prefixes(workloads: Mapping[str, Workload]) -> list[str]:
    releases = (release for workload in workloads.values() for release in workload.releases.values())
    return sorted({f"{release.chart.rpartition('/')[0]}/" for release in releases if not release.is_local})


def policies_resource_set(fleet: Fleet) -> Manifest:
    allow_list = config_map(
        flux_system(names.ALLOW_LIST, labels={names.LABEL_POLICY_ROLE: "policy"}),
        {"sources": " ".join(allowed_sources(fleet))},
    )
    return resource_set(POLICIES, every="5m", resources=[allow_list, _policy(), _binding()])


def _policy() -> Manifest:
    kinds = ["gitrepositories", "ocirepositories", "helmrepositories", "buckets"]
    rule = {
        "apiGroups": ["source.toolkit.fluxcd.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": kinds,
    }
    return {
        "apiVersion": names.ADMISSION_API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata(SOURCE_POLICY),
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [
                # source-controller must be able to remove its finalizer from a source that is no longer allowed
                {
                    "name": "not-source-controller",
                    "expression": f"request.userInfo.username != '{SOURCE_CONTROLLER}'",
                }
            ],
            "variables": [
                # a bucket has an endpoint without a scheme, which no prefix admits
                {"name": "url", "expression": "has(object.spec.url) ? object.spec.url : object.spec.endpoint"},
                {"name": "prefixes", "expression": "params.data.sources.split(' ')"},
            ],
            "validations": [
                {
                    # the slash admits the repository of charts whose own prefix is listed
                    "expression": "variables.prefixes.exists(prefix, (variables.url + '/').startsWith(prefix))",
                    "messageExpression": (
                        "'source ' + variables.url + ' is not allowed, it must start with one of: '"
                        " + params.data.sources"
                    ),
                    "reason": "Invalid",
                }
            ],
        },
    }


def _binding() -> Manifest:
    tenants = {"key": names.LABEL_ROLE, "operator": "In", "values": ["tenant"]}
    return {
        "apiVersion": names.ADMISSION_API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata("flux-tenant-sources"),
        "spec": {
            "policyName": SOURCE_POLICY,
            "validationActions": ["Deny"],
            "paramRef": {
                "name": names.ALLOW_LIST,
                "namespace": names.FLUX_NAMESPACE,
                "parameterNotFoundAction": "Deny",
            },
            "matchResources": {"namespaceSelector": {"matchExpressions": [tenants]}},
        },
    }
