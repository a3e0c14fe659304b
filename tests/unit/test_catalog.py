"""The built-in catalog: each entry is valid as it is, the entries fit one another, and an entry of fleet.yaml is laid
over them.

What the charts make of the values cannot be shown here: they lie in registries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import reduce
from itertools import combinations
from typing import Any, Final

import pytest

from fleet import config, names
from fleet.manifests.runtime import runtime_info
from fleet.model import Release, parse_fleet, with_catalog
from fleet.model.catalog import SECTIONS, fitting, merge

CATALOG: Final = config.catalog()
FLEET: Final[dict[str, Any]] = {
    "design": "oci",
    "owner": "acme",
    "bot": {"name": "bot"},
    "teams": {"web": {"role": "platform"}},
    "environments": {"staging": {"tracks": "main"}, "production": {"tracks": "releases"}},
    "clusters": {"staging": {"environment": "staging"}, "prod": {"environment": "production"}},
}
BASE: Final = {"a": {"releases": {"x": {"version": "1.0.0", "environments": {"qa": {"n": 1}, "dev": {}}}}}}
"""A catalog with one entry."""

RELEASES: Final = {
    f"{word}.{name}": release for word, entry in CATALOG.items() for name, release in entry.get("releases", {}).items()
}
OBJECTS: Final = [config["base"] for entry in CATALOG.values() for config in entry.get("configs", {}).values()]
"""The custom resources of all entries."""
DASHBOARDS: Final = {
    file: json.loads(text)
    for config_map in CATALOG["monitoring"]["configMaps"].values()
    for file, text in config_map["files"].items()
}
VARIABLE: Final = re.compile(r"\$\{(\w+)(:=[^}]+)?\}")
CLUSTER_STATS: Final = [
    *("Reconcilers", "Failing Reconcilers", "Sources", "Failing Sources"),
    *("Average Reconcile Duration", "Average Source Duration"),
    *("Reconciler Readiness", "Source Readiness", "Suspended"),
    *("Reconcile Duration", "Source Duration"),
]
CONTROL_PLANE: Final = [
    *("Controllers", "Longest Work Queue", "Memory", "API Requests", "CPU Usage", "Memory Usage"),
    "Reconcile Duration",
    *("Kustomization Operations", "Git Repository Operations", "OCI Repository Operations"),
    *("Helm Repository Operations", "Bucket Operations", "Helm Release Operations", "Helm Chart Operations"),
]


def filled(section: str, entries: Any, catalog: Any = BASE, **fleet: Any) -> Any:
    raw, problems = with_catalog({section: entries, "environments": {"qa": {}}} | fleet, catalog, "fleet.yaml")
    assert problems == []
    return raw[section]


def values(word: str, release: str) -> Any:
    return CATALOG[word]["releases"][release]["values"]


def at(tree: Any, path: str) -> Any:
    return reduce(lambda node, key: node[key], path.split("."), tree)


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every scalar in a tree with the keys that lead to it."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if children is None:
        yield path, node
        return
    for key, child in children:
        yield from leaves(child, (*path, str(key)))


def objects(kind: str) -> list[Any]:
    return [found for found in OBJECTS if found["kind"] == kind]


# --- what an entry is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "word"), [(section, word) for section in SECTIONS for word in fitting(section, CATALOG)]
)
def test_every_entry_is_valid_and_complete(section: str, word: str) -> None:
    """Also under another name than its own."""
    entry = {"catalog": word, **({"team": "web"} if section == "tenants" else {})}
    needed: dict[str, Any] = {name: {} for name in CATALOG[word].get("dependsOn", [])}
    fleet = merge(merge(FLEET, {"components": needed}), {section: {"mine": entry}})
    raw, problems = with_catalog(fleet, CATALOG, "fleet.yaml")
    assert problems == []
    workload = getattr(parse_fleet(raw), section)["mine"]
    assert workload.releases or workload.configs


@pytest.mark.parametrize("word", CATALOG)
def test_entries_know_the_usual_environments_only(word: str) -> None:
    """Values for others would be left out of every fleet that lacks them, without a word."""
    parts = [*CATALOG[word].get("releases", {}).values(), *CATALOG[word].get("configs", {}).values()]
    assert {environment for part in parts for environment in part.get("environments", {})} <= {"staging", "production"}


def test_every_entry_fits_components_and_no_entry_names_a_team() -> None:
    """What an entry gives is not required in fleet.yaml; the JSON schema counts on the team being required."""
    assert fitting("components", CATALOG) == CATALOG
    assert not [word for word, entry in CATALOG.items() if "team" in entry]


def test_a_tenant_can_start_from_an_application_only() -> None:
    """One that happens to be called `logging` must not get the platform's."""
    assert fitting("tenants", CATALOG).keys() == {"frontend", "backend"}


