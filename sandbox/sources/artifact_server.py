"""Stores packed trees and serves them over HTTP on loopback; takes events on the same port.

Used by `stand_in` alone. Left out on purpose: listing, and any other method or path.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from sandbox.cluster.home import LOOPBACK, write_file

KEEP: Final = 2
"""Files a source: the newest, and the one that somebody may be downloading."""
EVENT_LIMIT: Final = 1 << 20


class ArtifactStore:
    """A folder of `<kind>/<namespace>/<name>/<sha256>.tar.gz`; what is there stays valid over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, path: str) -> bool:
        return (self.folder / path).is_file()

    def put(self, path: str, packed: bytes) -> None:
        """Stores a file and drops all but the newest of its source."""
        file = self.folder / path
        write_file(file, packed)
        for old in sorted(file.parent.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True)[KEEP:]:
            old.unlink()

    def get(self, path: str) -> bytes | None:
        """The content of one of our own paths; `None` for everything else, `..` included."""
        file = (self.folder / path).resolve()
        return file.read_bytes() if file.is_relative_to(self.folder.resolve()) and file.is_file() else None


class EventLog:
    """What notification-controller would be told: an event a line, in the order of arrival."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def keep(self, event: bytes) -> None:
        """Raises ValueError for what is not JSON."""
        line = json.dumps(json.loads(event)).encode() + b"\n"
        with self._lock, os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            log.write(line)


def serve(store: ArtifactStore, events: EventLog, port: int) -> ThreadingHTTPServer:
    """Serves from threads of its own until the process ends."""
    server = ThreadingHTTPServer((LOOPBACK, port), _make_handler(store, events.keep))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _make_handler(store: ArtifactStore, keep_event: Callable[[bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes; the second would wait 40 ms

        def do_GET(self) -> None:
            content = store.get(self.path.lstrip("/"))
            self._answer(404 if content is None else 200, content or b"")

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            try:
                keep_event(self.rfile.read(min(size, EVENT_LIMIT)))
            except ValueError:
                self._answer(400)
            else:
                self._answer(202)

        def _answer(self, code: int, content: bytes = b"") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: a request that is answered is not news."""

    return Handler
