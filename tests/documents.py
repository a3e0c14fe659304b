"""The fleets whose documents are tested: those of tests/rendering, and two in which everything has another name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import yaml

from fleet.manifests.instance import flux_instance
from fleet.manifests.objects import workflow
from fleet.manifests.runtime import COMPONENT, runtime_info
from fleet.manifests.trees import tree
from fleet.manifests.trees.documents import document_files
from fleet.model import Fleet, repositories_of
from tests.rendering import CASES, load_case, make_fleet

Texts = Mapping[str, str]
"""Of a repository, by path."""

UNUSUAL: Final[Mapping[str, Any]] = {
    "owner": "Zz-9",
    "registry": "reg.test/mirror",
    "repositories": {"fleet": "Qfleet", "infra": "Qinfra", "apps": "Q.apps"},
    "bot": {"name": "qbot"},
    "teams": {"core": {"role": "platform"}, "blue": {"role": "tenant"}, "red": {"role": "tenant"}},
    "environments": {
        "early": {"tracks": "main"},
        "late": {"tracks": "releases", "auth": "app"},
        "renewal": {"tracks": "main", "role": "update", "auth": "app"},
    },
    "clusters": {
        "one": {"environment": "early"},
        "two": {"environment": "late"},
        "three": {"environment": "renewal"},
    },
    "components": {"mesh": {}, "dns": {"dependsOn": ["mesh"], "environments": ["late"]}},
    "tenants": {
        "north": {"team": "blue"},
        "south": {"team": "red", "repository": "qsouth", "source": "Qsource"},
        "west": {"team": "core"},
    },
}
GIT: Final = {
    "design": "git",
    "environments": {name: spec for name, spec in UNUSUAL["environments"].items() if name != "renewal"},
    "clusters": {name: spec for name, spec in UNUSUAL["clusters"].items() if name != "three"},
    "alerts": {"chat": {"type": "slack"}},
    "github": {"stack": "any", "url": "https://git.test"},
}
FLEETS: Final = (*CASES, "unusual", "unusual-git")


@cache
def fleet_of(case: str) -> Fleet:
    if case in CASES:
        return load_case(case)
    return make_fleet(**{**UNUSUAL, **(GIT if case == "unusual-git" else {})})


@cache
def texts_of(case: str) -> dict[str, dict[str, str]]:
    """The documents of each repository of a fleet."""
    fleet = fleet_of(case)
    return {
        name: {path: content.decode() for path, content in document_files(fleet, repository)}
        for name, repository in repositories_of(fleet).items()
    }


def files_of(case: str, repository: str) -> dict[str, bytes]:
    """Everything in a repository."""
    fleet = fleet_of(case)
    return tree(fleet, repositories_of(fleet)[repository])


def content_of(workflow_text: str) -> Any:
    """A workflow with every value as text: `on` is no truth value here."""
    return yaml.load(workflow_text, yaml.BaseLoader)  # noqa: S506 it knows text only


def trusted_by(manifest: Any) -> str:
    (patch,) = (p for p in manifest["spec"]["kustomize"]["patches"] if p["target"]["kind"] == "OCIRepository")
    (operation,) = (o for o in yaml.safe_load(patch["patch"]) if o["path"] == "/spec/verify")
    (identity,) = operation["value"]["matchOIDCIdentity"]
    return str(identity["subject"])


def trusted_subjects(fleet: Fleet, cluster: str) -> Iterator[tuple[str, str, str]]:
    """What a cluster trusts: repository, tag that releases there, and the regex of the signing identity."""
    yield fleet.repositories.fleet, "v1.2.3", trusted_by(flux_instance(fleet, cluster))
    info = runtime_info(fleet, cluster)
    workloads: dict[str, Any] = {**fleet.components, **fleet.tenants}
    for name, workload in workloads.items():
        repository = fleet.repositories.infra if name in fleet.components else fleet.repository_of(workload)
        ref = info["ARTIFACT_SUBJECT_GIT_REF"].replace(COMPONENT, name)
        escaped = repository.replace(".", "[.]")
        subject = workflow(fleet.owner, escaped, info["ARTIFACT_SUBJECT_WORKFLOW"], ref)
        yield repository, f"{name}/v1.2.3", f"^{subject}$"
