"""The server: takes a request, records it, injects faults, and checks both sides against GitHub's description.

REST lies at `/` and GraphQL at `/graphql`, as on github.com; below `/api/v3` and at `/api/graphql` it is an
Enterprise Server, which knows only older versions of the API.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.github_double import (
    graphql_api,
    rest_accounts,
    rest_apps,
    rest_git,
    rest_protection,
    rest_pulls,
    rest_repositories,
    rest_teams,
)
from tests.github_double.contract import Operation, describe
from tests.github_double.faults import Fault
from tests.github_double.git import Person
from tests.github_double.organization import Organization
from tests.github_double.repository import Refusal, Repository
from tests.github_double.routing import Handler, Request

TOKEN: Final = "ghp_" + "double" * 6
BOT: Final = Person(name="bot", email="bot@users.noreply.github.com")
ENTERPRISE: Final = "/api/v3"
ENTERPRISE_VERSIONS: Final = {None, "2022-11-28"}
FAMILIES: Final = (rest_accounts, rest_apps, rest_git, rest_protection, rest_pulls, rest_repositories, rest_teams)
HANDLERS: Final[dict[str, Handler]] = {name: each for family in FAMILIES for name, each in family.HANDLERS.items()}
PROVIDER: Final = ("go-github", "go-http-client")
"""How the GitHub provider of Pulumi names its clients. It speaks an older version of the API, and sends fields that the
operation does not know, which GitHub ignores."""


@dataclass(frozen=True, kw_only=True)
class App:
    """A GitHub App that is installed once, and the token of its installation."""

    id: str
    installation: int
    public_key: str
    token: str = "ghs_" + "installation" * 3


@dataclass(kw_only=True)
class Call:
    """A request as it came, and what was answered; status 0 if nothing was."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(kw_only=True)
class GitHubDouble:
    """All of GitHub that is there."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    """By `owner/name` in lower case."""
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    app: App | None = None
    organization: Organization = field(default_factory=Organization)
    faults: list[Fault] = field(default_factory=list)
    latency: float = 0.0
    """Seconds that each call takes longer."""
    calls: list[Call] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """Requests and answers that GitHub's description does not know; `serve` ends with them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, owner: str, name: str, *, auto_init: bool = False) -> Repository:
        repository = Repository(owner=owner, name=name, id=len(self.repositories) + 1)
        self.repositories[repository.full_name.lower()] = repository
        if auto_init:
            repository.commit({"README.md": f"# {name}\n".encode()}, message="Initial commit")
        return repository

    def repository(self, owner: str, name: str) -> Repository:
        wanted = f"{owner}/{name}".lower()
        found = self.repositories.get(self.organization.moved.get(wanted, wanted))
        if found is None:
            raise Refusal(404, "Not Found")
        return found

    # --- requests ---------------------------------------------------------------------------------------------------
    def answer(self, call: Call) -> tuple[int, bytes, Mapping[str, str]] | None:
        """Status, body and headers; None drops the connection."""
        with self._lock:
            self.calls.append(call)
            fault = next((fault for fault in self.faults if fault.hits(str(call))), Fault())
        if fault.run:
            fault.run()
        if fault.drop == "before":
            return None
        if fault.status:
            return fault.status, fault.body, fault.headers
        with self._lock:
            status, body = self._handle(call)
        return None if fault.drop else (status, body, self.organization.headers)

    def _handle(self, call: Call) -> tuple[int, bytes]:
        address = urlsplit(call.path)
        plain = address.path.removeprefix(ENTERPRISE)
        path = self.organization.documented(plain, self.repositories)
        credential = call.headers.get("authorization", "").partition(" ")[2]
        if path.startswith("/app/"):
            pass  # signed by the key of the App instead
        elif credential not in {*self.tokens, *([self.app.token] if self.app else [])}:
            return 401, _json(Refusal(401, "Bad credentials").body)
        if address.path in ("/graphql", "/api/graphql"):
            return 200, _json(graphql_api.execute(self, json.loads(call.body), self.violations))
        if plain != address.path and call.headers.get("x-github-api-version") not in ENTERPRISE_VERSIONS:
            return 400, _json(Refusal(400, "Unsupported API version").body)
        for name, handler in HANDLERS.items():
            parameters = describe(name).match(call.method, path)
            if parameters is not None:
                request = Request(
                    github=self,
                    path=parameters,
                    query=dict(parse_qsl(address.query)),
                    body=json.loads(call.body or b"{}"),
                    credential=credential,
                    actor=BOT,
                    older=call.headers.get("user-agent", "").lower().startswith(PROVIDER),
                )
                return self._run(describe(name), handler, request, call.body)
        self.violations.append(f"{call}: the double has no such operation")
        return 404, _json(Refusal(404, "Not Found").body)

    def _run(self, operation: Operation, handler: Handler, request: Request, sent: bytes) -> tuple[int, bytes]:
        if faults := operation.request_faults(sent, tolerant=request.older):
            self.violations += faults
            return 422, _json(Refusal(422, "Invalid request").body)
        try:
            status, answer = handler(request)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        body = b"" if answer is None else _json(answer)
        self.violations += operation.response_faults(status, body, tolerant=request.older)
        return status, body


@contextmanager
def serve() -> Iterator[GitHubDouble]:
    """A GitHub of its own, gone afterwards. Fails where a request or an answer was not as GitHub describes it."""
    github = GitHubDouble()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(github)) as server:
        server.daemon_threads = True
        github.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield github
        except BaseException as error:
            error.add_note("\n".join(github.violations))
            raise
        finally:
            server.shutdown()
            thread.join()
    assert not github.violations, "\n".join(github.violations)


def _handler(github: GitHubDouble) -> type[BaseHTTPRequestHandler]:
    """What the server makes of each connection."""

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_call(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            call = Call(method=self.command, path=self.path, headers=headers, body=body)
            time.sleep(github.latency)
            try:
                answer = github.answer(call)
            except Exception:  # noqa: BLE001 a defect of the double fails the test, and its client is not left waiting
                github.violations.append(f"{call}: {traceback.format_exc()}")
                answer = None
            if answer is None:
                self.close_connection = True
                return
            call.status, content, extra = answer
            self._send(call.status, content, extra)

        def _send(self, status: int, content: bytes, extra: Mapping[str, str]) -> None:
            self.send_response(status)
            fields = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(content)), **extra}
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_call  # noqa: N815 the base class looks for these

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Server


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
