"""What a repository holds besides manifests: workflows, scripts, README, owners. Texts are in `fleet/templates/`.

Called by `fleet.manifests.trees`. A template lies in `<design>/<role>/`, at the path that the file has in the
repository, with `.j2` after it; `all` stands for every design, and PLACES says which folders a role takes. A template
that renders to nothing is no file. Delimiters are `[= =]`, `[% %]` and `[# #]`: GitHub, the operator, Flux and bash
have all the others. Left out on purpose: fleet's own knowledge of GitHub settings, which `fleet.resources` has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from fleet import names
from fleet.manifests.automation import FOLDER, PROPOSED
from fleet.manifests.dump import dump
from fleet.manifests.images import BASE_IMAGE, NODE_IMAGE, REGISTRY_IMAGE, START_IMAGE
from fleet.manifests.operator import operator_values
from fleet.manifests.trees.access import access_values
from fleet.model import Decryption, Fleet, Repository, Workload, age_keys, repositories_of
from fleet.model.repository import BOT_ENVIRONMENT, BOTS, CHECK, MAIN, PRODUCTION, policy_name

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from jinja2 import Environment

PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "fleet": ("all", "manifests", "fleet"),
    "infra": ("all", "manifests", "workloads", "infra"),
    "apps": ("all", "manifests", "workloads", "apps"),
    "source": ("all", "source"),
}
"""Folders of a role: `manifests` is for what Flux reads, `workloads` for what lies in `components/`."""
CHART: Final = "chart"
"""Folder of the templates of a chart."""
SUFFIX: Final = ".j2"
FLUX: Final = "2.9.4"
"""Release of the Flux CLI that publishes, and of the schemas that manifests are checked with."""


def document_files(fleet: Fleet, repository: Repository) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file, in the order of the paths."""
    environment, values = _environment(), _values(fleet, repository)
    found = {path: place for place in _places(fleet, repository) for path in _paths(place)}
    for path in sorted(found):
        text = environment.get_template(f"{found[path]}/{path}{SUFFIX}").render(values)
        if text.strip():
            yield path, text.encode()


def chart_files(fleet: Fleet, folder: str, name: str, version: str) -> Iterator[tuple[str, bytes]]:
    """A chart to start from, in `folder`."""
    image, _, tag = fleet.pulled_from(START_IMAGE).rpartition(":")
    for path in sorted(_paths(CHART)):
        template = _environment().get_template(f"{CHART}/{path}{SUFFIX}")
        yield f"{folder}/{path}", template.render(name=name, version=version, image=image, tag=tag).encode()


def _places(fleet: Fleet, repository: Repository) -> list[str]:
    """Folders of templates; a later one wins."""
    return [f"{design}/{place}" for place in PLACES[repository.role] for design in ("all", fleet.design)]


@cache
def _paths(place: str) -> tuple[str, ...]:
    """Of all files in a folder of templates, in the repository."""
    folder = resources.files("fleet") / "templates" / place
    return tuple(_walk(folder, "")) if folder.is_dir() else ()


