"""The folder of a sandbox: its layout, the ports it keeps, and the lock of `up` and `down`.

Called by every other module of the sandbox. Everything a sandbox writes lies below one folder (default `.sandbox`,
tests give their own), so several can run at once and removing the folder removes all traces.
Ports are picked once and remembered, because the registry's and the API server's stand in cluster objects and
kubeconfig files. Left out on purpose: what runs (`processes`) and who watches it (`supervisor`).
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.errors import Problem, ToolError

DEFAULT_FOLDER: Final = ".sandbox"
LOOPBACK: Final = "127.0.0.1"
PORT_RANGE: Final = range(20000, 30000)
"""Below the ephemeral ports of Linux and macOS: a client that retries there may take a port that a server had."""
MARKER: Final = "FLEET_SANDBOX"
"""Environment variable of every process of a sandbox, its value the home: how we know our own again."""
SHARED: Final = ("registry", "git")
"""Servers that all clusters use, and their ports."""
CLUSTER_PORTS: Final = ("api", "etcd", "etcd-peer", "sources", "page")


@dataclass(frozen=True, kw_only=True)
class ClusterHome:
    """The part of the folder that belongs to one embedded cluster."""

    name: str
    root: Path

    @property
    def credentials(self) -> Path:
        return self.root / "credentials"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; the one that a user puts into `KUBECONFIG`."""
        return self.kubeconfig_of("admin")

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def events(self) -> Path:
        """What the controllers would have told notification-controller, one JSON object a line."""
        return self.root / "events.jsonl"

    def kubeconfig_of(self, identity: str) -> Path:
        return self.credentials / f"{identity}.kubeconfig"


@dataclass(frozen=True, kw_only=True)
class Home:
    """A sandbox's folder; `root` is absolute, since processes with another working directory get paths below it."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def git(self) -> Path:
        """The bare repositories, as `<owner>/<repository>.git`."""
        return self.root / "git"

    def secret(self, key: str) -> Path:
        """What stands in for a secret of the stack's configuration."""
        return self.root / "secrets" / key

    def tmp(self, process: str) -> Path:
        """HOME and TMPDIR of one process; kustomize-controller purges folders of others in a shared one."""
        return self.root / "tmp" / process

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def cluster(self, name: str) -> ClusterHome:
        return ClusterHome(name=name, root=self.root / "clusters" / name)


def open_home(root: Path | str = DEFAULT_FOLDER) -> Home:
    """The home at `root`, made (0700) when it is not there."""
    home = Home(root=Path(root).resolve())
    make_folder(home.root)
    make_folder(home.logs)
    return home


def make_folder(path: Path) -> Path:
    """`path` as a folder that nobody else can look into; its parents below the home too."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def write_file(path: Path, content: bytes) -> None:
    """Replaces `path` (0600) in one step: a reader sees the old content or the new, never half of it."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def read_json(path: Path) -> object:
    """The content of `path`, `None` when it is missing or was not written by us."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def write_json(path: Path, content: object) -> None:
    write_file(path, json.dumps(content, indent=1).encode())


# --- ports -----------------------------------------------------------------------------------------------------------
def choose_ports(home: Home, clusters: Iterable[str]) -> Mapping[str, int]:
    """Every port by name (`registry`, `<cluster>/api`, …): remembered ones first, free ones for new names."""
    file = home.root / "ports.json"
    known = read_json(file)
    ports: dict[str, int] = dict(known) if isinstance(known, dict) else {}
    names = [*SHARED, *(f"{cluster}/{port}" for cluster in clusters for port in CLUSTER_PORTS)]
    missing = [name for name in names if name not in ports]
    if missing:
        ports.update(zip(missing, _free_ports(len(missing), taken=set(ports.values())), strict=True))
        write_json(file, ports)
    return {name: ports[name] for name in names}


def check_ports(ports: Mapping[str, int]) -> None:
    """Raises for every port that another program listens on; to be called while nothing of ours runs."""
    problems = [
        Problem(
            f"port {port} (`{name}`)",
            f"is taken by {_owner_of(port)}",
            "end that program; if it is an old sandbox, run `make down` there",
        )
        for name, port in ports.items()
        if not _is_free(port)
    ]
    if problems:
        raise ToolError(problems)


def _free_ports(count: int, *, taken: set[int]) -> list[int]:
    candidates = (port for port in random.sample(PORT_RANGE, len(PORT_RANGE)) if port not in taken)
    found = list(itertools.islice(filter(_is_free, candidates), count))
    if len(found) < count:
        span = f"{PORT_RANGE.start} to {PORT_RANGE.stop - 1}"
        raise ToolError([Problem("ports", f"fewer than {count} free ports from {span} on {LOOPBACK}")])
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _owner_of(port: int) -> str:
    """Who listens on `port`, as far as this user may see it."""
    import psutil

    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        pid = next((c.pid for c in listening if c.laddr and c.laddr.port == port and c.pid), None)
        return f"`{psutil.Process(pid).name()}` (pid {pid})" if pid else "a program of another user"
    except psutil.Error:
        return "another program"


# --- lock ------------------------------------------------------------------------------------------------------------
@contextmanager
def lock(home: Home, name: str = "up") -> Iterator[None]:
    """Holds the home for one `up` or `down`; `ToolError` names the owner's pid. A dead owner holds nothing."""
    path = home.root / f"{name}.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = file.read().strip() or "unknown"
            problem = f"another `make up` or `make down` is at work here (pid {owner})"
            raise ToolError([Problem(f"`{home.root}`", problem, "wait for it to end")]) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
