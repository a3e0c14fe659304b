"""Whatever pulls from a mirror signs in and trusts its authority, and what charts render names the copies."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from fleet import config
from fleet.manifests.instance import flux_instance
from fleet.manifests.mirror import rewriting
from fleet.manifests.operator import operator_resource_set, operator_values
from fleet.manifests.trees.documents import FLUX
from fleet.model import mirrored
from fleet.model.mirror import canonical
from sandbox.build import Parts
from sandbox.program.registration import Secret, reveal
from tests import oracle
from tests.checkout import Checkout, label, secret_value
from tests.mirrors import MIRROR, upstream
from tests.reader import Reader
from tests.rendering import load_case, make_fleet, objects_of, read_all, trees_of

EVERY_DESIGN: Final = pytest.mark.parametrize("design", ["oci", "git"])


# --- signing in and trust --------------------------------------------------------------------------------------------
@EVERY_DESIGN
def test_whatever_pulls_signs_in_and_trusts_the_authority(design: str) -> None:
    fleet = mirrored(upstream(design))
    charts = [o for _, o in objects_of(fleet) if o["kind"] in ("OCIRepository", "HelmRepository", "ImageRepository")]
    charts.append(operator_resource_set(fleet)["spec"]["resources"][0])
    assert {o["kind"] for o in charts} >= {"ImageRepository", "OCIRepository"}
    for manifest in charts:
        assert manifest["spec"]["secretRef"] == {"name": "mirror-auth"}, manifest
        assert manifest["spec"]["certSecretRef"] == {"name": "mirror-trust"}, manifest
    verified = [o["spec"]["verify"] for o in charts if "verify" in o["spec"]]
    assert [v["trustedRootSecretRef"] for v in verified] == [{"name": "mirror-trust"}]


def test_the_owners_artifacts_are_signed_in_to_as_ever_but_trust_the_authority() -> None:
    fleet = load_case("mirror")
    sets = [o for _, o in objects_of(fleet) if o["kind"] == "ResourceSet"]
    own = [r["spec"] for s in sets for r in s["spec"]["resources"] if r["kind"] == "OCIRepository"]
    own = [spec for spec in own if spec["url"].startswith(f"oci://{fleet.artifacts}")]
    assert len(own) == len(("components", "tenants"))
    for cluster in fleet.clusters:
        (patch,) = (
            p
            for p in flux_instance(fleet, cluster)["spec"]["kustomize"]["patches"]
            if p["target"]["kind"] == "OCIRepository"
        )
        own.append({o["path"].removeprefix("/spec/"): o["value"] for o in yaml.safe_load(patch["patch"])})
    for spec in own:
        assert spec["certSecretRef"] == {"name": "mirror-trust"}
        assert spec["verify"]["trustedRootSecretRef"] == {"name": "mirror-trust"}
        assert "secretRef" not in spec


@EVERY_DESIGN
def test_every_namespace_that_pulls_has_copies_and_pods_without_an_account_of_their_own_sign_in(design: str) -> None:
    fleet = mirrored(upstream(design))
    sets = {o["metadata"]["name"]: o["spec"]["resources"] for _, o in objects_of(fleet) if o["kind"] == "ResourceSet"}
    for name in ("infra", "apps", "image-update-automation"):
        copied = {r["metadata"]["name"] for r in sets[name] if r["kind"] == "Secret"}
        assert copied >= {"mirror-auth", "mirror-trust"}, name
    for name in ("infra", "apps"):
        (account,) = (r for r in sets[name] if r["kind"] == "ServiceAccount" and r["metadata"]["name"] == "default")
        assert account["imagePullSecrets"] == [{"name": "mirror-auth"}]


def test_the_operators_pod_signs_in_and_reads_the_authority() -> None:
    values = operator_values(load_case("mirror"))
    assert values["image"]["pullSecrets"] == [{"name": "mirror-auth"}]
    (volume,), (mount,), (variable,) = (values[key] for key in ("extraVolumes", "extraVolumeMounts", "extraEnvs"))
    assert volume == {
        "name": mount["name"],
        "secret": {"secretName": "mirror-trust", "items": [{"key": "ca.crt", "path": "ca.crt"}]},
    }
    assert (variable["name"], mount["readOnly"]) == ("SSL_CERT_DIR", True)
    assert mount["mountPath"] in variable["value"].split(":")


def test_a_mirror_that_anybody_may_read_and_a_public_authority_knows_asks_for_no_secret() -> None:
    fleet = make_fleet(mirror={"registry": "r.test/m"}, flux={"version": FLUX}, components={"dns": {}})
    assert "mirror-" not in json.dumps([text.decode() for text in trees_of(fleet).values()])
    assert operator_values(fleet).keys() == {"multitenancy", "reporting", "image"}


@pytest.mark.parametrize("design", ["oci", "git"])
def test_the_program_signs_the_operators_pod_in_before_it_installs_it(
    checkout: Checkout, reader: Reader, design: str
) -> None:
    """And itself, to pull the chart; no token is in clear."""
    changes = checkout.use(design, "production", flux={"version": FLUX}, mirror=MIRROR)
    run = checkout.run("production", **changes)
    auth, trust = (run.resources[f"kubernetes:core/v1:Secret::prod-eu-{n}"] for n in ("mirror-auth", "mirror-trust"))
    assert isinstance(auth.inputs["stringData"], Secret)
    config_json = json.loads(reveal(auth.inputs["stringData"])[".dockerconfigjson"])
    token = secret_value("mirrorToken")
    assert config_json["auths"].keys() == {"harbor.internal", "hub.internal:5000"}
    for entry in config_json["auths"].values():
        assert (entry["username"], entry["password"]) == ("robot$pull", token)
        assert base64.b64decode(entry["auth"]).decode() == f"robot$pull:{token}"
    assert reveal(trust.inputs["stringData"]) == {"ca.crt": MIRROR["ca"], "trusted_root.json": MIRROR["trustedRoot"]}
    assert run.before(label("prod-eu", "operator")) >= {auth.label, trust.label}
    release = run.of("prod-eu", "operator").inputs
    assert release["chart"] == "oci://harbor.internal/mirror/ghcr.io/controlplaneio-fluxcd/charts/flux-operator"
    assert release["repositoryOpts"]["username"] == "robot$pull"
    assert isinstance(release["repositoryOpts"]["password"], Secret)
    assert reveal(release["repositoryOpts"]["password"]) == token
    local = checkout.run("production", **changes, operatorChart="./chart").of("prod-eu", "operator").inputs
    assert (local["chart"], "repositoryOpts" in local) == ("./chart", False)


PODS: Final = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {template: {spec: {initContainers: [{name: i, image: giantswarm/tiny-tools}], containers: [
  {name: c, image: "docker.io/redis:8.10.0@sha256:344e"}, {name: d, image: "curlimages/curl:9"}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: hook, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: c, image: "quay.io/a/b:1"}, {name: d, image: "quay.io/a/b-c:1"}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: s}
imagePullSecrets: [{name: other}]
"""


