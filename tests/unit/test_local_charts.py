"""The chart that a repository of the git design starts with, as Helm lints and renders it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fleet.manifests.trees import tree
from fleet.model import repositories_of
from sandbox.build import Parts
from tests import oracle
from tests.rendering import make_fleet, read_all

pytestmark = [pytest.mark.sandbox, pytest.mark.covers("R133", "R149")]

FOLDER: Final = "components/shop/charts/site/"
RELEASE: Final = {"chart": "./charts/site", "version": "0.3.1-rc.1"}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fleet = make_fleet(design="git", tenants={"shop": {"team": "platform", "releases": {"web": RELEASE}}})
    root = tmp_path_factory.mktemp("chart") / "site"
    for path, content in tree(fleet, repositories_of(fleet)["apps"]).items():
        if path.startswith(FOLDER):
            file = root / path.removeprefix(FOLDER)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return root


def rendered(parts: Parts, chart: Path, *flags: str) -> Mapping[str, Any]:
    """The objects of release `web` by kind."""
    text = oracle.run(parts.helm, "template", "web", str(chart), "--namespace", "shop", *flags)
    return {found["kind"]: found for found in read_all(text)}


def test_helm_finds_no_fault_in_the_chart(chart: Path, parts: Parts) -> None:
    assert "0 chart(s) failed" in oracle.run(parts.helm, "lint", "--strict", str(chart))
    (shown,) = read_all(oracle.run(parts.helm, "show", "chart", str(chart)))
    assert (shown["name"], shown["version"]) == ("site", "0.3.1-rc.1")


def test_the_chart_makes_a_deployment_and_a_service_that_finds_its_pods(chart: Path, parts: Parts) -> None:
    """Two releases of it in one namespace keep apart."""
    made = rendered(parts, chart)
    assert made.keys() == {"Deployment", "Service"}
    assert {found["metadata"]["name"] for found in made.values()} == {"web"}
    spec, service = made["Deployment"]["spec"], made["Service"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels == service["selector"]
    assert labels["app.kubernetes.io/instance"] == "web"
    (container,) = spec["template"]["spec"]["containers"]
    ((port,), (served,)) = container["ports"], service["ports"]
    assert served["targetPort"] == port["name"] == container["readinessProbe"]["httpGet"]["port"]


def test_its_pods_are_admitted_where_pod_security_is_restricted(chart: Path, parts: Parts) -> None:
    pod = rendered(parts, chart)["Deployment"]["spec"]["template"]["spec"]
    assert (
        pod["securityContext"].items() >= {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}.items()
    )
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "volumes"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert (security["allowPrivilegeEscalation"], security["capabilities"]) == (False, {"drop": ["ALL"]})
        assert "privileged" not in security
        assert not [port for port in container["ports"] if "hostPort" in port]


@pytest.mark.parametrize("tag", ["1e3", "0010", "v1.2.3"])
def test_the_values_of_an_environment_reach_the_deployment(tag: str, chart: Path, parts: Parts, tmp_path: Path) -> None:
    """Also a tag that looks like a number."""
    values = tmp_path / "values.yaml"
    values.write_text(f'{{replicaCount: 4, port: 8081, image: {{repository: r.test/x, tag: "{tag}"}}}}')
    spec = rendered(parts, chart, "--values", str(values))["Deployment"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], container["image"]) == (4, f"r.test/x:{tag}")
    assert container["ports"] == [{"name": "http", "containerPort": 8081}]
    assert container["resources"]["requests"]
