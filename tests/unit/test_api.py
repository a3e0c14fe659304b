"""What the client of the API server makes of answers that a test cluster does not give on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fleet.errors import ClusterError
from sandbox.program.api import BUSY_TRIES, Api, Refusal


class Server:
    """Answers each request with the next of `answers`, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = server.answers[min(server.asked, len(server.answers) - 1)]
                server.asked += 1
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    @property
    def kubeconfig(self) -> str:
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        clusters = [{"name": "c", "cluster": {"server": address}}]
        users = [{"name": "u", "user": {"token": "t0ken"}}]
        return json.dumps({"clusters": clusters, "users": users, "contexts": [context], "current-context": "c"})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    api = Api(server.kubeconfig)
    yield api
    api.close()


EMPTY = (200, '{"items": []}')
BUSY = (429, '{"message": "storage is (re)initializing"}')


def test_a_busy_server_is_asked_again(server: Server, api: Api) -> None:
    server.answers = [BUSY, BUSY, EMPTY]
    assert api.secrets("default", "") == []
    assert server.asked == 3


def test_a_server_that_stays_busy_is_an_error_in_its_words(server: Server, api: Api) -> None:
    server.answers = [BUSY]
    with pytest.raises(Refusal, match="storage is"):
        api.secrets("default", "")
    assert server.asked == BUSY_TRIES


def test_an_interrupted_run_does_not_ask_again(server: Server, api: Api) -> None:
    server.answers = [BUSY]
    api.stopped.set()
    with pytest.raises(Refusal):
        api.secrets("default", "")
    assert server.asked == 1


def test_an_answer_that_is_no_status_is_told_as_it_is(server: Server, api: Api) -> None:
    server.answers = [(502, "bad gateway")]
    with pytest.raises(Refusal, match="bad gateway"):
        api.secrets("default", "")


def test_no_answer_names_the_server_and_no_credentials(server: Server, api: Api) -> None:
    server.close()
    with pytest.raises(ClusterError) as raised:
        api.secrets("default", "")
    assert raised.value.problems[0].path == api.address
    assert "t0ken" not in str(raised.value)


def test_a_proxy_of_the_environment_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.answers = [EMPTY]
    api = Api(server.kubeconfig)
    assert api.secrets("default", "") == []
    api.close()
