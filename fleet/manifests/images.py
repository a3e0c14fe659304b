"""Everything that a fleet pulls, for who fills its mirror; and what comes from elsewhere.

Called by `python -m fleet images` with a fleet whose addresses are still those outside. That the copies' names are
exactly the addresses in what is rendered, a test shows. Images of releases are those that fleet.yaml lists: charts are
not looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from fleet.model import Fleet, KindCluster, Stack, Workload
from fleet.model.clusters.node_images import NEWEST, NODE_IMAGES
from fleet.model.distribution import RELEASES
from fleet.model.mirror import bare, canonical

NODE_IMAGE: Final = NODE_IMAGES[NEWEST]
"""Node image of the clusters that scripts make, where a mirror must have it."""
REGISTRY_IMAGE: Final = (
    "docker.io/library/registry:3.0.0@sha256:6c5666b861f3505b116bb9aa9b25175e71210414bd010d92035ff64018f9457e"
)
"""The registry beside a trial's cluster."""
BASE_IMAGE: Final = "docker.io/library/busybox:1.37.0"
"""Of the Dockerfile that a repository of code starts with."""
START_IMAGE: Final = "ghcr.io/stefanprodan/podinfo:6.14.0"
"""Of the chart that a release in the repository starts with."""

Kind = Literal["image", "chart", "artifact"]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """Something that others publish; every kind of it is an OCI artifact, which any registry tool copies."""

    kind: Kind
    reference: str
    """As it is written where it is used, without a scheme."""
    used_by: str

    @property
    def source(self) -> str:
        """Where to copy it from: by digest if it has one, since no tool takes tag and digest at once."""
        name, digest = canonical(bare(self.reference)), self.reference.partition("@")[2]
        return f"{name}@{digest}" if digest else f"{name}{self._tag}"

    def mirror(self, fleet: Fleet) -> str | None:
        """Where to copy it to: by tag, as nothing can be written to a digest. None without a mirror."""
        name = bare(self.reference)
        copy = fleet.pulled_from(name)
        return None if fleet.mirror is None or copy == name else f"{copy}{self._tag or ':latest'}"

    @property
    def _tag(self) -> str:
        return self.reference.partition("@")[0].removeprefix(bare(self.reference))


def pulled(fleet: Fleet, stack: Stack | None = None) -> list[Pulled]:
    """What all clusters pull, or those of a stack, each thing once; without what is the owner's."""
    found = [*_operator(fleet, stack), *_flux(fleet, stack), *_releases(fleet, stack), *_seeded(fleet, stack)]
    own, once = f"{fleet.artifacts}/", dict[str, Pulled]()
    for each in found:
        if not each.reference.startswith(own):
            once.setdefault(each.source, each)
    return list(once.values())


def kept(fleet: Fleet, stack: Stack | None = None) -> list[str]:
    """What no mirror is for: the owner's artifacts, in the git design repositories, and what the stack names itself."""
    repositories = dict.fromkeys(_chosen(fleet, fleet.components, stack), fleet.repositories.infra)
    repositories |= {name: fleet.repository_of(fleet.tenants[name]) for name in _chosen(fleet, fleet.tenants, stack)}
    named = [stack.operator_chart, stack.manifests_artifact] if stack else []
    if fleet.design == "git":
        own = [fleet.repository_url(name) for name in dict.fromkeys([fleet.repositories.fleet, *repositories.values()])]
    else:
        paths = [f"{repository}/{name}" for name, repository in repositories.items()]
        own = [f"{fleet.artifacts}/{path.lower()}" for path in (fleet.repositories.fleet, *paths)]
    return [*own, *filter(None, named)]


def _operator(fleet: Fleet, stack: Stack | None) -> Iterator[Pulled]:
    operator = fleet.operator
    for version in filter(None, [operator.version, stack.operator_version if stack else None]):
        yield Pulled(kind="chart", reference=f"{_path(operator.chart)}:{version}", used_by="operator.chart")
        yield Pulled(kind="image", reference=f"{operator.image}:v{version.removeprefix('v')}", used_by="operator.image")


def _flux(fleet: Fleet, stack: Stack | None) -> Iterator[Pulled]:
    """Without a mirror the operator chooses the release within a range; images have no tag here then."""
    for cluster in _clusters(fleet, stack):
        flux = fleet.flux_of(cluster)
        if flux.artifact and not (stack and stack.manifests_artifact):
            yield Pulled(kind="artifact", reference=_path(flux.artifact), used_by="flux.artifact")
        versions = RELEASES.get(flux.version, {})
        for controller in fleet.controllers_of(cluster):
            tag = f":v{versions[controller]}" if controller in versions else ""
            yield Pulled(kind="image", reference=f"{flux.registry}/{controller}{tag}", used_by="flux.registry")


def _releases(fleet: Fleet, stack: Stack | None) -> Iterator[Pulled]:
    sections: tuple[tuple[str, Mapping[str, Workload]], ...] = (
        ("components", fleet.components),
        ("tenants", fleet.tenants),
    )
    for section, workloads in sections:
        for name in _chosen(fleet, workloads, stack):
            for release, spec in workloads[name].releases.items():
                place = f"{section}.{name}.releases.{release}"
                if not spec.is_local:
                    yield Pulled(kind="chart", reference=f"{_path(spec.chart)}:{spec.version}", used_by=place)
                elif spec.images is None:
                    yield Pulled(kind="image", reference=START_IMAGE, used_by=place)
                yield from (Pulled(kind="image", reference=image, used_by=place) for image in spec.images or ())


def _seeded(fleet: Fleet, stack: Stack | None) -> Iterator[Pulled]:
    """What the scripts of the repositories use, and the nodes of kind."""
    for name, cluster in stack.clusters.items() if stack else ():
        if isinstance(cluster, KindCluster):
            yield Pulled(kind="image", reference=cluster.image, used_by=f"clusters.{name}")
    if fleet.mirror:
        yield Pulled(kind="image", reference=NODE_IMAGE, used_by="scripts/e2e.sh")
    if fleet.design == "oci":
        yield Pulled(kind="image", reference=REGISTRY_IMAGE, used_by="scripts/e2e.sh")
    if any(tenant.source for tenant in fleet.tenants.values()):
        yield Pulled(kind="image", reference=BASE_IMAGE, used_by="Dockerfile")


def _clusters(fleet: Fleet, stack: Stack | None) -> Iterable[str]:
    return fleet.clusters if stack is None else fleet.clusters_in(stack.environment)


def _chosen(fleet: Fleet, workloads: Mapping[str, Workload], stack: Stack | None) -> list[str]:
    """Those that the clusters run."""
    return [name for name, each in workloads.items() if stack is None or stack.environment in fleet.overlays_of(each)]


def _path(address: str) -> str:
    return address.removeprefix("oci://")
