"""A kind cluster, made with the kind CLI: there is no Pulumi provider for it."""

from __future__ import annotations

import pulumi

from fleet.model import KindCluster
from fleet.resources.clusters.cluster import Cluster

SCRATCH = """\
set -eu
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT"""
"""kind keeps its kubeconfig here instead of in ~/.kube, on deletion too."""
CREATE = f"""{SCRATCH}
kind create cluster --name "$KIND_NAME" --kubeconfig "$scratch" ${{KIND_IMAGE:+--image "$KIND_IMAGE"}} --wait 5m >&2
cat "$scratch"
"""
DELETE = f"""{SCRATCH}
kind delete cluster --name "$KIND_NAME" --kubeconfig "$scratch"
"""


def make_kind(name: str, source: KindCluster) -> Cluster:
    """The cluster's kubeconfig is the command's standard output, kept secret and out of the log and of ~/.kube."""
    import pulumi_command as command

    cluster = command.local.Command(
        f"{name}-kind",
        create=CREATE,
        delete=DELETE,
        environment={"KIND_NAME": name, "KIND_IMAGE": source.node_image or ""},
        logging=command.local.Logging.NONE,
        opts=pulumi.ResourceOptions(provider=command.Provider(f"{name}-kind"), additional_secret_outputs=["stdout"]),
    )
    return Cluster(identity=name, kubeconfig=pulumi.Output.secret(cluster.stdout), made_by=cluster)
