"""`make up`, `make status`, `make down` of the sandbox: the whole fleet on this machine, from nothing.

The order is that of the real thing: clusters, published artifacts, the program, and then Flux on its own. What differs
is who stands at the far end (`program.engine` or `program.monitor`) and what is simulated (`report`).
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fleet import config, names
from fleet.errors import Problem, ToolError
from fleet.manifests.trees import trees
from fleet.model import Fleet, Stack
from fleet.model.decryption import AGE_KEY
from sandbox import age
from sandbox.build import build
from sandbox.cluster import control
from sandbox.cluster.home import DEFAULT_FOLDER, LOOPBACK, Home, lock, make_folder, open_home, write_file
from sandbox.cluster.plan import Plan, read_plan
from sandbox.definitions import define_kinds
from sandbox.observe import Picture, look, wait
from sandbox.program.api import Api
from sandbox.program.engine import STACK, Engine, find_engine
from sandbox.sources.publish import Published, manifests_url, publish

if TYPE_CHECKING:
    from rich.console import Console

READY_SECONDS: Final = 300.0
"""Bound on the wait for Flux once the program has run."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a sandbox works: the checkout it reads, the home it writes, the cache of its parts."""

    checkout: Path
    home: Home
    cache: Path


def default_place(checkout: Path) -> Place:
    """The home in the checkout, the parts in the user's cache, so that every checkout shares them."""
    return Place(checkout=checkout, home=open_home(checkout / DEFAULT_FOLDER), cache=default_cache())


def default_cache() -> Path:
    """Where the built parts lie, below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleet"


def up(place: Place, console: Console) -> bool:
    """Brings the fleet up and tells how it is; False when it did not become ready."""
    fleet, stack = config.read_files(place.checkout, STACK)
    clusters = list(stack.clusters)
    with lock(place.home):
        parts = build(place.cache)
        with console.status("starting the control plane") as doing:
            plan = control.start(
                place.home, parts, clusters, progress=lambda step: doing.update(f"starting {step.part}")
            )
            doing.update("publishing the repositories")
            fleet = _local(fleet, stack, plan)
            content = trees(fleet)
            published = publish(fleet, content, parts.flux_manifests, _address(plan, "registry"), place.home.git)
            for cluster in clusters:
                with closing(_api(place, cluster)) as api:
                    define_kinds(api, content.values(), parts.crds)
        _run_program(place, plan, fleet, stack, console)
        pictures = [_wait(place, cluster, fleet, published, console) for cluster in clusters]
    _tell(place, plan, fleet, pictures, console)
    return all(picture.ready for picture in pictures)


def status(place: Place, console: Console) -> bool:
    """Tells how the fleet is without touching it; False when it is down or not ready."""
    running, plan = control.status(place.home), read_plan(place.home)
    if running.supervisor is None or plan is None:
        console.print("The sandbox is not running; `make up` starts it.")
        return False
    fleet, stack = config.read_files(place.checkout, STACK)
    fleet = _local(fleet, stack, plan)
    pictures = [_look(place, cluster, fleet) for cluster in plan.clusters]
    _tell(place, plan, fleet, pictures, console)
    for process in running.processes:
        if process.phase != "ready" or process.restarts:
            console.print(f"{process.name}: {process.phase}, {process.restarts} restarts {process.note}", markup=False)
    return all(picture.ready for picture in pictures)


def down(place: Place, console: Console) -> None:
    """Ends every process and removes the sandbox's folder; the built parts stay in the cache."""
    with lock(place.home):
        with console.status("stopping"):
            stopped = control.stop(place.home)
        shutil.rmtree(place.home.root, ignore_errors=True)
    console.print("The sandbox is stopped and its data removed." if stopped else "The sandbox was not running.")


def _address(plan: Plan, server: str) -> str:
    return f"{LOOPBACK}:{plan.ports[server]}"


def _local(fleet: Fleet, stack: Stack, plan: Plan) -> Fleet:
    """The fleet with the local registry and Git server in place of its own, as the program will see it."""
    registry = _address(plan, "registry")
    local = {
        "registry": registry,
        "manifests_artifact": manifests_url(registry),
        "git_url": f"http://{_address(plan, 'git')}",
    }
    return config.with_stack(fleet, stack.model_copy(update=local))


def _run_program(place: Place, plan: Plan, fleet: Fleet, stack: Stack, console: Console) -> None:
    """Applies the program's resources, by the real engine where there is one."""
    values = _values(place, plan, fleet)
    confidential = {
        f"{names.PROJECT}:{key}": _token(place.home, key) for key in config.secrets_of(fleet, stack.environment, STACK)
    }
    if program := _engine(place.home):
        console.print("Applying with the Pulumi engine on PATH; its state is kept in the sandbox's folder.")
        Engine(program=program, checkout=place.checkout, home=place.home).up(values, confidential)
        return
    console.print(
        "Applying without the Pulumi engine: each resource is applied for real, but there is no state, so no diff, no "
        "refresh and no plan of what a removal would do. With `pulumi` on PATH, a new sandbox uses the engine."
    )
    _apply(place, plan, values, confidential, console)


