"""A way to an API server that the tests shut and open: to its clients, the server is dead and back again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import yaml

from sandbox.cluster.home import LOOPBACK, ClusterHome


class Gate:
    """Forwards connections to a port of loopback, from a port of its own that it keeps while it is shut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def kubeconfig(self, cluster: ClusterHome, folder: Path) -> Path:
        """The administrator's, which leads through the gate; certificates are for the address, whatever the port."""
        document = yaml.safe_load(cluster.kubeconfig.read_text())
        document["clusters"][0]["cluster"]["server"] = f"https://{LOOPBACK}:{self.port}"
        copy = folder / f"{cluster.name}.kubeconfig"
        copy.touch(mode=0o600)
        copy.write_text(yaml.safe_dump(document))
        return copy

    def shut(self) -> None:
        """Cut every connection and refuse new ones, as where nothing listens any more."""
        with self._guard:
            # Closed alone, a socket in which a thread waits would go on listening.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let clients through again."""
        self.shut()
        self._listener = self._listen(self.port)

    @contextmanager
    def switch(self) -> Iterator[int]:
        """A port of loopback; whoever connects to it shuts the gate, and hears the end of the connection afterwards."""
        with socket.create_server((LOOPBACK, 0)) as listener:

            def serve() -> None:
                with suppress(OSError):
                    caller, _ = listener.accept()
                    self.shut()
                    caller.close()

            waiting = threading.Thread(target=serve, daemon=True)
            waiting.start()
            yield int(listener.getsockname()[1])
            assert not waiting.is_alive(), "nobody has shut the gate"

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((LOOPBACK, port))
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection((LOOPBACK, self._target)) as server:
            with self._guard:
                self._open |= {client, server}
            answers = threading.Thread(target=_pump, args=[server, client], daemon=True)
            answers.start()
            _pump(client, server)
            answers.join()
            with self._guard:
                self._open -= {client, server}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Until one of the two ends, and the other with it."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