def _walk(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield prefix + entry.name.removesuffix(SUFFIX)


@cache
def _environment() -> Environment:
    """Reads templates of the package; a name that nobody gave a value is an error, not an empty text."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str:
        return (resources.files("fleet") / "templates" / name).read_text(encoding="utf-8")

    return Environment(  # noqa: S701 nothing here is HTML
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        variable_start_string="[=",
        variable_end_string="=]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _values(fleet: Fleet, repository: Repository) -> dict[str, Any]:
    """What templates may use: the model, the names that the manifests use too, and what follows from both."""
    return {
        "fleet": fleet,
        "repository": repository,
        "repositories": repositories_of(fleet),
        "names": names,
        "MAIN": MAIN,
        "PRODUCTION": PRODUCTION,
        "CHECK": CHECK,
        "BOTS": BOTS,
        "BOT_ENVIRONMENT": BOT_ENVIRONMENT,
        "PROPOSED": PROPOSED,
        "UPDATE_FOLDER": FOLDER,
        "FLUX": FLUX,
        "artifact": f"{fleet.artifacts}/{repository.name.lower()}",
        "registry_host": fleet.registry.partition("/")[0],
        "operator_host": fleet.operator.chart.removeprefix("oci://").partition("/")[0],
        "operator_values": dump(operator_values(fleet)).decode(),
        "node_image": fleet.pulled_from(NODE_IMAGE),
        "registry_image": fleet.pulled_from(REGISTRY_IMAGE),
        "base_image": fleet.pulled_from(BASE_IMAGE),
        "owners": _owners(fleet, repository),
        "encrypted": _encrypted(fleet, repository),
        **access_values(fleet),
        "trial_keys": age_keys(fleet, fleet.clusters[_tried(fleet)].environment),
        "tried": _tried(fleet),
        "released": _first(fleet, "releases"),
        "app_possible": any(environment.auth == "app" for environment in fleet.environments.values()),
        "written": _written(fleet, repository),
        "grafanas": _grafanas(fleet),
        "home": f"{fleet.github.url}/{fleet.owner}",
        "stage": {tracks: next(iter(_stages(fleet, tracks)), None) for tracks in ("main", "releases")},
        "tracking": {tracks: _tracking(fleet, tracks) for tracks in ("main", "releases")},
        "deployed": sorted({fleet.repository_of(t) for t in fleet.tenants.values() if t.source == repository.name}),
    }


def _encrypted(fleet: Fleet, repository: Repository) -> dict[str, Decryption]:
    """What opens the encrypted files of a component or tenant in the repository, by its name."""
    workloads: Mapping[str, Workload] = fleet.components if repository.role == "infra" else fleet.tenants
    mine = {name: w.decryption for name, w in workloads.items() if name in repository.workloads}
    return {name: decryption for name, decryption in mine.items() if decryption}


def _tried(fleet: Fleet) -> str:
    """The cluster that pull requests are tried as: the first that tracks main, or the first of all."""
    return _first(fleet, "main") or _first(fleet, "releases") or next(iter(fleet.clusters))


def _tracking(fleet: Fleet, tracks: str) -> str:
    """Environments that follow main or releases, in words."""
    return ", ".join(_stages(fleet, tracks)) or "no environment"


def _stages(fleet: Fleet, tracks: str) -> list[str]:
    """Environments that follow main or releases, in the order of promotion."""
    return [name for name in fleet.overlays if fleet.environments[name].tracks == tracks]


def _first(fleet: Fleet, tracks: str) -> str | None:
    """The first cluster of those that deliver, in the order of promotion."""
    return next((cluster for stage in _stages(fleet, tracks) for cluster in fleet.clusters_in(stage)), None)


def _written(fleet: Fleet, repository: Repository) -> list[str]:
    """Repositories in which the bot of this one opens pull requests."""
    others = [name for name, other in repositories_of(fleet).items() if other.automated]
    return others if repository.role == "fleet" else [repository.name]


def _owners(fleet: Fleet, repository: Repository) -> dict[str, str]:
    """Teams by pattern of CODEOWNERS, where the last match wins. GitHub ignores owners that cannot write."""
    teams = [team for team in repository.access if team != BOTS]
    platform = [team for team in teams if fleet.teams[team].role == "platform"]
    owners = {"*": platform or teams}
    if repository.role == "apps":
        for name in repository.workloads:
            tenant = fleet.tenants[name]
            policies = [
                f"/{FOLDER}/{policy_name(name, release)}.yaml"
                for release, spec in tenant.releases.items()
                if not spec.is_local
            ]
            if tenant.team in teams:
                owners |= {path: [tenant.team] for path in (f"/components/{name}/", *policies)}
    return {
        pattern: " ".join(f"@{fleet.owner}/{team}" for team in chosen) for pattern, chosen in owners.items() if chosen
    }


def _grafanas(fleet: Fleet) -> list[tuple[str, str]]:
    """Namespace and release of each kube-prometheus-stack."""
    return [
        (component, name)
        for component, spec in fleet.components.items()
        for name, release in spec.releases.items()
        if release.chart.endswith("/kube-prometheus-stack")
    ]