def _engine(home: Home) -> str | None:
    """The Pulumi CLI if this sandbox is the engine's: what one of the two has made, the other cannot go on with."""
    path, program = home.root / "applied-by", find_engine()
    if not path.exists():
        write_file(path, b"engine" if program else b"monitor")
    if path.read_bytes() == b"monitor":
        return None
    if program is None:
        problem = "is not on PATH, and this sandbox was made with the Pulumi engine"
        raise ToolError([Problem("`pulumi`", problem, "put it on PATH again, or start anew with `make down`")])
    return program


def _apply(
    place: Place, plan: Plan, values: Mapping[str, Any], confidential: Mapping[str, str], console: Console
) -> None:
    """The program behind Pulumi's test seam, each resource applied as it is registered."""
    from sandbox.program import seam
    from sandbox.program.apply import KubernetesCluster
    from sandbox.program.monitor import ApplyMonitor, Outcome

    with console.status("applying") as doing:

        def report(outcome: Outcome) -> None:
            if outcome.kind not in ("unchanged", "adopted", "read"):
                console.print(
                    f"  {outcome.kind:8} {outcome.label} {outcome.detail}".rstrip(), markup=False, highlight=False
                )

        def open_cluster(settings: Mapping[str, Any]) -> KubernetesCluster:
            return KubernetesCluster(
                settings,
                helm=plan.parts.helm,
                folder=make_folder(place.home.tmp("helm")),
                progress=lambda label, news: doing.update(f"waiting for {label}: {news}"),
            )

        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        with ApplyMonitor(open_cluster, report) as monitor:
            seam.run(
                place.checkout / "__main__.py",
                project=names.PROJECT,
                stack=STACK,
                config=texts | dict(confidential),
                secrets=list(confidential),
                monitor=monitor,
            )


def _values(place: Place, plan: Plan, fleet: Fleet) -> dict[str, Any]:
    """The stack's configuration, with what only this sandbox knows laid over it."""
    clusters = {
        name: {"kind": "existing", "kubeconfig": str(place.home.cluster(name).kubeconfig)} for name in plan.clusters
    }
    return config.read_stack_values(place.checkout, STACK) | {
        f"{names.PROJECT}:clusters": clusters,
        f"{names.PROJECT}:registry": fleet.registry,
        f"{names.PROJECT}:gitUrl": fleet.github.url,
        f"{names.PROJECT}:manifestsArtifact": fleet.flux.artifact,
        f"{names.PROJECT}:operatorChart": str(plan.parts.chart),
    }


def _token(home: Home, key: str) -> str:
    """A secret of this sandbox's own; no server here asks for it, but the path that it takes is the real one."""
    path = home.secret(key)
    if not path.exists():
        made = age.make_key() if key.startswith(AGE_KEY) else secrets.token_urlsafe(24)
        write_file(path, made.encode())
    return path.read_text()


def _wait(place: Place, cluster: str, fleet: Fleet, published: Published, console: Console) -> Picture:
    with closing(_api(place, cluster)) as api, console.status(f"waiting for Flux on {cluster}") as doing:

        def tell(picture: Picture) -> None:
            ready = sum(state.ready for state in picture.states)
            doing.update(f"waiting for Flux on {cluster}: {ready} of {len(picture.states)} objects ready")

        return wait(api, cluster, fleet, published, seconds=READY_SECONDS, progress=tell)


def _look(place: Place, cluster: str, fleet: Fleet) -> Picture:
    with closing(_api(place, cluster)) as api:
        return look(api, cluster, fleet)


def _api(place: Place, cluster: str) -> Api:
    return Api(place.home.cluster(cluster).kubeconfig.read_text())


def _tell(place: Place, plan: Plan, fleet: Fleet, pictures: Sequence[Picture], console: Console) -> None:
    from sandbox.report import SIMULATED, show_table

    console.print()
    show_table(console, pictures)
    console.print()
    for name in plan.clusters:
        console.print(f"Flux Status page of {name}:  http://{LOOPBACK}:{plan.ports[f'{name}/page']}/", highlight=False)
        kubeconfig = shlex.quote(str(place.home.cluster(name).kubeconfig))
        console.print(f"export KUBECONFIG={kubeconfig}", highlight=False, soft_wrap=True)
    console.print(f"git clone {fleet.repository_url(fleet.repositories.fleet)}", highlight=False, soft_wrap=True)
    console.print("How it is:  make status    Stop and remove it:  make down\n")
    console.print(SIMULATED, style="dim")


def require_checkout(folder: Path) -> Path:
    """`folder` if it is a checkout of the project; raises ToolError otherwise."""
    if not (folder / "__main__.py").is_file():
        raise ToolError([Problem(f"`{folder}`", "is not the project's folder", "run `make` in the checkout")])
    return folder