@pytest.mark.parametrize("name", RELEASES)
def test_a_chart_has_one_version_and_is_moved_within_its_series(name: str) -> None:
    """A new major version waits for a person; below 1.0.0 the minor one is what may break."""
    release = Release.model_validate(RELEASES[name])  # an OCI address and an exact version, or it is refused
    major, minor, _ = release.version.removeprefix("v").split(".")
    assert release.updates == (f"0.{minor}.x" if major == "0" else f"{major}.x")


def test_no_password_is_in_the_catalog() -> None:
    def literal(path: tuple[str, ...], value: Any) -> bool:
        secret = re.search("password|passwd|secret|token|credential", path[-1], re.IGNORECASE)
        return bool(secret and value and isinstance(value, str))

    found = [path for path, value in leaves(CATALOG) if literal(path, value)]
    assert found == []
    assert literal(("grafana", "adminPassword"), "flux")


@pytest.mark.parametrize("design", ["oci", "git"])
def test_variables_exist_on_every_cluster_or_have_a_default(design: str) -> None:
    """Flux refuses to apply what names an unknown one; in the files of a ConfigMap nothing is filled in."""
    fleet = parse_fleet(FLEET | {"design": design})
    always = set.intersection(*(set(runtime_info(fleet, cluster)) for cluster in fleet.clusters))
    texts = [value for path, value in leaves(CATALOG) if isinstance(value, str) and "configMaps" not in path]
    found = [match for text in texts for match in VARIABLE.finditer(text)]
    assert sum(text.count("$") for text in texts) == len(found)
    assert {match[1] for match in found if not match[2]} <= always
    assert "INGRESS_SERVICE_TYPE" in {match[1] for match in found}


@pytest.mark.covers("R34", "R157")
def test_the_controller_of_certificates_brings_its_definitions() -> None:
    """Its chart leaves them out otherwise, and the issuer beside it would be of a kind that nobody serves."""
    assert at(values("cert-manager", "cert-manager"), "crds.enabled") is True
    assert [found["apiVersion"] for found in objects("ClusterIssuer")] == ["cert-manager.io/v1"]


# --- how entries fit one another -------------------------------------------------------------------------------------


@pytest.mark.covers("R39")
def test_who_names_an_ingress_class_names_that_of_the_ingress_component() -> None:
    (ingress_class,) = objects("IngressClass")
    (issuer,) = objects("ClusterIssuer")
    (solver,) = issuer["spec"]["acme"]["solvers"]
    assert at(solver, "http01.ingress.ingressClassName") == ingress_class["metadata"]["name"]
    assert at(values("frontend", "podinfo"), "ingress.className") == ingress_class["metadata"]["name"]
    assert at(values("ingress", "traefik"), "ingressClass.enabled") is False


@pytest.mark.covers("R9", "R39", "R40", "R158")
@pytest.mark.parametrize("kind", ["IngressClass", "StorageClass"])
def test_each_class_is_there_once_as_the_default(kind: str) -> None:
    (found,) = objects(kind)
    assert found["metadata"]["annotations"] == {f"{kind.lower()}.kubernetes.io/is-default-class": "true"}


@pytest.mark.covers("R40")
def test_volumes_outlive_their_claims_in_production_only() -> None:
    environments = at(CATALOG, "storage.configs.default.environments")
    assert {name: patch["reclaimPolicy"] for name, patch in environments.items()} == {
        "staging": "Delete",
        "production": "Retain",
    }


