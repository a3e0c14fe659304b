"""A Git server in place of GitHub: the repositories below one folder, over smart HTTP on loopback, to be read only.

`python -m sandbox.sources.git_server`, run by the supervisor. It is a process of its own, beside the registry, because
it is one for all clusters, where each has its own stand-in for source-controller, and because `git clone` of a
generated repository works as long as it runs.
Left out on purpose: pushing (`git` writes the folder) and credentials, which it neither asks for nor looks at.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

from dulwich.errors import NotGitRepository
from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain

from sandbox.cluster.home import LOOPBACK


def main() -> None:
    parser = argparse.ArgumentParser(prog="git_server", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of <owner>/<repository>.git")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    make_server(options.root, options.port).serve_forever()


def make_server(root: Path, port: int) -> WSGIServer:
    """A server that listens already; a thread for each request, so that none waits for a client that is silent."""
    server = _Server((LOOPBACK, port), _QuietHandler)
    server.set_app(_Application(root))
    return server


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: a request that is answered is not news."""


class _Application:
    """One request at a time and thread: each opens the repository anew, and closes it."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        if not environ["PATH_INFO"].endswith(_SMART):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return
        with ExitStack() as opened:
            backend = _Repositories(self._root, opened)
            yield from make_wsgi_chain(backend, handlers=_READ_ONLY)(environ, start_response)


_SMART: Final = ("/info/refs", "/git-upload-pack", "/git-receive-pack")
"""Paths of the smart protocol; the library also speaks the older one, in which clients read single files."""
_READ_ONLY: Final[dict[bytes, Any]] = {b"git-receive-pack": None}
"""Without a handler, the answer to a push is 403."""


class _Repositories(Backend):
    """Finds a repository by the path of its address; GitHub takes it with and without `.git`."""

    def __init__(self, root: Path, opened: ExitStack) -> None:
        self._root = root
        self._opened = opened

    def open_repository(self, path: str | bytes) -> Repo:
        name = os.fsdecode(path).strip("/").removesuffix(".git")
        folder = (self._root / f"{name}.git").resolve()
        if not (folder.is_relative_to(self._root) and folder.is_dir()):
            raise NotGitRepository("repository not found")
        return self._opened.enter_context(Repo(str(folder)))


if __name__ == "__main__":
    main()
