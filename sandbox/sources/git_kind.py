"""GitRepository for the stand-in: a ref of the local Git server becomes a revision and a packed tree.

Used by `stand_in` alone. Refs and what is left out of an artifact follow source-controller: `.git…` files always, then
by default images, archives and files of CI services; `spec.ignore` and the root's `.sourceignore` add to that.
Left out on purpose: `ref.commit` and `ref.semver` (they are refused), `.sourceignore` in other folders, submodules,
`include`, signatures, and credentials, which the local server does not ask for.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from sandbox.sources.kinds import Content, Unavailable
from sandbox.sources.packing import pack

if TYPE_CHECKING:
    import urllib3
    from dulwich.client import HttpGitClient
    from dulwich.objects import ObjectID
    from dulwich.repo import MemoryRepo

TIMEOUT: Final = 10.0
IGNORED: Final = (
    *(".git/", ".gitignore", ".gitmodules", ".gitattributes"),
    *("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"),
    *(".github/", ".circleci/", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml", "cloudbuild.yaml"),
    *("codeship-services.yml", "codeship-steps.yml", ".goreleaser.yml", ".goreleaser.yaml", ".sops.yaml", ".flux.yaml"),
)
"""What source-controller leaves out by default, as its documentation lists it."""
SOURCE_IGNORE: Final = ".sourceignore"


class GitRepository:
    """Branches and tags of the local Git server."""

    kind = "GitRepository"
    plural = "gitrepositories"

    def __init__(self, pool: urllib3.PoolManager) -> None:
        self._pool = pool

    def resolve(self, spec: Mapping[str, Any]) -> str:
        from dulwich.refs import Ref

        ref, shown = _wanted(spec)
        with _told(spec):
            found = self._connect(spec).get_refs("").refs
        peeled = Ref(f"{ref}^{{}}".encode())  # an annotated tag's own object is no commit
        sha = found.get(peeled) or found.get(Ref(ref.encode()))
        if not sha:
            raise _failed(spec, f'couldn\'t find remote ref "{ref}"')
        return f"{shown}@sha1:{sha.decode()}"

    def fetch(self, spec: Mapping[str, Any], revision: str) -> Content:
        from dulwich.objects import ObjectID
        from dulwich.repo import MemoryRepo

        sha = ObjectID(revision.rpartition(":")[2].encode())

        def want(refs: Mapping[Any, ObjectID], depth: int | None = None) -> list[ObjectID]:
            return [sha]

        repository = MemoryRepo()
        with _told(spec):
            self._connect(spec).fetch("", repository, determine_wants=want, depth=1)
            files, executable = _read_tree(repository, sha)
        selected = _select(spec, files)
        is_ignored = _filter(spec, selected.get(SOURCE_IGNORE, b""))
        packed = pack({path: content for path, content in selected.items() if not is_ignored(path)}, executable)
        return Content(packed=packed, digest=f"sha256:{hashlib.sha256(packed).hexdigest()}")

    def _connect(self, spec: Mapping[str, Any]) -> HttpGitClient:
        from dulwich.client import HttpGitClient

        return HttpGitClient(spec["url"], pool_manager=self._pool, timeout=TIMEOUT)


def make_pool() -> urllib3.PoolManager:
    """Connections for any number of repositories, to be closed by the caller (`clear`)."""
    import urllib3

    class Pool(urllib3.PoolManager):
        def request(self, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
            answer = super().request(*arguments, **options)
            if answer.status >= HTTPStatus.BAD_REQUEST:
                answer.close()  # the client would leave it open, and its connection with it
            return answer

    return Pool()


def _wanted(spec: Mapping[str, Any]) -> tuple[str, str]:
    """The full name of the ref, and what stands for it in a revision; the first that is set counts, as in Flux."""
    ref = spec.get("ref") or {}
    if ref.get("commit"):
        raise Unavailable("Unsupported", f"`ref.commit` of `{spec['url']}`: only branches, tags and names are resolved")
    if name := ref.get("name"):
        return name, name
    if ref.get("semver"):
        raise Unavailable("Unsupported", f"`ref.semver` of `{spec['url']}`: only branches, tags and names are resolved")
    if tag := ref.get("tag"):
        return f"refs/tags/{tag}", tag
    branch = ref.get("branch") or "master"
    return f"refs/heads/{branch}", branch


def _failed(spec: Mapping[str, Any], cause: str) -> Unavailable:
    told = f"failed to checkout and determine revision: unable to clone '{spec['url']}': {cause}"
    return Unavailable("GitOperationFailed", told)


@contextmanager
def _told(spec: Mapping[str, Any]) -> Iterator[None]:
    """Turns whatever the client raises into `Unavailable`."""
    from dulwich.errors import NotGitRepository

    try:
        yield
    except NotGitRepository as error:
        raise _failed(spec, "repository not found") from error
    except Exception as error:  # of many modules; none may end the stand-in
        raise _failed(spec, str(error) or type(error).__name__) from error


def _read_tree(repository: MemoryRepo, sha: ObjectID) -> tuple[dict[str, bytes], set[str]]:
    """Content by path, and the paths that are executable; links and submodules are left out, as Flux does."""
    from dulwich.object_store import iter_tree_contents
    from dulwich.objects import Blob, Commit

    found = repository[sha]
    assert isinstance(found, Commit)
    files, executable = {}, set()
    for path, mode, content in iter_tree_contents(repository.object_store, found.tree):
        if stat.S_ISREG(mode):
            blob = repository[content]
            assert isinstance(blob, Blob)
            files[path.decode()] = blob.data
            if mode & stat.S_IXUSR:
                executable.add(path.decode())
    return files, executable


def _select(spec: Mapping[str, Any], files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """What is below the folders of `spec.sparseCheckout`, or all; a folder that is not there is a fault, as in Flux."""
    folders = [f"{posixpath.normpath(folder)}/".removeprefix("./") for folder in spec.get("sparseCheckout") or ()]
    for folder in folders:
        if not any(path.startswith(folder) for path in files):
            cause = f"failed to sparse checkout directories: `{folder}` does not exist in `{spec['url']}`"
            raise Unavailable("GitOperationFailed", cause)
    return {path: content for path, content in files.items() if not folders or path.startswith(tuple(folders))}


def _filter(spec: Mapping[str, Any], source_ignore: bytes) -> Callable[[str], bool]:
    """Whether a path is left out; of all patterns that match it, the last one says."""
    from dulwich.ignore import IgnoreFilter

    own = spec.get("ignore") or ""
    lines = [*IGNORED, *source_ignore.decode(errors="replace").splitlines(), *own.splitlines()]
    patterns = IgnoreFilter(line.encode() for line in lines if line.strip() and not line.startswith("#"))
    return lambda path: bool(patterns.is_ignored(path))