@pytest.mark.sandbox
def test_what_a_chart_renders_names_the_copies_and_signs_in(parts: Parts, tmp_path: Path) -> None:
    """With the kustomize that helm-controller has inside. A newer tag than the listed one is rewritten too."""
    fleet = mirrored(upstream("oci"))
    images = ["giantswarm/tiny-tools", "docker.io/redis:8", "curlimages/curl:7", "quay.io/a/b:1", "quay.io/a/b-c:1"]
    release = fleet.tenants["frontend"].releases["podinfo"].model_copy(update={"images": tuple(images)})
    (step,) = rewriting(fleet, release)["postRenderers"]
    (tmp_path / "pods.yaml").write_text(PODS)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["pods.yaml"], **step["kustomize"]}))
    made = {o["kind"]: o for o in read_all(oracle.run(parts.kustomize, "build", str(tmp_path)))}
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert [c["image"] for c in (*pod["initContainers"], *pod["containers"], *made["Pod"]["spec"]["containers"])] == [
        "hub.internal:5000/giantswarm/tiny-tools",
        "hub.internal:5000/library/redis:8.10.0@sha256:344e",
        "hub.internal:5000/curlimages/curl:9",
        "harbor.internal/quay/a/b:1",
        "harbor.internal/quay/a/b-c:1",
    ]
    assert made["ServiceAccount"]["imagePullSecrets"] == [{"name": "mirror-auth"}]


def test_every_release_of_the_catalog_has_its_images() -> None:
    """With a mirror it would be refused otherwise."""
    releases = [r for entry in config.catalog().values() for r in entry.get("releases", {}).values()]
    assert [r["chart"] for r in releases if not r.get("images")] == []
    names = [canonical(image) for r in releases for image in r["images"]]
    placeholders = {host for r in releases for host in re.findall("<([^>]+)>", json.dumps(r.get("mirrorValues", {})))}
    assert placeholders <= {name.partition("/")[0] for name in names}