@pytest.mark.covers("R37", "R157")
def test_the_collector_sends_logs_to_the_store_beside_it() -> None:
    (target,) = values("logging", "victoria-logs-collector")["remoteWrite"]
    store = at(values("logging", "victoria-logs"), "server.fullnameOverride")
    assert target == {"url": f"http://{store}:9428"}


@pytest.mark.covers("R36", "R157")
def test_prometheus_finds_every_monitor_of_the_catalog() -> None:
    prometheus = at(values("monitoring", "kube-prometheus-stack"), "prometheus.prometheusSpec")
    (wanted,) = prometheus["podMonitorSelector"]["matchLabels"].items()
    assert prometheus["serviceMonitorSelector"] == prometheus["podMonitorSelector"]
    monitors = [*objects("PodMonitor"), *objects("ServiceMonitor")]
    assert {found["metadata"]["name"] for found in monitors} == {"flux-controllers", "flux-operator", "kyverno"}
    assert all(wanted in found["metadata"]["labels"].items() for found in monitors)
    exporters = values("monitoring", "kube-prometheus-stack")
    labels = [
        at(values("frontend", "podinfo"), "serviceMonitor.additionalLabels"),
        at(exporters["kube-state-metrics"], "prometheus.monitor.additionalLabels"),
        at(exporters["prometheus-node-exporter"], "prometheus.monitor.additionalLabels"),
    ]
    assert all(wanted in found.items() for found in labels)


def test_what_needs_monitors_of_prometheus_waits_for_it() -> None:
    groups = {
        word: {config["base"]["apiVersion"].partition("/")[0] for config in entry.get("configs", {}).values()}
        for word, entry in CATALOG.items()
    }
    users = {word for word, used in groups.items() if "monitoring.coreos.com" in used} - {"monitoring"}
    assert users == {"admission"}
    assert {word for word, entry in CATALOG.items() if "monitoring" in entry.get("dependsOn", ())} == users


def test_namespace_admins_may_own_monitors() -> None:
    (role,) = objects("ClusterRole")
    assert role["metadata"]["labels"] == {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]}.isdisjoint({"*", "escalate", "bind"})
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {
        *("podmonitors", "podmonitors/status", "servicemonitors", "servicemonitors/status"),
    }


def test_a_monitor_of_a_tenant_reads_no_file_of_prometheus() -> None:
    """It could have Prometheus send its own token to the tenant."""
    prometheus = at(values("monitoring", "kube-prometheus-stack"), "prometheus.prometheusSpec")
    assert prometheus["arbitraryFSAccessThroughSMs"] == {"deny": True}


@pytest.mark.covers("R35", "R157")
def test_the_policy_holds_in_the_namespaces_of_tenants_and_denies() -> None:
    (policy,) = objects("ValidatingPolicy")
    assert at(policy, "spec.matchConstraints.namespaceSelector.matchLabels") == {names.LABEL_ROLE: "tenant"}
    assert policy["spec"]["validationActions"] == ["Deny"]
    assert not [found for found in OBJECTS if found["apiVersion"].startswith("kyverno.io/")]


@pytest.mark.covers("R67", "R176")
def test_charts_that_bring_tests_are_tested() -> None:
    tested = {name for name, release in RELEASES.items() if release.get("test")}
    assert tested == {"monitoring.kube-prometheus-stack", "admission.kyverno", "frontend.podinfo"}


@pytest.mark.covers("R41")
def test_only_what_reads_the_node_is_privileged() -> None:
    levels = {word: entry.get("podSecurity", "baseline") for word, entry in CATALOG.items()}
    assert {word for word, level in levels.items() if level == "privileged"} == {"monitoring", "logging"}
    assert {word for word, level in levels.items() if level == "restricted"} == {"cert-manager", "ingress", "backend"}


# --- dashboards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "uid", "title", "panels"),
    [
        ("flux-cluster.json", "flux-cluster", "Flux Cluster Stats", CLUSTER_STATS),
        ("flux-control-plane.json", "flux-control-plane", "Flux Control Plane", CONTROL_PLANE),
    ],
)
def test_each_dashboard_has_its_panels(file: str, uid: str, title: str, panels: list[str]) -> None:
    dashboard = DASHBOARDS[file]
    assert (dashboard["uid"], dashboard["title"]) == (uid, title)
    assert sorted(panel["title"] for panel in dashboard["panels"]) == sorted(panels)


