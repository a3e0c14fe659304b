"""Clusters of kind: what is declared for them, by which configuration they are made, and what is looked at first."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

import pytest
from pulumi import RunError

from fleet.errors import Problem
from fleet.model import KindCluster
from fleet.model.clusters.node_images import NEWEST, NODE_IMAGES
from fleet.resources.clusters.kind.command import authority
from fleet.resources.clusters.kind.config import configuration, node_setup
from fleet.resources.clusters.kind.host import HostError
from sandbox.program.registration import UNKNOWN, Registration, Secret, reveal
from tests.checkout import KIND, Checkout, Run, identity, kubeconfig
from tests.reader import Reader
from tests.recording import RecordingMonitor

HELD: Final = ("Command::staging-kind",)
CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def source(**keys: Any) -> KindCluster:
    return KindCluster.model_validate({"kind": "kind"} | keys)


def run(checkout: Checkout, *, held: tuple[str, ...] = (), preview: bool = False, **keys: Any) -> Run:
    """The staging stack, with keys of its only cluster."""
    printed = {} if preview and not held else {KIND: {"stdout": checkout.kubeconfig("staging")}}
    monitor = RecordingMonitor(outputs=printed, held=held)
    return checkout.run("staging", preview=preview, monitor=monitor, clusters={"staging": {"kind": "kind", **keys}})


def command(found: Run, name: str = "staging") -> Registration:
    return found.resources[f"{KIND}::{name}-kind"]


# --- node images -----------------------------------------------------------------------------------------------------
def test_every_node_image_is_pinned_and_of_its_version() -> None:
    for minor, image in NODE_IMAGES.items():
        assert re.fullmatch(rf"kindest/node:v{re.escape(minor)}\.[0-9]+@sha256:[0-9a-f]{{64}}", image)
    assert len({image.partition("@")[2] for image in NODE_IMAGES.values()}) == len(NODE_IMAGES)
    assert max(NODE_IMAGES, key=lambda minor: int(minor.partition(".")[2])) == NEWEST


@pytest.mark.parametrize(
    ("keys", "image"),
    [
        ({}, NODE_IMAGES["1.37"]),
        ({"kubernetes": "1.35"}, NODE_IMAGES["1.35"]),
        ({"nodeImage": f"own@sha256:{'0' * 64}"}, f"own@sha256:{'0' * 64}"),
    ],
)
def test_the_version_chooses_the_image(keys: dict[str, str], image: str) -> None:
    assert source(**keys).image == image


@pytest.mark.parametrize(("keys", "longest"), [({}, 49), ({"workers": 2}, 49), ({"controlPlanes": 2}, 40)])
def test_names_of_nodes_are_names_of_hosts(keys: dict[str, Any], longest: int) -> None:
    assert source(**keys).misnamed("x" * longest) is None
    assert f"longer than {longest} characters" in (source(**keys).misnamed("x" * (longest + 1)) or "")


# --- configuration ---------------------------------------------------------------------------------------------------
def test_the_smallest_cluster_is_one_node() -> None:
    assert json.loads(configuration(source())) == {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane"}],
    }
    assert node_setup(source()) == ""


def test_nodes_and_ports() -> None:
    """Ports lead to the first node: a host port can be taken once."""
    ports = [{"host": 5432, "node": 30432, "protocol": "UDP", "address": "0.0.0.0"}, {"host": 1, "node": 2}]  # noqa: S104
    nodes = json.loads(configuration(source(controlPlanes=2, workers=1, ports=ports)))["nodes"]
    assert [node["role"] for node in nodes] == ["control-plane", "control-plane", "worker"]
    assert nodes[0]["extraPortMappings"] == [
        {"hostPort": 5432, "containerPort": 30432, "protocol": "UDP", "listenAddress": "0.0.0.0"},  # noqa: S104
        {"hostPort": 1, "containerPort": 2, "protocol": "TCP", "listenAddress": "127.0.0.1"},
    ]
    assert [node.keys() for node in nodes[1:]] == [{"role"}, {"role"}]


@pytest.mark.parametrize(
    ("ingress", "ports"),
    [(True, [(80, 30080), (443, 30443)]), ({"https": 8443}, [(80, 30080), (8443, 30443)]), (False, []), (None, [])],
)
def test_ingress(ingress: Any, ports: list[tuple[int, int]]) -> None:
    node = json.loads(configuration(source(ingress=ingress)))["nodes"][0]
    found = [(each["hostPort"], each["containerPort"]) for each in node.get("extraPortMappings", [])]
    assert found == ports
    assert node.get("labels") == ({"ingress-ready": "true"} if ports else None)


def test_mirrors_are_read_from_a_folder_that_each_node_gets() -> None:
    """What the script of the nodes writes is shown with the real kind."""
    mirrored = source(mirrors={"docker.io": ["https://a", "http://b"]}, mirrorCa=CERTIFICATE)
    (patch,) = json.loads(configuration(mirrored))["containerdConfigPatches"]
    registry = {"registry": {"config_path": "/etc/containerd/certs.d"}}
    assert tomllib.loads(patch) == {"plugins": {"io.containerd.grpc.v1.cri": registry}}
    assert "containerdConfigPatches" not in configuration(source())


def test_nodes_trust_the_mirror_of_the_fleet(checkout: Checkout, reader: Reader) -> None:
    """Unless the stack says itself where they pull from."""
    checkout.change_fleet(flux={"version": "2.9.4"}, mirror={"registry": "harbor.test/mirror", "ca": CERTIFICATE})
    trusting = source(mirrors={"harbor.test": ["https://harbor.test"]}, mirrorCa=CERTIFICATE)
    told = command(run(checkout)).inputs["environment"]
    assert (told["KIND_CONFIG"], told["KIND_NODE_SETUP"]) == (configuration(trusting), node_setup(trusting))
    own = {"docker.io": ["https://near.test"]}
    told = command(run(checkout, mirrors=own)).inputs["environment"]
    assert told["KIND_NODE_SETUP"] == node_setup(source(mirrors=own))


# --- the resource ----------------------------------------------------------------------------------------------------
def test_a_cluster_is_one_command(checkout: Checkout, reader: Reader) -> None:
    """What is not set is not passed on: a variable that comes up would make the cluster anew."""
    found = command(run(checkout))
    script = "exec sh fleet/resources/clusters/kind/kind.sh"
    assert found.inputs == {
        "create": f"{script} create",
        "update": f"{script} show",
        "delete": f"{script} delete",
        "environment": {
            "KIND_NAME": "staging",
            "KIND_CONFIG": configuration(source()),
            "KIND_IMAGE": NODE_IMAGES[NEWEST],
        },
        "triggers": [],
        "addPreviousOutputInEnv": False,
        "logging": "none",
    }
    assert found.delete_before_replace
    assert found.replace_on_changes == ("environment", "triggers[*]")
    assert found.additional_secret_outputs == ("stdout", "stderr")
    assert not found.protect


def test_everything_that_can_be_said_reaches_it(checkout: Checkout, reader: Reader) -> None:
    keys: dict[str, Any] = {
        "kubernetes": "1.35",
        "workers": 2,
        "mirrors": {"docker.io": ["https://m"]},
        "takeOver": True,
    }
    environment = command(run(checkout, **keys)).inputs["environment"]
    assert environment == {
        "KIND_NAME": "staging",
        "KIND_CONFIG": configuration(source(**keys)),
        "KIND_IMAGE": NODE_IMAGES["1.35"],
        "KIND_NODE_SETUP": node_setup(source(**keys)),
        "KIND_TAKE_OVER": "true",
    }


@pytest.mark.parametrize(
    ("keys", "left"),
    [({}, {"environment.KIND_IMAGE"}), ({"kubernetes": "1.35"}, set()), ({"nodeImage": f"a@sha256:{'0' * 64}"}, set())],
)
def test_a_newer_default_is_no_reason_to_make_a_cluster_anew(
    checkout: Checkout, reader: Reader, keys: dict[str, Any], left: set[str]
) -> None:
    """Nor is the permission to take one over, nor that it was made anew once."""
    found = command(run(checkout, **keys))
    assert set(found.ignore_changes) == {"triggers", "environment.KIND_TAKE_OVER"} | left


def test_a_cluster_is_protected_where_the_stack_says_so(checkout: Checkout, reader: Reader) -> None:
    assert command(run(checkout, protect=True)).protect


def test_everything_on_it_dies_with_it(checkout: Checkout, reader: Reader) -> None:
    found = run(checkout)
    assert found.resources["fleet:index:FluxCluster::staging"].deleted_with == command(found).urn


def test_it_is_read_with_the_kubeconfig_that_it_printed(checkout: Checkout, reader: Reader) -> None:
    found = run(checkout)
    assert reader.asked == [checkout.kubeconfig("staging")]
    provider = found.resources["pulumi:providers:kubernetes::staging"].inputs
    assert reveal(provider["kubeconfig"]) == checkout.kubeconfig("staging")
    assert isinstance(provider["kubeconfig"], Secret)


def test_its_identity_is_its_authority(checkout: Checkout, reader: Reader) -> None:
    """No secret, and another port changes nothing."""
    provider = run(checkout).resources["pulumi:providers:kubernetes::staging"].inputs
    assert provider["clusterIdentifier"] == identity("staging")
    assert authority(kubeconfig("staging", "https://127.0.0.1:1")) == authority(kubeconfig("staging", "https://b:2"))
    assert authority(kubeconfig("staging")) != authority(kubeconfig("update"))


@pytest.mark.parametrize("text", ["", "{", "a: 1", "clusters: []", "clusters: [{cluster: {}}]", "clusters: [1]"])
def test_a_broken_kubeconfig_has_no_identity(text: str) -> None:
    assert authority(text) == ""


def test_the_plan_of_a_new_cluster_knows_neither(checkout: Checkout, reader: Reader) -> None:
    provider = run(checkout, preview=True).resources["pulumi:providers:kubernetes::staging"].inputs
    assert provider["kubeconfig"] == Secret(UNKNOWN)
    assert provider["clusterIdentifier"] == UNKNOWN
    assert reader.asked == []


@pytest.mark.parametrize(
    ("keys", "variables"),
    [
        ({}, {"INGRESS_SERVICE_TYPE": "NodePort"}),
        (
            {"ingress": True},
            {
                "INGRESS_SERVICE_TYPE": "NodePort",
                "INGRESS_HTTP_NODE_PORT": "30080",
                "INGRESS_HTTPS_NODE_PORT": "30443",
            },
        ),
    ],
)
def test_what_its_manifests_need_comes_with_it(
    checkout: Checkout, reader: Reader, keys: dict[str, Any], variables: dict[str, str]
) -> None:
    data = run(checkout, **keys).of("staging", "runtime").inputs["data"]
    assert {key: value for key, value in data.items() if key.startswith("INGRESS")} == variables


def test_the_stack_has_the_last_word_on_variables(checkout: Checkout, reader: Reader) -> None:
    found = checkout.run("staging", runtimeInfo={"INGRESS_SERVICE_TYPE": "LoadBalancer"})
    assert found.of("staging", "runtime").inputs["data"]["INGRESS_SERVICE_TYPE"] == "LoadBalancer"


def test_two_in_one_stack(checkout: Checkout, reader: Reader) -> None:
    """Each with its own command, kubeconfig and identity."""
    clusters = {"prod-eu": {"kind": "kind"}, "prod-us": {"kind": "kind", "kubernetes": "1.36"}}
    texts = {name: kubeconfig(kept) for name, kept in zip(clusters, ("staging", "update"), strict=True)}
    monitor = RecordingMonitor(outputs={f"{name}-kind": {"stdout": text} for name, text in texts.items()})
    found = checkout.run("production", monitor=monitor, clusters=clusters, without=["prodEuKubeconfig"])
    assert {asked.name for asked in monitor.of_type(KIND)} == {"prod-eu-kind", "prod-us-kind"}
    for name, kept in zip(clusters, ("staging", "update"), strict=True):
        provider = found.resources[f"pulumi:providers:kubernetes::{name}"].inputs
        assert (reveal(provider["kubeconfig"]), provider["clusterIdentifier"]) == (texts[name], identity(kept))
        assert command(found, name).inputs["environment"]["KIND_NAME"] == name
    assert command(found, "prod-us").inputs["environment"]["KIND_IMAGE"] == NODE_IMAGES["1.36"]
    assert checkout.kinds.asked == [{}]


# --- looked at first -------------------------------------------------------------------------------------------------
TAKEN: Final = """\
kind cannot make the clusters here, nothing was changed (1 problem)
  clusters.staging: there is a kind cluster `staging` already, which this stack has not made
      hint: a leftover of a run that was cut off goes with `kind delete cluster --name staging`; `takeOver: true` \
