"""What kind makes a cluster by: its configuration, and what each node is told once it runs. Pure data for command.py.

https://kind.sigs.k8s.io/docs/user/configuration/ describes the format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fleet.model import KindCluster

HOSTS = "/etc/containerd/certs.d"
HOSTS_PATCH = f"""\
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{HOSTS}"
"""
"""Makes containerd read that folder; kind's own guide to local registries writes it so for old and new images."""


def configuration(source: KindCluster) -> str:
    """kind's v1alpha4 configuration, as JSON, which is YAML too."""
    nodes: list[dict[str, Any]] = [
        *({"role": "control-plane"} for _ in range(source.control_planes)),
        *({"role": "worker"} for _ in range(source.workers)),
    ]
    if source.mappings:
        nodes[0]["extraPortMappings"] = [
            {
                "containerPort": mapping.node,
                "hostPort": mapping.host,
                "listenAddress": mapping.address,
                "protocol": mapping.protocol,
            }
            for mapping in source.mappings
        ]
    if source.ingress:
        nodes[0]["labels"] = {"ingress-ready": "true"}
    config: dict[str, Any] = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes}
    if source.mirrors:
        config["containerdConfigPatches"] = [HOSTS_PATCH]
    return json.dumps(config)


def node_setup(source: KindCluster) -> str:
    """A script for the nodes: containerd's folder of a registry, by the format of its `hosts.toml`."""
    return "\n".join(line for registry in source.mirrors for line in _mirrored(registry, source))


def _mirrored(registry: str, source: KindCluster) -> Iterator[str]:
    folder = f"{HOSTS}/{registry}"
    yield f"mkdir -p '{folder}'"
    hosts = []
    for mirror in source.mirrors[registry]:
        hosts.append(f'[host."{mirror}"]\n  capabilities = ["pull", "resolve"]\n')
        if source.mirror_ca:
            hosts.append(f'  ca = "{folder}/ca.crt"\n')
    if source.mirror_ca:
        yield f"cat >'{folder}/ca.crt' <<'END'\n{source.mirror_ca.rstrip()}\nEND"
    yield f"cat >'{folder}/hosts.toml' <<'END'\n{''.join(hosts)}END"
