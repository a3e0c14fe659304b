"""A `docker` for the real kind, run as a program of that name: it answers what kind asks, and records each command.

A node is a folder below `$FAKE_DOCKER/nodes`, with the files that kind or our script wrote into it. What nodes would do
(kubeadm, kubectl) succeeds without effect. Two files in `$FAKE_DOCKER` hold a word each: a command with that of `fail`
among its arguments fails; one with that of `slow` says who it is (`slow.pid`) and waits to be ended.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CLUSTER = "io.x-k8s.kind.cluster"
INFO = {
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CPUShares": True,
    "SecurityOptions": ["name=cgroupns"],
}
ADMIN = """\
apiVersion: v1
kind: Config
clusters: [{name: kind, cluster: {certificate-authority-data: Y2E=, server: "https://inside:6443"}}]
contexts: [{name: kind, context: {cluster: kind, user: admin}}]
current-context: kind
users: [{name: admin, user: {client-key-data: a2V5}}]
"""
CONTENT = {
    "/kind/version": "v1.37.0",
    "/etc/kubernetes/admin.conf": ADMIN,
    "/etc/containerd/config.toml": "version = 2\n",
}
"""Of files that the node image, or kubeadm, would have made."""
ANSWERS = (
    ("-v", "", "Docker version 29.0.0, build 0"),
    ("info", "{{json .}}", json.dumps(INFO)),
    ("info", "{{.Driver}}", "overlay2"),
    ("inspect", "IPAddress", "172.18.0.2,fc00::2"),
    ("inspect", "NetworkSettings.Ports", "127.0.0.1\t40123"),
    ("logs", "", "Reached target Multi-User System."),
    ("network", "ls", "0123456789ab"),
)
"""By verb and a part of the options."""


class Docker:
    """What is there, on disk."""

    def __init__(self, root: Path) -> None:
        self.root, self.nodes = root, root / "nodes"
        self.nodes.mkdir(parents=True, exist_ok=True)

    def run(self, arguments: Sequence[str]) -> int:
        verb, *rest = arguments
        stdin = sys.stdin.read() if verb == "exec" and "-i" in rest else ""
        with (self.root / "calls").open("a") as file:
            file.write(json.dumps([arguments, stdin]) + "\n")
        if self._word("fail") in arguments:
            print("the daemon says no", file=sys.stderr)
            return 1
        if self._word("slow") in arguments:
            (self.root / "slow.pid").write_text(str(os.getpid()))
            signal.pause()
        match verb:
            case "run":
                self._make(rest)
            case "rm":
                for name in (each for each in rest if not each.startswith("-")):
                    (self.nodes / name / "labels").unlink()
            case "exec":
                return self._execute(rest, stdin)
            case _:
                if told := self._answer(verb, rest):
                    print(told)
        return 0

    def _word(self, name: str) -> str | None:
        path = self.root / name
        return path.read_text() if path.exists() else None

    def _make(self, options: Sequence[str]) -> None:
        pairs = [*itertools.pairwise(options)]
        labels = dict(value.split("=", 1) for option, value in pairs if option == "--label")
        name = next(value for option, value in pairs if option == "--name")
        (self.nodes / name).mkdir(exist_ok=True)
        (self.nodes / name / "labels").write_text(json.dumps(labels))

    def _labels(self, name: str) -> dict[str, str]:
        return dict(json.loads((self.nodes / name / "labels").read_text()))

    def _answer(self, verb: str, options: Sequence[str]) -> str:
        text = " ".join(options)
        if verb == "ps":
            return "\n".join(self._listed(options))
        if verb == "inspect" and "kind.role" in text:
            return self._labels(options[-1])["io.x-k8s.kind.role"]
        return next((answer for word, part, answer in ANSWERS if word == verb and part in text), "")

    def _listed(self, options: Sequence[str]) -> list[str]:
        """Nodes by name or cluster, of all clusters or of one; which of them are stopped says a file `stopped`."""
        chosen = re.search(rf"label={CLUSTER}=(\S+)", " ".join(options))
        names = sorted(path.parent.name for path in self.nodes.glob("*/labels"))
        if "status=exited" in options:
            names = [name for name in names if name in (self._word("stopped") or "").split()]
        found = [(name, self._labels(name)[CLUSTER]) for name in names]
        by_name = "{{.Names}}" in options
        return [name if by_name else cluster for name, cluster in found if not chosen or cluster == chosen[1]]

    def _execute(self, options: Sequence[str], stdin: str) -> int:
        """`sh` is run in earnest, on the node's folder; so are the ways in which kind reads and writes files."""
        words = [*options]
        while words[0].startswith("-"):
            words = words[2:] if words[0] == "-e" else words[1:]
        node, command = self.nodes / words[0], words[1:]
        match command:
            case ["sh"]:
                script = stdin.replace("/etc/containerd", f"{node}/etc/containerd")
                return subprocess.run(["/bin/sh"], input=script, text=True, check=False).returncode
            case ["cp", "/dev/stdin", path]:
                self._file(node, path).write_text(stdin)
            case ["cat", path]:
                there = self._file(node, path)
                print(there.read_text() if there.exists() else CONTENT.get(path, ""), end="")
            case ["kubectl", *rest] if "nodes" in rest and "get" in rest:
                print("'True'")
        return 0

    def _file(self, node: Path, path: str) -> Path:
        place = node / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def calls(root: Path) -> list[tuple[list[str], str]]:
    """What was asked of it, each with standard input."""
    path = root / "calls"
    lines: list[Any] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(arguments, stdin) for arguments, stdin in lines]


if __name__ == "__main__":
    raise SystemExit(Docker(Path(os.environ["FAKE_DOCKER"])).run(sys.argv[1:]))
