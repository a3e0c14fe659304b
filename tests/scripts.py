"""Runs the scripts of a generated repository, with stand-ins for what they would change elsewhere.

Each stand-in is a program on PATH that works on one file of state and writes down how it was called: `flux` and
`cosign` share a registry, `gh` has pull requests. What a test asserts is that state, and the calls only for order and
for what must never be said in one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HEAD: Final = f"""\
#!{sys.executable}
import hashlib, json, os, pathlib, re, sys
STATE, CALLS = (pathlib.Path(os.environ["STAND_IN"], name) for name in ("state.json", "calls.jsonl"))
state, given = json.loads(STATE.read_text()), sys.argv[1:]
name = os.path.basename(sys.argv[0])
with CALLS.open("a") as file:
    file.write(json.dumps([name, *given]) + "\\n")

def option(key):
    return given[given.index(key) + 1] if key in given else None

def end(code, *, out="", err=""):
    STATE.write_text(json.dumps(state))
    sys.stdout.write(out)
    sys.stderr.write(err)
    sys.exit(code)

for words in state.get("fails", []):
    if all(word in " ".join([name, *given]) for word in words):
        end(1, err="the stand-in was told to fail\\n")
"""

FLUX: Final = """
def read(folder):
    ignored = (option("--add-ignore-paths") or "").split(",")
    for path in sorted(pathlib.Path(folder).rglob("*")):
        below = path.relative_to(folder)
        if path.is_file() and below.parts[0] != ".git" and not any(
            below.match(i) or below.as_posix().startswith(i) for i in ignored if i
        ):
            yield below.as_posix(), path.read_text()

address = given[2].removeprefix("oci://")
tags = state["tags"]
if given[0] == "list":
    if not any(t.startswith(address + ":") for t in tags):
        end(1, err="✗ GET https://registry/v2/x/tags/list: NAME_UNKNOWN: repository name not known\\n")
    found = [t for t in tags if t.startswith(address + ":")]
    found = [t for t in found if re.search(option("--filter-regex"), t.rpartition(":")[2])]
    rows = [f"{t}\\t{tags[t]}\\tsource\\trevision\\t\\n" for t in found]
    end(0, out="".join(["ARTIFACT\\tDIGEST\\tSOURCE\\tREVISION\\t\\n", *rows]))
if given[0] == "diff":
    known = state["artifacts"].get(tags.get(address, ""))
    same = known is not None and known["files"] == dict(read(option("--path")))
    end(0 if same else 1, err="" if same else "✗ the remote artifact contents differs from the local one\\n")
if given[0] == "push":
    artifact = {"files": dict(read(option("--path"))), "source": option("--source"), "revision": option("--revision")}
    digest = "sha256:" + hashlib.sha256(json.dumps(artifact).encode()).hexdigest()
    state["artifacts"][digest] = artifact
    tags[address] = digest
    repository, _, tag = address.rpartition(":")
    answer = {"url": f"oci://{repository}@{digest}", "repository": repository, "tag": tag, "digest": digest}
    end(0, out=json.dumps(answer, indent=2) + "\\n")
if given[0] == "tag":
    if address not in tags:
        end(1, err="✗ MANIFEST_UNKNOWN\\n")
    tags[address.rpartition(":")[0] + ":" + option("--tag")] = tags[address]
    end(0)
end(2, err="what is that?")
"""

COSIGN: Final = """
digest = given[-1].partition("@")[2]
assert digest in state["artifacts"], "what is signed and verified is named by its digest"
signers = state["signers"].setdefault(digest, [])
if given[0] == "sign":
    signers.append(os.environ["GITHUB_SERVER_URL"] + "/" + os.environ["GITHUB_WORKFLOW_REF"])
    end(0)
issuer = "https://token.actions.githubusercontent.com"
trusted = option("--certificate-identity") in signers and option("--certificate-oidc-issuer") == issuer
end(0 if trusted else 1, err="" if trusted else "no matching signatures\\n")
"""

GH: Final = """
if given[0] == "api":
    owner, repository, what = given[1].split("/", 3)[1:]
    known = state["repositories"][f"{owner}/{repository}"]
    if known == "away":
        end(1, err="gh: Service Unavailable (HTTP 503)\\n")
    if what.startswith("branches/"):
        there = what.removeprefix("branches/") in known["branches"]
        end(0 if there else 1, err="" if there else "gh: Branch not found (HTTP 404)\\n")
    base, _, head = what.removeprefix("compare/").partition("...")
    ahead = [c for c in known["branches"][head] if c not in known["branches"][base]]
    end(0, out="".join(f"- {commit}\\n" for commit in ahead))
known = state["repositories"][option("--repo")]
pull = [option("--head"), option("--base")]
address = f"https://github.test/{option('--repo')}/pull/1\\n"
if given[1] == "list":
    found = known.get("pulls", [])
    if known.pop("racing", False):
        known["pulls"] = [pull]
    end(0, out=address if pull in found else "")
if pull in known.get("pulls", []):
    end(1, err="a pull request already exists\\n")
known["pulls"] = [*known.get("pulls", []), pull]
known["title"], known["body"], known["token"] = option("--title"), sys.stdin.read(), os.environ["GH_TOKEN"]
end(0, out=address)
"""

STAND_INS: Final[Mapping[str, str]] = {"flux": FLUX, "cosign": COSIGN, "gh": GH}


@dataclass(kw_only=True)
class Checkout:
    """A working copy of a generated repository, in which its scripts run."""

    folder: Path
    stand_ins: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path, files: Mapping[str, bytes]) -> Checkout:
        """Below the empty folder `root`, with all files in one commit on main."""
        made = cls(folder=root / "checkout", stand_ins=root / "bin")
        made.stand_ins.mkdir(parents=True)
        for name, body in STAND_INS.items():
            made.stand_in(name, body)
        made.state = {"tags": {}, "artifacts": {}, "signers": {}}
        for path, content in files.items():
            made.write(path, content)
        made.git("init", "--quiet", "--initial-branch=main")
        made.commit()
        return made

    def stand_in(self, name: str, body: str) -> None:
        program = self.stand_ins / name
        program.write_text(HEAD + body)
        program.chmod(0o700)

    @property
    def state(self) -> dict[str, Any]:
        """What the stand-ins work on; written as a whole."""
        return dict(json.loads((self.stand_ins / "state.json").read_text()))

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        (self.stand_ins / "state.json").write_text(json.dumps(value))

    @property
    def calls(self) -> list[list[str]]:
        """How the stand-ins were called."""
        log = self.stand_ins / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def write(self, path: str, content: bytes | str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@test.invalid", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, *, on_main: bool = True) -> str:
        """Commits everything; on main it is pushed too. The commit's name."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        if on_main:
            self.git("update-ref", "refs/remotes/origin/main", "HEAD")
        return self.git("rev-parse", "HEAD")

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The script, with these variables and nothing of the caller's but what finds programs."""
        path = os.pathsep.join([str(self.stand_ins), os.environ["PATH"]])
        given = {"PATH": path, "HOME": str(self.stand_ins), "STAND_IN": str(self.stand_ins)}
        return subprocess.run(
            ["bash", f"scripts/{script}", *arguments],
            cwd=self.folder,
            env=given | self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def github(repository: str, ref: str, workflow: str) -> dict[str, str]:
    """The variables of a job that a workflow of `owner/name` runs for a Git reference."""
    return {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": repository,
        "GITHUB_REF": ref,
        "GITHUB_REF_NAME": ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
        "GITHUB_WORKFLOW_REF": f"{repository}/.github/workflows/{workflow}@{ref}",
    }
