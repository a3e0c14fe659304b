"""The operator's own offline builder, kustomize and kubeconform, for tests that are marked `sandbox`."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fleet.manifests.dump import dump
from sandbox.build import Parts
from sandbox.sources import registry
from tests.rendering import read_all


def run(program: Path, *arguments: str, given: bytes = b"") -> str:
    """What the program prints; fails with what it complains about."""
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)
    assert done.returncode == 0, f"{program.name} {' '.join(arguments)}: {(done.stderr + done.stdout).decode()}"
    return done.stdout.decode()


def build_resource_set(parts: Parts, manifest: Mapping[str, Any]) -> str:
    """The objects that the operator makes of a ResourceSet, as YAML."""
    return run(parts.flux_operator_cli, "build", "resourceset", "-f", "-", given=dump(manifest))


def build_instance(parts: Parts, manifest: Mapping[str, Any], artifact: str) -> list[Any]:
    """The objects that the operator makes of a FluxInstance with the manifests in `artifact`."""
    flags = ("-f", "-", "--distribution-artifact", artifact)
    return read_all(run(parts.flux_operator_cli, "build", "instance", *flags, given=dump(manifest)))


@contextmanager
def serve_artifact(folder: Path) -> Iterator[str]:
    """The address of an OCI artifact with the files of `folder`, in a registry that only knows how to be read."""
    artifact = registry.make_artifact(registry.read_folder(folder), source="", revision="", created="")
    answers = {f"/v2/manifests/blobs/{digest}": content for digest, content in artifact.blobs.items()}
    answers |= {"/v2/": b"", "/v2/manifests/manifests/test": artifact.manifest}
    answers |= {f"/v2/manifests/manifests/{artifact.digest}": artifact.manifest}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = answers.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", registry.MANIFEST_TYPE)
            self.send_header("Docker-Content-Digest", artifact.digest)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET  # noqa: N815 the base class names it

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class names it
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"oci://127.0.0.1:{server.server_address[1]}/manifests:test"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
