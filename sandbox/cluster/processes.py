"""What a sandbox consists of: home, ports and parts in, frozen process specifications out.

Pure; called by `supervisor`, which starts what is described here and keeps it running. All flags of all parts stand
in this module. Two processes are the host's copy of a Deployment in the cluster (`Process.deployment`): they take
that Deployment's arguments, so what the chart's values or the FluxInstance ask for holds here too, followed by ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.names import FLUX_NAMESPACE, OPERATOR
from sandbox.build import Parts
from sandbox.cluster.credentials import SERVICE_NETWORK
from sandbox.cluster.home import CLUSTER_PORTS, LOOPBACK, ClusterHome, Home
from sandbox.cluster.process import IMPORTS, Process, environment, module

NODE_LEASE_SECONDS: Final = 40
"""Without a lease the node lifecycle controller gives the node up after 50 s, and pods are never Ready again."""


def describe_processes(
    home: Home, parts: Parts, ports: Mapping[str, int], clusters: Sequence[str]
) -> tuple[Process, ...]:
    """Every process of the sandbox, each after those it needs; `ports` as `home.choose_ports` names them."""
    processes = [_registry(home, parts, ports["registry"]), _git_server(home, ports["git"])]
    for name in clusters:
        own = {port: ports[f"{name}/{port}"] for port in CLUSTER_PORTS}
        processes += _Cluster(home, parts, own, home.cluster(name)).processes()
    return tuple(processes)


def _registry(home: Home, parts: Parts, port: int) -> Process:
    tmp = home.tmp("registry")
    file = home.registry / "config.json"
    content = {
        "version": "0.1",
        "log": {"level": "warn"},
        "http": {"addr": f"{LOOPBACK}:{port}"},
        "storage": {"filesystem": {"rootdirectory": str(home.registry / "data")}},
    }
    return Process(
        name="registry",
        argv=(str(parts.registry), "serve", str(file)),
        env=environment(tmp) | {"OTEL_TRACES_EXPORTER": "none"},
        log=home.log("registry"),
        tmp=tmp,
        ready="listening",
        port=port,
        files={file: json.dumps(content)},  # JSON is YAML
    )


def _git_server(home: Home, port: int) -> Process:
    """Runs in either design: that of a running sandbox may be changed, and image automation always reads Git."""
    tmp = home.tmp("git")
    return Process(
        name="git",
        argv=module("sandbox.sources.git_server", f"--root={home.git}", f"--port={port}"),
        env=environment(tmp) | IMPORTS,
        log=home.log("git"),
        tmp=tmp,
        ready="listening",
        port=port,
    )


@dataclass(frozen=True)
class _Cluster:
    """The processes of one embedded cluster; their names begin with the cluster's."""

    home: Home
    parts: Parts
    ports: Mapping[str, int]
    folder: ClusterHome

    def processes(self) -> list[Process]:
        return [
            self._etcd(),
            self._api_server(),
            self._controller_manager(),
            self._scheduler(),
            self._kwok(),
            self._source_stand_in(),
            self._operator(),
            self._kustomize_controller(),
        ]

    def _process(self, name: str, argv: Sequence[object], **settings: Any) -> Process:
        full = f"{self.folder.name}/{name}"
        tmp = self.home.tmp(full)
        env = environment(tmp) | settings.pop("env", {})
        return Process(
            name=full,
            argv=tuple(str(word) for word in argv),
            env=env,
            log=self.home.log(full),
            tmp=tmp,
            cluster=self.folder.name,
            **settings,
        )

    def _named(self, *names: str) -> tuple[str, ...]:
        return tuple(f"{self.folder.name}/{name}" for name in names)

    def _etcd(self) -> Process:
        keys = self.folder.credentials
        client = f"https://{LOOPBACK}:{self.ports['etcd']}"
        peer = f"https://{LOOPBACK}:{self.ports['etcd-peer']}"
        flags = [
            "--name=sandbox",
            f"--data-dir={self.folder.etcd}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=sandbox={peer}",
            "--log-level=warn",
            "--unsafe-no-fsync",  # survives kill -9 of all processes; only a power cut can cost the sandbox
        ]
        for prefix in ("", "peer-"):
            flags += [
                f"--{prefix}cert-file={keys / 'etcd.crt'}",
                f"--{prefix}key-file={keys / 'etcd.key'}",
                f"--{prefix}trusted-ca-file={keys / 'ca.crt'}",
                f"--{prefix}client-cert-auth",
            ]
        return self._process("etcd", [self.parts.etcd, *flags], ready="listening", port=self.ports["etcd"])

    def _api_server(self) -> Process:
        keys = self.folder.credentials
        flags = [
            f"--etcd-servers=https://{LOOPBACK}:{self.ports['etcd']}",
            f"--etcd-cafile={keys / 'ca.crt'}",
            f"--etcd-certfile={keys / 'etcd-client.crt'}",
            f"--etcd-keyfile={keys / 'etcd-client.key'}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={self.ports['api']}",
            f"--tls-cert-file={keys / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={keys / 'kube-apiserver.key'}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            f"--token-auth-file={keys / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={keys / 'service-account.key'}",
            f"--service-account-key-file={keys / 'service-account.pub'}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--endpoint-reconciler-type=none",  # an Endpoints object may not hold a loopback address
            "--allow-privileged",
            "--profiling=false",
        ]
        return self._process(
            "kube-apiserver",
            [self.parts.kube_apiserver, *flags],
            after=self._named("etcd"),
            ready="answering",
        )

    def _controller_manager(self) -> Process:
        keys = self.folder.credentials
        flags = [
            f"--kubeconfig={self.folder.kubeconfig_of('kube-controller-manager')}",
            "--secure-port=0",
            "--leader-elect=false",
            "--use-service-account-credentials",
            *_UNHURRIED,
            f"--service-account-private-key-file={keys / 'service-account.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
        ]
        return self._client("kube-controller-manager", [self.parts.kube_controller_manager, *flags])

    def _scheduler(self) -> Process:
        flags = [
            f"--kubeconfig={self.folder.kubeconfig_of('kube-scheduler')}",
            "--secure-port=0",
            "--leader-elect=false",
            *_UNHURRIED,
        ]
        return self._client("kube-scheduler", [self.parts.kube_scheduler, *flags])

    def _kwok(self) -> Process:
        """Plays the kubelet; all stages are objects, since it exits over a stage file whose kind does not exist."""
        flags = [
            f"--kubeconfig={self.folder.kubeconfig_of('kwok-controller')}",
            "--manage-all-nodes",
            "--enable-crds=Stage",
            f"--node-lease-duration-seconds={NODE_LEASE_SECONDS}",
            "--node-port=0",  # it would listen on all addresses
        ]
        return self._process("kwok", [self.parts.kwok, *flags], after=self._named("objects"))

    def _source_stand_in(self) -> Process:
        flags = [
            f"--kubeconfig={self.folder.kubeconfig_of('source-controller')}",
            f"--artifacts={self.folder.artifacts}",
            f"--events={self.folder.events}",
            f"--port={self.ports['sources']}",
        ]
        return self._process(
            "source-stand-in",
            module("sandbox.sources.stand_in", *flags),
            env=IMPORTS,
            after=self._named("kube-apiserver"),
            ready="listening",
            port=self.ports["sources"],
        )

    def _operator(self) -> Process:
        flags = [
            f"--storage-path={self.parts.flux_manifests}",
            f"--web-server-port={self.ports['page']}",
            "--requeue-dependency=1s",
            *_NO_NEIGHBOURS,
        ]
        # FIPS: it exits without. The address: each event waits 15 s for the name of a Service that resolves nowhere.
        env = {"GODEBUG": "fips140=on", "NOTIFICATION_CONTROLLER_ADDRESS": self._sink()}
        page = {"ready": "listening", "port": self.ports["page"]}
        return self._controller(OPERATOR, [self.parts.flux_operator, *flags], env, **page)

    def _kustomize_controller(self) -> Process:
        flags = [
            f"--events-addr={self._sink()}",
            "--http-retry=2",  # with nine, a source that refuses connections blocks a worker for minutes
            "--requeue-dependency=1s",
            *_NO_NEIGHBOURS,
        ]
        return self._controller("kustomize-controller", [self.parts.kustomize_controller, *flags], {})

    def _sink(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['sources']}/"

    def _client(self, name: str, argv: Sequence[object]) -> Process:
        return self._process(name, argv, after=self._named("kube-apiserver"))

    def _controller(self, name: str, argv: Sequence[object], env: Mapping[str, str], **settings: Any) -> Process:
        """The host's copy of the Deployment `name`, with the identity of the ServiceAccount of that name."""
        own = {"KUBECONFIG": str(self.folder.kubeconfig_of(name)), "RUNTIME_NAMESPACE": FLUX_NAMESPACE}
        return self._process(
            name,
            argv,
            env={**own, **env},
            after=self._named("kube-apiserver"),
            deployment=name,
            renewed_with=f"{self.folder.name}/kube-apiserver",
            **settings,
        )


_NO_NEIGHBOURS: Final = ("--enable-leader-election=false", "--metrics-addr=0", "--health-addr=0")
"""One copy each, and no ports that several sandboxes would fight for."""

_UNHURRIED: Final = ("--kube-api-qps=500", "--kube-api-burst=1000")
"""The default of 20 requests a second costs four seconds at start, in which each controller gets its token."""
