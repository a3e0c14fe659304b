"""The resource that makes a kind cluster, shows its kubeconfig and removes it."""

from __future__ import annotations

import base64
import hashlib
import uuid

import pulumi

from fleet.model import KindCluster
from fleet.model.clusters.kind import HTTP_NODE_PORT, HTTPS_NODE_PORT
from fleet.resources.clusters.cluster import Cluster
from fleet.resources.clusters.kind.config import configuration, node_setup

SCRIPT = "exec sh fleet/resources/clusters/kind/kind.sh"
"""From the project's folder, where the engine starts its plug-ins: the text stays the same when the script, or the
place of the checkout, changes, so neither touches a cluster. `exec`: what the engine kills is the script."""


def make_kind(name: str, source: KindCluster, *, image: str, gone: bool = False, protect: bool = False) -> Cluster:
    """The cluster's kubeconfig is the command's standard output, kept secret and out of the log and of ~/.kube.

    The provider would run a changed command again; only making the cluster anew brings what has changed. `gone`: the
    state has the cluster, but this machine does not, so it is made anew. `image`: where the nodes' image comes from.
    """
    import pulumi_command as command

    left = ["environment.KIND_TAKE_OVER"]
    if source.is_version_open:
        left.append("environment.KIND_IMAGE")
    if not gone:
        left.append("triggers")
    cluster = command.local.Command(
        resource_name(name),
        create=f"{SCRIPT} create",
        update=f"{SCRIPT} show",
        delete=f"{SCRIPT} delete",
        environment=_environment(name, source, image),
        triggers=[str(uuid.uuid4())] if gone else [],
        add_previous_output_in_env=False,
        logging=command.local.Logging.NONE,
        opts=pulumi.ResourceOptions(
            provider=command.Provider(resource_name(name)),
            additional_secret_outputs=["stdout", "stderr"],
            ignore_changes=left,
            replace_on_changes=["environment"],
            delete_before_replace=True,
            protect=protect,
        ),
    )
    kubeconfig: pulumi.Output[str] = pulumi.Output.secret(cluster.stdout)
    return Cluster(
        identity=pulumi.Output.unsecret(kubeconfig.apply(authority)),
        kubeconfig=kubeconfig,
        made_by=cluster,
        variables=_variables(source),
    )


def resource_name(name: str) -> str:
    """In the state."""
    return f"{name}-kind"


def authority(kubeconfig: str) -> str:
    """The fingerprint of the cluster's own certificate authority: a cluster that is made anew has a new one, while the
    port of its API server may change. Empty where there is none; the cluster's reader tells what is wrong then."""
    import yaml

    try:
        data = yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["certificate-authority-data"]
        return hashlib.sha256(base64.b64decode(data)).hexdigest()
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        return ""


def _environment(name: str, source: KindCluster, image: str) -> dict[str, str]:
    """Without what is not set: a variable that comes up makes the cluster anew."""
    found = {
        "KIND_NAME": name,
        "KIND_CONFIG": configuration(source),
        "KIND_IMAGE": image,
        "KIND_NODE_SETUP": node_setup(source),
        "KIND_TAKE_OVER": "true" if source.take_over else "",
    }
    return {key: value for key, value in found.items() if value}


def _variables(source: KindCluster) -> dict[str, str]:
    """kind has no load balancer: the fleet's ingress controller listens on node ports."""
    service = {"INGRESS_SERVICE_TYPE": "NodePort"}
    if source.ingress is None:
        return service
    ports = {"INGRESS_HTTP_NODE_PORT": HTTP_NODE_PORT, "INGRESS_HTTPS_NODE_PORT": HTTPS_NODE_PORT}
    return service | {key: str(port) for key, port in ports.items()}