makes any other one this stack's, which may then delete it"""


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_the_cluster_of_somebody_else_is_left_alone(checkout: Checkout, reader: Reader, preview: bool) -> None:
    checkout.kinds.here = {"staging"}
    with pytest.raises(HostError) as raised:
        run(checkout, preview=preview)
    assert isinstance(raised.value.__cause__, RunError)
    assert str(raised.value) == TAKEN


def test_it_is_taken_over_if_asked(checkout: Checkout, reader: Reader) -> None:
    checkout.kinds.here = {"staging"}
    assert command(run(checkout, takeOver=True)).inputs["environment"]["KIND_TAKE_OVER"] == "true"


def test_what_the_state_holds_is_ours(checkout: Checkout, reader: Reader) -> None:
    checkout.kinds.here = {"staging"}
    assert command(run(checkout, held=HELD)).inputs["triggers"] == []
    assert checkout.kinds.asked == [{"staging": "staging"}]


def test_a_cluster_that_is_gone_is_made_anew(checkout: Checkout, reader: Reader) -> None:
    """By a value that no run before has had, and that a later one ignores."""
    first, second = command(run(checkout, held=HELD)), command(run(checkout, held=HELD))
    assert len({*first.inputs["triggers"], *second.inputs["triggers"]}) == 2
    assert "triggers" not in first.ignore_changes


