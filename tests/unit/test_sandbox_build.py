"""The build of the sandbox's parts: what it pins, what it keeps, what it tells. Go and npm are small scripts here.

The scripts answer what `sandbox.build` asks and write down what they made. Left out on purpose: whether the parts
compile and the chart renders; the sandbox tests run what was really built.
"""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import re
import shutil
import stat
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import ToolError
from sandbox import build, toolchain
from sandbox.parts import files, recipe
from sandbox.progress import Progress, Step, show_progress

FAKE_GO = """
import json, os, sys
arguments = sys.argv[1:]
modules = os.environ["FAKE_MODULES"]
match arguments:
    case ["env", *_]:
        print(json.dumps({"GOVERSION": os.environ.get("FAKE_VERSION", "go1.26.8"),
                          "GOCACHE": modules, "GOMODCACHE": modules}))
    case ["list", "-m", *_]:
        print(f"{modules}/operator\\n{modules}/kwok")
    case ["list", "-f", _]:
        sys.exit("no Go files")
    case ["list", "-f", _, *packages]:
        print("go: downloading example.org/shared v1.0.0", file=sys.stderr)
        for package in packages:
            print(package, "fmt", "example.org/shared")
    case ["mod", "edit", line]:
        open("go.mod", "a").write(line)
    case ["build", *_, out, package]:
        print(package, file=sys.stderr)
        if package.endswith(os.environ.get("FAKE_FAULT", "nothing")):
            sys.exit(f"{package}: no space left on device")
        page = open("operator/web/dist/index.html").read()
        open(out, "w").write(page)
        open(f"{modules}/built", "a").write(package + "\\n")
"""
FAKE_NPM = """
import os, pathlib, sys
if os.environ.get("FAKE_FAULT") == "npm":
    sys.exit("npm error ENOTFOUND")
if "run" in sys.argv:
    page = pathlib.Path(sys.argv[-1])
    page.mkdir()
    (page / "index.html").write_text("the real page")
"""
CRD = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {}\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine with nothing on `PATH` but what the test installs."""

    root: Path

    def install(self, name: str, code: str) -> None:
        program = self.root / "path" / name
        program.write_text(f"#!{sys.executable} -IS\n{code}")
        program.chmod(0o755)

    def build(self, progress: Progress = lambda _: None) -> build.Parts:
        return build.build(self.root / "cache", progress=progress)

    def built(self) -> list[str]:
        """The packages that were compiled, in order, over all builds."""
        record = self.root / "modules/built"
        return record.read_text().splitlines() if record.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(root=tmp_path)
    for folder in ("path", "cache"):
        (tmp_path / folder).mkdir()
    write_modules(tmp_path / "modules")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("FAKE_MODULES", str(tmp_path / "modules"))
    machine.install("go", FAKE_GO)
    return machine


def write_modules(root: Path) -> None:
    """The files of the two modules that are copied, read-only as in Go's module cache."""
    write = {
        "operator/config/data/flux/v2.9.4/old.yaml": CRD.format("old.example.org"),
        "operator/config/data/flux/v2.10.0/all.yaml": (
            f"{CRD.format('one.example.org')}---\nkind: Service\nmetadata:\n  name: no-crd\n---\n"
            f"{CRD.format('two.example.org')}"
        ),
        "operator/config/crd/bases/instances.yaml": CRD.format("instances.example.org"),
        "operator/config/crd/kustomization.yaml": "resources: []\n",
        "operator/config/manager/kustomization.yaml": "resources: []\n",
        "operator/config/manager/deployment.yaml": "kind: Deployment\n",
        "operator/config/default/namespace.yaml": "kind: Namespace\n",
        "operator/config/default/rbac.yaml": "kind: ClusterRoleBinding\n",
        "operator/internal/web/server.go": 'Addr: fmt.Sprintf(":%d", port),',
        "operator/web/package.json": "{}",
        "kwok/kustomize/crd/bases/stages.yaml": CRD.format("stages.example.org"),
        **{f"kwok/kustomize/stage/{stage}/{Path(stage).name}.yaml": "kind: Stage\n" for stage in files.STAGES},
    }
    for name, text in write.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o444)


