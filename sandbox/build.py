"""Builds everything the sandbox runs from pinned Go modules, into a cache, once.

Called by the sandbox's command line and by tests; `sandbox.parts` says what is built, `sandbox.toolchain`
runs the tools. Layout: `<cache>/<key>/`, where the key is the hash of `sandbox/parts`, holds `bin`, `files`
(chart, manifests, CRDs, stages), `source` (the module that is built, never the one in the checkout), `log`,
and `page` (how the Status page came about). A part gets its name when it is whole, so an interrupted build
goes on where it stopped.
Left out on purpose: removing old keys (a running sandbox may use them), and the choice of the cache folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fleet.errors import ToolError
from sandbox import toolchain
from sandbox.parts import files, recipe
from sandbox.progress import Progress, Step, show_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SPACE_PARTS: Final = 2.9
SPACE_PACKAGES: Final = 4.0
SPACE_MODULES: Final = 2.1
"""GiB, measured: the cache folder (0.7, the rest is given back), Go's build cache, Go's module cache."""
EMBEDS_PAGE: Final = "flux-operator"
NEW_PAGE: Final = "dist.new"
PAGE_BUILT: Final = "built"
PAGE_WITHOUT_NPM: Final = "npm was not found; with Node.js 20.19 or newer on PATH, the next build makes the page."
PAGE_FAILED: Final = "npm failed; log/page.log in the folder of the build tells why."


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Absolute paths of what was built: programs first, then folders.

    `crds` has the subfolders `flux-operator`, `flux` and `kwok`. `web` tells whether the operator serves its
    real Status page, or one that says why there is none. `flux_operator` needs `GODEBUG=fips140=on` to run.
    """

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kwok: Path
    flux_operator: Path
    flux_operator_cli: Path
    kustomize_controller: Path
    registry: Path
    helm: Path
    kustomize: Path
    kubeconform: Path
    yq: Path
    actionlint: Path
    kind: Path
    flux_manifests: Path
    chart: Path
    crds: Path
    kwok_stages: Path
    web: bool


def build(cache: Path, *, progress: Progress | None = None) -> Parts:
    """What `sandbox/parts` describes, built below `cache` unless it is there already.

    Raises ToolError if a tool or disk space is missing, or a part does not build. `progress` is called from
    the caller's thread; without one, the steps are shown on stderr.
    """
    key = cache.absolute() / recipe.cache_key()
    if not _is_complete(key):
        with show_progress() if progress is None else nullcontext(progress) as report:
            key.mkdir(parents=True, exist_ok=True)
            with _lock(key / "lock", report):
                if not _is_complete(key):  # the build that held the lock may have made all of it
                    _prepare(key, cache.absolute(), report).run()
    return _parts(key)


def _parts(key: Path) -> Parts:
    programs = {binary.name.replace("-", "_"): key / "bin" / binary.name for binary in recipe.binaries()}
    folders = {name.replace("-", "_"): key / "files" / name for name in files.FOLDERS}
    return Parts(web=(key / "page").read_text() == PAGE_BUILT, **programs, **folders)


def _is_complete(key: Path) -> bool:
    return not _missing(key) and (key / "files").exists() and not _wants_page(key)


def _missing(key: Path) -> list[recipe.Binary]:
    return [binary for binary in recipe.binaries() if not (key / "bin" / binary.name).exists()]


def _wants_page(key: Path) -> bool:
    """True also if npm came after the build: then the page is made up for."""
    page = key / "page"
    return not page.exists() or (page.read_text() == PAGE_WITHOUT_NPM and shutil.which("npm") is not None)