def test_a_renamed_cluster_is_known_by_the_name_it_was_made_by(checkout: Checkout, reader: Reader) -> None:
    checkout.kinds.here = {"old"}
    found = run(checkout, held=("Command::old-kind",), renamedFrom="old")
    assert command(found, "old").inputs["environment"]["KIND_NAME"] == "old"
    assert command(found, "old").inputs["triggers"] == []
    assert checkout.kinds.asked == [{"staging": "old"}]


FAULT: Final = HostError([Problem("kind", "not found", "get it")])


def test_a_machine_without_kind_or_docker_stops_up(checkout: Checkout, reader: Reader) -> None:
    monitor = RecordingMonitor()
    checkout.kinds.fault = FAULT
    with pytest.raises(HostError, match="kind: not found"):
        checkout.run("staging", monitor=monitor)
    assert monitor.registrations == []


@pytest.mark.parametrize("held", [(), HELD], ids=["new", "held"])
def test_it_is_a_warning_in_a_preview(
    checkout: Checkout, reader: Reader, held: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The plan is made; nothing is taken for gone because nobody could be asked."""
    checkout.kinds.fault = FAULT
    found = run(checkout, held=held, preview=True)
    assert command(found).inputs["triggers"] == []
    assert "kind: not found" in caplog.text


def test_stopped_nodes_are_told(checkout: Checkout, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    checkout.kinds.here = {"staging"}
    checkout.kinds.stopped = [Problem("clusters.staging", "stopped: `node`", "start it")]
    run(checkout, held=HELD)
    assert "clusters.staging: stopped: `node`" in caplog.text


def test_a_stack_without_kind_asks_for_nothing(checkout: Checkout, reader: Reader) -> None:
    checkout.run("production")
    assert checkout.kinds.asked == []