def test_no_two_dashboards_or_panels_are_in_the_same_place() -> None:
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS) == 2
    for dashboard in DASHBOARDS.values():
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        assert all(place["x"] + place["w"] <= 24 for place in places)
        for one, two in combinations(places, 2):
            apart = (one["x"] + one["w"] <= two["x"], two["x"] + two["w"] <= one["x"])
            assert any(apart) or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]


@pytest.mark.parametrize("file", DASHBOARDS)
def test_every_panel_asks_the_chosen_data_source_with_known_variables(file: str) -> None:
    dashboard = DASHBOARDS[file]
    variables = dashboard["templating"]["list"]
    known = {variable["name"] for variable in variables}
    assert {"datasource", "operator_namespace"} <= known
    for asking in (*dashboard["panels"], *(variable for variable in variables if variable["type"] == "query")):
        assert asking["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for panel in dashboard["panels"]:
        (target,) = panel["targets"]
        used = set(re.findall(r"\$(\w+)", target["expr"]))
        assert used <= known | {"__range", "__rate_interval"}
        assert used, "a query that no variable narrows"


def test_dashboards_are_where_grafana_looks_for_them() -> None:
    (config_map,) = CATALOG["monitoring"]["configMaps"].values()
    assert config_map["labels"] == {"grafana_dashboard": "1"}


# --- how fleet.yaml is laid over an entry ----------------------------------------------------------------------------


def test_an_entry_without_a_word_is_that_of_its_name_if_there_is_one() -> None:
    start = {"releases": {"x": {"version": "1.0.0", "environments": {"qa": {"n": 1}}}}}
    assert filled("components", {"a": {}, "b": {"releases": {}}, "c": {"catalog": "a"}, "d": {"configs": {}}}) == {
        "a": start,
        "b": {"releases": {}},
        "c": start | {"catalog": "a"},
        "d": {"configs": {}},
    }


@pytest.mark.parametrize("entry", [{}, None])
def test_an_empty_entry_that_the_catalog_does_not_know_is_a_fault(entry: Any) -> None:
    _, (problem,) = with_catalog({"components": {"b": entry}}, BASE, "fleet.yaml")
    assert problem.path == "fleet.yaml.components.b"


def test_own_keys_win_and_the_rest_stays() -> None:
    own = {"releases": {"x": {"version": "2.0.0", "environments": {"qa": {"m": 2}}}, "y": {}}}
    assert filled("components", {"a": own})["a"]["releases"] == {
        "x": {"version": "2.0.0", "environments": {"qa": {"n": 1, "m": 2}}},
        "y": {},
    }


def test_a_tenant_gets_no_entry_with_custom_resources() -> None:
    """It may not apply them; a tenant that happens to be called `monitoring` starts empty."""
    catalog: dict[str, Any] = {"a": {"configs": {}}}
    assert filled("tenants", {"a": {"team": "web"}}, catalog) == {"a": {"team": "web"}}
    _, (problem,) = with_catalog({"tenants": {"b": {"catalog": "a"}}}, catalog, "fleet.yaml")
    assert problem.path == "fleet.yaml.tenants.b.catalog"


def test_what_was_given_stays_as_it_was() -> None:
    own: dict[str, Any] = {"a": {"releases": {"x": {"version": "2.0.0"}}}}
    filled("components", own)
    assert own == {"a": {"releases": {"x": {"version": "2.0.0"}}}}
    assert BASE["a"]["releases"]["x"]["environments"] == {"qa": {"n": 1}, "dev": {}}


@pytest.mark.parametrize("malformed", [[], "a", 1, {"a": "b"}, {"a": {"catalog": ["a"]}}, {1: {"releases": {}}}])
def test_what_is_no_mapping_is_left_to_the_model(malformed: Any) -> None:
    _, problems = with_catalog({"components": malformed}, BASE, "fleet.yaml")
    assert problems == []


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2}}, {"a": {"b": 2, "c": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_maps_merge_and_everything_else_is_replaced(below: Any, above: Any, merged: Any) -> None:
    assert merge(below, above) == merged