@contextmanager
def _lock(path: Path, report: Progress) -> Iterator[None]:
    """Held by the one build of a key; a second one waits and tells for whom."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read() or "unknown"
            report(Step(part="build", state="waiting", note=f"process {owner} is building the same parts"))
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _prepare(key: Path, cache: Path, report: Progress) -> _Build:
    """Checks tools and disk space, clears what an interrupted build left; what is done already stays."""
    scratch = key / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in (scratch, key / "bin", key / "log", key / "source"):
        folder.mkdir(exist_ok=True)
    go = toolchain.find_go(scratch=scratch, fallback=cache, oldest=recipe.go_version())
    if _wants_page(key):
        (key / "bin" / EMBEDS_PAGE).unlink(missing_ok=True)
    build = _Build(key=key, scratch=scratch, go=go, report=report, missing=tuple(_missing(key)))
    share = len(build.missing) / len(recipe.binaries())
    largest = f"{recipe.KUBERNETES}@{recipe.module_version(recipe.KUBERNETES)}"
    downloaded = (go.module_cache / largest).exists()
    toolchain.require_space(
        (
            (key, SPACE_PARTS * share),
            (go.build_cache, SPACE_PACKAGES * share),
            (go.module_cache, 0 if downloaded else SPACE_MODULES),
        )
    )
    return build


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One run: where, with what, and whom to tell."""

    key: Path
    scratch: Path
    go: toolchain.Go
    report: Progress
    missing: Sequence[recipe.Binary]

    def run(self) -> None:
        """The page is made beside the first programs, since only the operator needs it."""
        self._write_source()
        with ThreadPoolExecutor(max_workers=1) as pool:
            page = pool.submit(self._build_page) if _wants_page(self.key) else None
            packages = self._list_packages() if self.missing else {}
            total = len(set[str]().union(*packages.values()))
            done: set[str] = set()
            for binary in self.missing:
                if page and binary.name == EMBEDS_PAGE:
                    self._install_page(page.result())
                self._compile(binary, done, total)
                done |= packages[binary.package]
                self.report(Step(part=binary.name, state="ready", done=len(done), total=total))
        shutil.rmtree(self.scratch)

    def _write_source(self) -> None:
        """All that is no program, and the Go module to build: ours, and a copy of the operator's.

        The operator embeds `web/dist`, which its module lacks, and Go allows no change in its module cache.
        """
        source = self.key / "source"
        (source / "registry").mkdir(exist_ok=True)
        for name in recipe.SOURCE:
            shutil.copyfile(recipe.folder() / name, source / name)
        self._run_go("mod", "download", recipe.OPERATOR, recipe.KWOK, log="modules")
        found = self._run_go("list", "-m", "-f", "{{.Dir}}", recipe.OPERATOR, recipe.KWOK, log="modules")
        operator, kwok = map(Path, found.splitlines())
        self._write_once(self.key / "files", lambda to: files.write_files(to, operator=operator, kwok=kwok))
        self._write_once(source / "operator", lambda to: files.copy_operator(operator, to))
        if _wants_page(self.key):
            files.write_page(source / "operator/web/dist", PAGE_WITHOUT_NPM)  # until there is a better one
        self._run_go("mod", "edit", f"-replace={recipe.OPERATOR}=./operator", log="modules")

    def _write_once(self, target: Path, write: Callable[[Path], None]) -> None:
        if not target.exists():
            unfinished = self.scratch / target.name
            write(unfinished)
            unfinished.rename(target)

    def _list_packages(self) -> dict[str, set[str]]:
        """The import paths that each missing program is made of; asking for them downloads their modules."""

        def tell(line: str) -> None:
            self.report(Step(part="modules", note=line.removeprefix("go: downloading ")))

        template = "{{.ImportPath}}{{range .Deps}} {{.}}{{end}}"
        programs = (binary.package for binary in self.missing)
        listed = self._run_go("list", "-f", template, *programs, log="modules", on_line=tell)
        self.report(Step(part="modules", state="ready"))
        return {path: {path, *rest} for path, *rest in map(str.split, listed.splitlines())}

    def _compile(self, binary: recipe.Binary, done: set[str], total: int) -> None:
        def tell(package: str) -> None:
            if " " not in package:  # `go build -v` names each package that it compiles, one a line
                done.add(package)
                self.report(Step(part=binary.name, note=package, done=len(done), total=total))

        self.report(Step(part=binary.name, done=len(done), total=total))
        unfinished = self.scratch / binary.name
        flags = ("-v", "-trimpath", f"-ldflags={binary.linker_flags}", "-o", str(unfinished))
        self._run_go("build", *flags, binary.package, log=binary.name, on_line=tell)
        unfinished.rename(self.key / "bin" / binary.name)

    def _build_page(self) -> str:
        """Runs in a thread of its own; how it went. The page is worth having, but nothing depends on it."""
        if shutil.which("npm") is None:
            return PAGE_WITHOUT_NPM
        web = self.key / "source/operator/web"
        # Install scripts of the packages stay off: the build needs none of them.
        install = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        try:
            for command in (install, ("npm", "run", "build", "--", "--outDir", NEW_PAGE)):
                toolchain.run(command, cwd=web, environment=os.environ, log=self.key / "log" / "page.log")
        except ToolError:
            return PAGE_FAILED
        finally:
            shutil.rmtree(web / "node_modules", ignore_errors=True)
        return PAGE_BUILT

    def _install_page(self, outcome: str) -> None:
        web = self.key / "source/operator/web"
        if outcome == PAGE_BUILT:
            shutil.rmtree(web / "dist")
            (web / NEW_PAGE).rename(web / "dist")
        else:
            files.write_page(web / "dist", outcome)
        (self.key / "page").write_text(outcome)
        self.report(Step(part="page", state="ready", note="" if outcome == PAGE_BUILT else outcome))

    def _run_go(self, *arguments: str, log: str, on_line: Callable[[str], object] = str) -> str:
        return toolchain.run(
            ("go", *arguments),
            cwd=self.key / "source",
            environment=self.go.environment,
            log=self.key / "log" / f"{log}.log",
            on_line=on_line,
        )