# --- what is pinned ---------------------------------------------------------------------------------------------------
def test_every_tool_of_the_module_is_built_and_nothing_else() -> None:
    go_mod = (recipe.folder() / "go.mod").read_text()
    block = re.search(r"^tool \((.*?)^\)", go_mod, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert {*block[1].split(), "sandbox/parts/registry"} == {binary.package for binary in recipe.binaries()}


def test_every_part_has_a_field_and_every_field_a_part() -> None:
    names = {*(binary.name for binary in recipe.binaries()), *files.FOLDERS}
    assert {name.replace("-", "_") for name in names} | {"web"} == {
        field.name for field in dataclasses.fields(build.Parts)
    }


def test_the_checksums_cover_the_pinned_modules() -> None:
    sums = (recipe.folder() / "go.sum").read_text()
    for module in (
        recipe.KUBERNETES,
        recipe.OPERATOR,
        recipe.KWOK,
        recipe.HELM,
        recipe.REGISTRY,
        recipe.KUBECONFORM,
    ):
        assert f"{module} {recipe.module_version(module)} h1:" in sums


def test_the_api_server_is_told_the_version_of_its_module() -> None:
    api_server = recipe.binaries()[0]
    assert api_server.name == "kube-apiserver"
    version = recipe.module_version(recipe.KUBERNETES)
    assert f"-X k8s.io/component-base/version.gitVersion={version}" in api_server.linker_flags
    major, minor = version.removeprefix("v").split(".")[:2]
    assert api_server.variables["k8s.io/component-base/version.gitMajor"] == major
    assert api_server.variables["k8s.io/component-base/version.gitMinor"] == minor


def test_the_key_changes_with_content_names_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "parts"
    shutil.copytree(recipe.folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    committed = recipe.cache_key()
    monkeypatch.setattr(recipe, "folder", lambda: folder)
    assert recipe.cache_key() == committed
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/recipe.pyc").write_text("compiled")
    assert recipe.cache_key() == committed
    (folder / "go.sum").rename(folder / "go.sums")
    renamed = recipe.cache_key()
    (folder / "go.sums").write_text("")
    assert len({committed, renamed, recipe.cache_key()}) == 3


# --- files ------------------------------------------------------------------------------------------------------------
def test_files_come_out_of_the_modules_sorted_by_what_they_are(machine: Machine) -> None:
    parts = machine.build()
    root = parts.crds.parent
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {name for name in found if name.startswith(("crds", "kwok-stages"))} == {
        "crds/flux-operator/instances.yaml",
        "crds/flux/one.example.org.yaml",
        "crds/flux/two.example.org.yaml",
        "crds/kwok/stages.yaml",
        "kwok-stages/fast.yaml",
        "kwok-stages/heartbeat-with-lease.yaml",
    }
    assert {name for name in found if name.startswith("chart/files")} == {
        "chart/files/crds/instances.yaml",
        "chart/files/operator/deployment.yaml",
        "chart/files/operator/rbac.yaml",
    }
    assert "flux-manifests/flux/v2.10.0/all.yaml" in found


def test_the_chart_has_the_version_of_the_operator(machine: Machine) -> None:
    chart = machine.build().chart
    version = recipe.module_version(recipe.OPERATOR)
    lines = (chart / "Chart.yaml").read_text().splitlines()
    assert {"name: flux-operator", f"version: {version[1:]}", f"appVersion: {version}"} <= set(lines)


def test_copies_are_writable_although_the_modules_are_not(machine: Machine) -> None:
    copy = machine.build().flux_manifests / "flux/v2.9.4/old.yaml"
    assert copy.stat().st_mode & stat.S_IWUSR


# --- one build, and the next ------------------------------------------------------------------------------------------
def test_a_second_build_does_nothing_not_even_ask_for_go(machine: Machine) -> None:
    first = machine.build()
    (machine.root / "path/go").unlink()
    assert machine.build() == first
    assert machine.built() == [binary.package for binary in recipe.binaries()]
    assert all(path.exists() for path in dataclasses.astuple(first) if isinstance(path, Path))


def test_the_committed_module_is_not_touched(machine: Machine) -> None:
    before = (recipe.folder() / "go.mod").read_bytes()
    parts = machine.build()
    assert (recipe.folder() / "go.mod").read_bytes() == before
    copy = (parts.chart.parents[1] / "source/go.mod").read_text()
    assert copy.endswith(f"-replace={recipe.OPERATOR}=./operator")


def test_the_operator_is_built_to_serve_its_page_on_loopback(machine: Machine) -> None:
    parts = machine.build()
    assert "127.0.0.1:%d" in (parts.chart.parents[1] / "source/operator/internal/web/server.go").read_text()


def test_an_operator_whose_address_cannot_be_set_is_not_built(machine: Machine) -> None:
    (machine.root / "modules/operator/internal/web/server.go").write_text("ListenAndServe")
    with pytest.raises(ToolError, match="in 0 places"):
        machine.build()


def test_a_part_that_fails_stops_the_build_and_the_next_one_goes_on_from_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = [binary.package for binary in recipe.binaries()]
    monkeypatch.setenv("FAKE_FAULT", "kube-scheduler")
    with pytest.raises(ToolError) as caught:
        machine.build()
    (problem,) = caught.value.problems
    assert problem.path.endswith("log/kube-scheduler.log")
    assert "no space left on device" in problem.message
    assert problem.hint == f"free some disk space, then {toolchain.RESUME}"
    assert machine.built() == packages[:2]
    monkeypatch.delenv("FAKE_FAULT")
    machine.build()
    assert machine.built() == packages


def test_steps_count_packages_once_and_end_at_the_total(machine: Machine) -> None:
    steps: list[Step] = []
    machine.build(steps.append)
    ready = [step for step in steps if step.state == "ready"]
    assert [step.part for step in ready if step.total] == [binary.name for binary in recipe.binaries()]
    counts = [step.done for step in steps if step.total]
    assert counts == sorted(counts)
    # Each program is one package of its own; `fmt` and `example.org/shared` are in all of them.
    assert (ready[-1].done, ready[-1].total) == (len(recipe.binaries()) + 2,) * 2


def test_a_second_build_at_once_waits_and_takes_what_the_first_made(machine: Machine) -> None:
    first = machine.build()
    done, unfinished = first.chart.parent, machine.root / "unfinished"
    done.rename(unfinished)
    lock = done.parent / "lock"
    waits: list[Step] = []
    with lock.open("r+") as held:
        held.truncate(0)
        held.write("4711")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)

        def finish_the_first(step: Step) -> None:
            waits.append(step)
            unfinished.rename(done)
            fcntl.flock(held, fcntl.LOCK_UN)

        assert machine.build(finish_the_first) == first
    assert [(step.state, step.note) for step in waits] == [("waiting", "process 4711 is building the same parts")]
    assert lock.read_text() == str(os.getpid())
    assert len(machine.built()) == len(recipe.binaries())


def test_files_that_were_lost_come_back_without_compiling(machine: Machine) -> None:
    parts = machine.build()
    shutil.rmtree(parts.chart.parent)
    machine.build()
    assert parts.chart.exists()
    assert len(machine.built()) == len(recipe.binaries())


# --- the Status page --------------------------------------------------------------------------------------------------
def test_without_npm_the_page_says_so_and_npm_makes_up_for_it(machine: Machine) -> None:
    parts = machine.build()
    assert not parts.web
    assert build.PAGE_WITHOUT_NPM in parts.flux_operator.read_text()
    already = len(machine.built())
    machine.install("npm", FAKE_NPM)
    assert machine.build().web
    assert parts.flux_operator.read_text() == "the real page"
    embedding = [binary.package for binary in recipe.binaries() if binary.name == "flux-operator"]
    assert machine.built()[already:] == embedding


def test_an_npm_that_fails_is_no_fault_and_is_not_tried_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install("npm", FAKE_NPM)
    monkeypatch.setenv("FAKE_FAULT", "npm")
    parts = machine.build()
    assert not parts.web
    assert build.PAGE_FAILED in parts.flux_operator.read_text()
    assert "ENOTFOUND" in (parts.chart.parents[1] / "log/page.log").read_text()
    monkeypatch.delenv("FAKE_FAULT")
    assert machine.build() == parts


# --- what may be missing ----------------------------------------------------------------------------------------------
def test_no_go_is_a_fault(machine: Machine) -> None:
    (machine.root / "path/go").unlink()
    with pytest.raises(ToolError, match=r"go: not found on `PATH`.*\n.*hint: install Go 1\.26 or newer"):
        machine.build()


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "devel"])
def test_an_old_go_is_a_fault(machine: Machine, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("FAKE_VERSION", version)
    with pytest.raises(ToolError, match=f"found {re.escape(version)}, the parts need Go 1.26"):
        machine.build()


def test_go_runs_for_this_machine_and_with_caches_even_without_a_home(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOME": "", "GOOS": "plan9", "GOFLAGS": "-mod=vendor"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOCACHE", raising=False)
    go = toolchain.find_go(scratch=machine.root, fallback=machine.root / "cache", oldest=(1, 26))
    assert "GOOS" not in go.environment
    assert go.environment["GOFLAGS"] == "-buildvcs=false"
    assert go.environment["GOCACHE"] == str(machine.root / "cache/go-build")


def test_folders_of_one_disk_share_its_space(tmp_path: Path) -> None:
    half = shutil.disk_usage(tmp_path).free / toolchain.GIB * 0.6
    toolchain.require_space([(tmp_path, half)])
    with pytest.raises(ToolError) as caught:
        toolchain.require_space([(tmp_path / "not/yet", half), (tmp_path, half)])
    (problem,) = caught.value.problems
    assert problem.path == str(tmp_path)
    assert f"needs {2 * half:.1f} GiB" in problem.message


# --- running and showing ----------------------------------------------------------------------------------------------
def run_python(code: str, log: Path, on_line: Callable[[str], object] = str) -> str:
    command = (sys.executable, "-c", textwrap.dedent(code))
    return toolchain.run(command, cwd=log.parent, environment=os.environ, log=log, on_line=on_line)


def test_a_run_gives_stdout_and_tells_stderr_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('answer'); print('one\\ntwo', file=sys.stderr)"
    assert run_python(code, tmp_path / "log", lines.append) == "answer\n"
    assert lines == ["one", "two"]
    assert (tmp_path / "log").read_text().endswith("one\ntwo\n")


def test_an_interrupted_run_ends_its_process(tmp_path: Path) -> None:
    code = """
        import os, sys, time
        print(os.getpid(), file=sys.stderr, flush=True)
        time.sleep(600)
    """
    started: list[int] = []

    def interrupt(line: str) -> None:
        started.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_python(code, tmp_path / "log", interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_without_a_terminal_there_is_one_line_a_part() -> None:
    stream = io.StringIO()
    with show_progress(stream) as report:
        report(Step(part="etcd", note="go.etcd.io/etcd", done=1, total=2))
        report(Step(part="etcd", state="ready", done=2, total=2))
        report(Step(part="page", state="ready", note="npm was not found"))
    etcd, page = stream.getvalue().splitlines()
    assert etcd.startswith("etcd: ready (")
    assert page.startswith("page: ready, npm was not found (")


def test_on_a_terminal_the_bar_names_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with show_progress(stream) as report:
        report(Step(part="kube-apiserver", done=1, total=4))
        report(Step(part="etcd", state="ready", done=4, total=4))
        report(Step(part="kwok", done=1, total=4))
    assert "etcd: ready (" in stream.getvalue()
    assert re.search(r"kwok .*━.*25%", stream.getvalue())
