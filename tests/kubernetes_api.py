"""A server on loopback that answers the program's questions as a Kubernetes API server does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

DEPLOYMENT: Final = "/apis/apps/v1/namespaces/flux-system/deployments/flux-operator"
INSTANCE: Final = "/apis/fluxcd.controlplane.io/v1/namespaces/flux-system/fluxinstances/flux"
SETS: Final = "/apis/fluxcd.controlplane.io/v1/namespaces/flux-system/resourcesets"
SYSTEM: Final = "/api/v1/namespaces/kube-system"
INFO: Final = "/api/v1/namespaces/flux-system/configmaps/flux-runtime-info"
PATHS: Final = [SYSTEM, INFO, INSTANCE, DEPLOYMENT, SETS]
FLUX: Final = "/api/v1/namespaces/flux-system"
"""What is asked at the end of a run."""
GIVE_UP: Final = 60.0
"""Seconds until a silent server hangs up, so that a client without a timeout fails a test instead of hanging it."""


def labelled(name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An object as the server gives it: without labels the key is not there at all, and a Deployment has a spec."""
    metadata = {"name": name, "namespace": "flux-system"} | ({"labels": labels} if labels else {})
    return {"metadata": metadata, "spec": {"selector": {}, "template": {}}}


class KubernetesApi:
    """What it answers, and what it was asked. A fresh cluster: the operator's kinds are not served."""

    def __init__(self) -> None:
        self.objects: dict[str, Mapping[str, Any]] = {}
        """Answer by path; without one, not found."""
        self.refusal: int | None = None
        """Status that every request is refused with."""
        self.busy = 0
        """Requests that are first answered with 429."""
        self.silent = False
        """Take every request and never answer."""
        self.requests: list[tuple[str, str | None]] = []
        """Path and Authorization header."""
        self.connections: set[int] = set()
        """Port of each connection's other end."""
        self.url = ""
        self.released = threading.Event()

    def answer(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body; unknown kinds are answered outside of the API machinery, in plain text."""
        if self.busy:
            self.busy -= 1
            return 429, "application/json", _status(429, "storage is (re)initializing")
        if self.refusal:
            return self.refusal, "application/json", _status(self.refusal, "the tests refuse this")
        if found := self.objects.get(path):
            return 200, "application/json", json.dumps(found)
        if path in (DEPLOYMENT, SYSTEM, INFO, FLUX):
            return 404, "application/json", _status(404, f"{path} not found")
        return 404, "text/plain; charset=utf-8", "404 page not found\n"


def _status(code: int, message: str) -> str:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})


@contextmanager
def serve() -> Iterator[KubernetesApi]:
    """A server of its own, gone afterwards."""
    api = KubernetesApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes; the second would wait 40 ms

        def do_GET(self) -> None:
            api.connections.add(self.client_address[1])
            api.requests.append((self.path, self.headers.get("Authorization")))
            if api.silent:
                api.released.wait(GIVE_UP)
                self.close_connection = True
                return
            code, kind, body = api.answer(self.path)
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            api.released.set()
            server.shutdown()
            thread.join()
