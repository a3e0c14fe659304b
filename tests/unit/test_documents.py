"""Workflows, scripts, README and owners of the generated repositories: what must hold for every fleet.

test_scripts.py runs the scripts; tests/sandbox/test_documents.py has the linters, and what needs built tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest

from fleet.manifests.instance import flux_instance
from fleet.manifests.trees import access as signing
from fleet.manifests.trees import documents
from fleet.manifests.trees.documents import PLACES, document_files
from fleet.model import Fleet, Repository, repositories_of
from fleet.model.repository import BOT_ENVIRONMENT, CHECK
from tests.documents import FLEETS, Texts, content_of, files_of, fleet_of, texts_of, trusted_subjects
from tests.rendering import ROOT, make_fleet

each_fleet: Final = pytest.mark.parametrize("case", FLEETS)
oci_fleets: Final = pytest.mark.parametrize("case", [case for case in FLEETS if fleet_of(case).design == "oci"])


def workflows_of(case: str) -> Iterator[tuple[str, str, Any]]:
    """Repository, file name and content of every workflow."""
    for repository, texts in texts_of(case).items():
        for path, text in texts.items():
            if path.startswith(".github/workflows/"):
                yield repository, path.rpartition("/")[2], content_of(text)


def jobs_of(case: str) -> Iterator[tuple[str, Any]]:
    for repository, file, content in workflows_of(case):
        for name, job in content["jobs"].items():
            yield f"{repository}/{file}: {name}", job


def steps_of(case: str) -> Iterator[tuple[str, Any]]:
    for where, job in jobs_of(case):
        for step in job.get("steps", []):
            yield where, step


# --- texts -----------------------------------------------------------------------------------------------------------
@each_fleet
def test_nothing_of_a_template_is_left_and_texts_are_tidy(case: str) -> None:
    for repository, texts in texts_of(case).items():
        for path, text in texts.items():
            where = f"{repository}/{path}"
            assert not re.search(r"\[[=%#] | [=%#]\]|\bNone\b|\bTrue\b|\bFalse\b", text), where
            assert text.endswith("\n"), where
            assert not text.endswith("\n\n"), where
            assert "\n\n\n" not in text, where
            assert not re.search(r"[ \t]+$", text, re.MULTILINE), where


def test_every_template_is_used() -> None:
    folder = Path(str(resources.files("fleet"))) / "templates"
    known = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    rendered = {
        f"{place}/{path}.j2"
        for case in FLEETS
        for repository in repositories_of(fleet_of(case)).values()
        for place in documents._places(fleet_of(case), repository)
        for path in documents._paths(place)
        if path in texts_of(case)[repository.name]
    }
    included = {
        name
        for file in folder.rglob("*")
        if file.is_file()
        for name in re.findall(r'include "([^"]+)" %', file.read_text())
    } | {"parts/readme/oci-promotion.md", "parts/readme/git-promotion.md"}
    chart = "components/shop/charts/web/"
    charts = {f"chart/{p.removeprefix(chart)}.j2" for p in files_of("git", "shop-deploy") if p.startswith(chart)}
    assert known == rendered | included | charts


def test_the_same_fleet_gives_the_same_files_in_the_same_order() -> None:
    fleet = fleet_of("complete")
    for repository in repositories_of(fleet).values():
        first, second = (list(document_files(fleet, repository)) for _ in range(2))
        assert first == second
        assert [path for path, _ in first] == sorted(path for path, _ in first)


def test_a_value_that_no_template_is_given_is_an_error() -> None:
    """Instead of a gap in a script."""
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        documents._environment().from_string("[= fleet.nothing =]").render(fleet=fleet_of("default"))


COMMON: Final = {"README.md", ".gitignore", ".github/CODEOWNERS", ".github/dependabot.yml"}
MANIFESTS: Final = COMMON | {".github/workflows/validate.yaml", "scripts/validate.sh", "scripts/tools.sh"}
PUBLISHING: Final = {
    ".github/workflows/push-artifact.yaml",
    ".github/workflows/rollback.yaml",
    "scripts/artifacts.sh",
    "scripts/push-artifact.sh",
    "scripts/rollback.sh",
}
TRYING: Final = {
    ".github/workflows/e2e.yaml",
    *(f"scripts/{name}.sh" for name in ("await", "bootstrap", "dump", "e2e")),
}
ONBOARDING: Final = {".github/ISSUE_TEMPLATE/onboarding.yml"}
FLEET: Final = MANIFESTS | TRYING | ONBOARDING | {"Makefile"}
RELEASING: Final = MANIFESTS | PUBLISHING | {".github/workflows/release-artifact.yaml"}
UPDATING: Final = {".github/workflows/update.yaml", "scripts/update.sh", "scripts/propose.sh"}
PROMOTING: Final = MANIFESTS | {".github/workflows/update-production.yaml", "scripts/propose.sh"}
SOURCE: Final = COMMON | {
    ".dockerignore",
    ".github/workflows/push-image.yaml",
    ".github/workflows/validate.yaml",
    "Dockerfile",
    "app/index.html",
    "scripts/push-image.sh",
}


@pytest.mark.covers("R138", "R150")
@pytest.mark.parametrize(
    ("case", "repository", "files"),
    [
        ("default", "fleet", FLEET | PUBLISHING | UPDATING),
        ("default", "infra", RELEASING),
        ("default", "apps", RELEASING | ONBOARDING),
        ("complete", "Fleet", FLEET | PUBLISHING | UPDATING),
        ("complete", "Shop.Deploy", RELEASING | ONBOARDING),
        ("git", "fleet-sre", FLEET),
        ("git", "infra", PROMOTING),
        ("git", "shop-deploy", PROMOTING | ONBOARDING),
        ("unusual", "Qsource", SOURCE),
    ],
)
def test_each_repository_has_what_its_role_and_the_design_ask_for(case: str, repository: str, files: set[str]) -> None:
    assert set(texts_of(case)[repository]) == files


def test_every_role_has_its_folders() -> None:
    cases = (repositories_of(fleet_of(case)).values() for case in FLEETS)
    assert {repository.role for found in cases for repository in found} == PLACES.keys()


DEFAULTS: Final = (
    *(
        "acme",
        "acme-platform",
        "acme-flux-bot",
        "staging",
        "prod-eu",
        "prod-us",
        "qa",
        "frontend",
        "backend",
        "podinfo",
    ),
    *("cert-manager", "monitoring", "example.com"),
)
"""Names of the fleets of this project; none may stand in a template."""


@pytest.mark.parametrize("case", ["unusual", "unusual-git"])
def test_names_come_from_the_model_only(case: str) -> None:
    """A fleet in which everything has another name is not told of ours, nor of a registry that it does not use."""
    for repository, texts in texts_of(case).items():
        for path, text in texts.items():
            for name in DEFAULTS:
                assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{name} in {repository}/{path}"
            assert set(re.findall(r"ghcr\.io/[\w-]+", text)) <= {"ghcr.io/controlplaneio-fluxcd"}, (
                f"{repository}/{path}"
            )


# --- workflows -------------------------------------------------------------------------------------------------------
@each_fleet
def test_actions_are_pinned_by_commit_with_their_version_and_there_are_few(case: str) -> None:
    """Q14. A dependabot can raise them, since the version stands beside the commit."""
    found: dict[str, set[str]] = {}
    for texts in texts_of(case).values():
        for path, text in texts.items():
            for reference in re.findall(r"uses:\s*(.*)", text) if path.startswith(".github/workflows/") else []:
                if not reference.startswith("./"):
                    pinned = re.fullmatch(r"([\w./-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+", reference)
                    assert pinned, f"{path}: {reference}"
                    found.setdefault(pinned[1], set()).add(reference)
    assert all(len(references) == 1 for references in found.values())
    assert found.keys() <= {
        "actions/checkout",
        "actions/create-github-app-token",
        "fluxcd/flux2/action",
        "sigstore/cosign-installer",
    }


def test_our_own_workflow_and_theirs_have_the_same_checkout() -> None:
    def pins(text: str) -> set[str]:
        return set(re.findall(r"actions/checkout@([0-9a-f]{40})", text))

    ours = (ROOT / ".github/workflows/test.yaml").read_text()
    theirs = texts_of("default")["infra"][".github/workflows/validate.yaml"]
    assert pins(ours) == pins(theirs) != set()


@each_fleet
def test_workflows_may_do_nothing_and_their_jobs_only_what_they_need(case: str) -> None:
    for repository, file, content in workflows_of(case):
        assert content["permissions"] == {}, f"{repository}/{file}"
        assert content["concurrency"]["group"], f"{repository}/{file}"
        assert "pull_request_target" not in content["on"]
    for where, job in jobs_of(case):
        assert job["permissions"]["contents"] == "read", where
        assert set(job["permissions"].items()) <= ALLOWED.get(where.split("/")[1], READ), where
        assert "uses" in job or int(job["timeout-minutes"]) <= 60, where
        assert job.get("secrets") != "inherit", where


READ: Final = {("contents", "read")}
WRITE: Final = READ | {("packages", "write")}
SIGN: Final = WRITE | {("id-token", "write")}
ALLOWED: Final = {
    "e2e.yaml: e2e": READ | {("packages", "read")},
    "push-artifact.yaml: e2e": READ | {("packages", "read")},
    "push-artifact.yaml: push": SIGN,
    "push-image.yaml: push": WRITE,
    "release-artifact.yaml: release": SIGN,
    "rollback.yaml: rollback": WRITE,
    "update.yaml: update": READ | {("packages", "read")},
}


@each_fleet
def test_steps_keep_no_credentials_and_run_no_text_that_others_write(case: str) -> None:
    for where, step in steps_of(case):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false", where
        assert "${{" not in step.get("run", ""), f"{where}: an expression is text of the script, give it as a variable"


@each_fleet
@pytest.mark.covers("R20", "R21", "R52", "R53")
def test_every_repository_has_the_check_that_pull_requests_must_pass(case: str) -> None:
    for repository, texts in texts_of(case).items():
        content = content_of(texts[".github/workflows/validate.yaml"])
        assert content["on"]["pull_request"] == "", f"{repository}: all pull requests, to any branch"
        (name,) = content["jobs"]
        assert name == content["jobs"][name]["name"] == CHECK


@each_fleet
def test_what_writes_as_the_bot_runs_in_its_environment_and_nothing_else_does(case: str) -> None:
    for where, job in jobs_of(case):
        uses_bot = "FLUX_BOT" in str(job)
        assert (job.get("environment") == BOT_ENVIRONMENT) == uses_bot, where
    for repository in repositories_of(fleet_of(case)).values():
        texts = texts_of(case)[repository.name]
        acts = any("FLUX_BOT_TOKEN" in text for path, text in texts.items() if path.startswith(".github/workflows/"))
        assert acts == repository.bot_writes, repository.name


def test_chart_updates_are_proposed_in_every_repository_that_has_charts() -> None:
    steps = {step["name"]: step for where, step in steps_of("complete") if "update.yaml" in where and "name" in step}
    assert steps["Propose them"]["run"].split() == [
        *("bash", "scripts/propose.sh", "image-updates", "main", '"Update', "chart", 'versions"'),
        *("Acme-Corp/Platform-Infra", "Acme-Corp/apps.v2", "Acme-Corp/Shop.Deploy"),
    ]


def test_publishing_names_the_environment_that_it_reaches_first() -> None:
    jobs = dict(jobs_of("complete"))
    assert jobs["Platform-Infra/push-artifact.yaml: push"]["environment"] == "qa"
    assert jobs["Platform-Infra/release-artifact.yaml: release"]["environment"] == "production"
    fleet = jobs["Fleet/push-artifact.yaml: push"]["environment"]
    assert fleet == "${{ startsWith(github.ref, 'refs/tags/') && 'production' || 'qa' }}"


@each_fleet
def test_no_secret_is_an_argument(case: str) -> None:
    """Every user of a machine sees arguments of programs."""
    for repository, texts in texts_of(case).items():
        for path, text in texts.items():
            if path.startswith(("scripts/", ".github/workflows/")):
                where = f"{repository}/{path}"
                assert not re.search(r"--(creds|from-literal|docker-password|token|password)[ =]", text), where
                if not path.endswith("bootstrap.sh"):  # whose own functions take names only; it is run elsewhere
                    assert not re.search(r"^[^#\n]*\$\{?\w*(TOKEN|KEY)\b(?!:\?)", _without_input(text), re.MULTILINE), (
                        where
                    )


def _without_input(text: str) -> str:
    """Without what is given on standard input, and without what a workflow puts into variables."""
    return re.sub(r'<<<"\$\w+"', "", re.sub(r"\$\{\{.*?\}\}", "", text))


# --- signatures: what workflows are, and whom clusters trust ---------------------------------------------------------
def triggers(content: Any, kind: str) -> list[str]:
    push = content["on"].get("push") or {}
    return list(push.get(kind, []))


def admits(pattern: str, name: str) -> bool:
    """GitHub's filter patterns as far as they are used: `*` stands for anything but a slash."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), name) is not None


@oci_fleets
@pytest.mark.covers("R76", "R77", "R80", "R88")
def test_clusters_trust_exactly_one_workflow_and_it_runs_for_the_reference_that_they_trust(case: str) -> None:
    fleet = fleet_of(case)
    workflows = {(repository, file): content for repository, file, content in workflows_of(case)}
    for cluster in fleet.clusters:
        releases = fleet.environment_of(cluster).tracks == "releases"
        for repository, tag, subject in trusted_subjects(fleet, cluster):
            kind, name = ("tags", tag) if releases else ("branches", "main")
            ref = f"refs/{'tags' if releases else 'heads'}/{name}"
            address = f"https://github.com/{fleet.owner}/{repository}/.github/workflows"
            here = [file for known, file in workflows if known == repository]
            (trusted,) = (file for file in here if re.search(subject, f"{address}/{file}@{ref}"))
            content = workflows[repository, trusted]
            assert any(admits(pattern, name) for pattern in triggers(content, kind)), f"{repository}/{trusted}: {ref}"


@oci_fleets
def test_only_workflows_that_clusters_trust_can_sign(case: str) -> None:
    for where, job in jobs_of(case):
        signs = job["permissions"].get("id-token") == "write"
        assert signs == where.endswith(("push-artifact.yaml: push", "release-artifact.yaml: release")), where


@oci_fleets
@pytest.mark.covers("R75", "R90")
def test_scripts_publish_where_clusters_look(case: str) -> None:
    fleet, texts = fleet_of(case), texts_of(case)
    for cluster in fleet.clusters:
        url = flux_instance(fleet, cluster)["spec"]["sync"]["url"]
        assert (
            f"\nrepository={url.removeprefix('oci://')}\n"
            in texts[fleet.repositories.fleet]["scripts/push-artifact.sh"]
        )
    for name, repository in repositories_of(fleet).items():
        if repository.automated:
            base = f"{fleet.artifacts}/{name.lower()}"
            assert f"\nartifacts={base}\n" in texts[name]["scripts/push-artifact.sh"]
            assert f"\nrepository={base}/$component " in texts[name]["scripts/rollback.sh"]


def test_a_registry_that_is_not_githubs_has_its_own_credentials() -> None:
    for case, secret in (("default", "${{ github.token }}"), ("unusual", "${{ secrets.REGISTRY_TOKEN }}")):
        tokens = [
            step["env"]["REGISTRY_TOKEN"] for _, step in steps_of(case) if "REGISTRY_TOKEN" in step.get("env", {})
        ]
        assert tokens
        assert set(tokens) == {secret}


# --- README and owners -----------------------------------------------------------------------------------------------
@each_fleet
@pytest.mark.covers("R102", "R162")
def test_the_readme_names_each_token_with_the_least_that_it_must_be_allowed(case: str) -> None:
    fleet = fleet_of(case)
    readme = texts_of(case)[fleet.repositories.fleet]["README.md"]
    rows = [line.split(" | ") for line in readme.splitlines() if line.startswith("| ")]
    for environment in fleet.environments:
        for credential in signing._credentials(fleet, environment):
            (row,) = (
                r for r in rows if environment in r[0].removeprefix("| ").split(", ") and f"`{credential.secret}`" in r
            )
            assert f"`{credential.key}`" in row
            assert f"`{signing.variable(credential)}_" in row[1]
            for name, access in credential.permissions.items():
                assert (name if credential.is_of_a_registry else f"{name}: {access}") in row[5].split(", ")
    assert fleet.bot.name in readme or not fleet.has_bot_account


@each_fleet
def test_the_readme_has_every_cluster_component_and_tenant_with_its_team(case: str) -> None:
    fleet = fleet_of(case)
    readme = texts_of(case)[fleet.repositories.fleet]["README.md"]
    for name, cluster in fleet.clusters.items():
        assert f"| `{name}` | {cluster.environment} | " in readme
    for name in fleet.components:
        assert f"| `{name}` | `{fleet.repositories.infra}/components/{name}` | " in readme
    for name, tenant in fleet.tenants.items():
        assert f"| `{name}` | {tenant.team} | `{fleet.repository_of(tenant)}/components/{name}` | " in readme


@each_fleet
@pytest.mark.covers("R2")
def test_owners_are_teams_that_can_write_and_tenants_own_their_folders(case: str) -> None:
    """GitHub ignores others, and then nobody is asked."""
    fleet = fleet_of(case)
    for repository in repositories_of(fleet).values():
        lines = owners_of(fleet, repository, texts_of(case)[repository.name])
        there = {f"/{path}" for path in files_of(case, repository.name)}
        assert all(pattern == "*" or any(path.startswith(pattern) for path in there) for pattern in lines)
        for teams in lines.values():
            assert teams
            assert all(repository.access[team] in ("push", "maintain", "admin") for team in teams)
        platform = [team for team in repository.access if team in fleet.teams and fleet.teams[team].role == "platform"]
        if platform:
            assert lines["*"] == platform
        if repository.role == "apps":
            for name in repository.workloads:
                if fleet.tenants[name].team in repository.access:
                    assert lines[f"/components/{name}/"] == [fleet.tenants[name].team]


def owners_of(fleet: Fleet, repository: Repository, texts: Texts) -> dict[str, list[str]]:
    found = {}
    for line in texts[".github/CODEOWNERS"].splitlines():
        if not line.startswith("#"):
            pattern, *owners = line.split(" ")
            assert all(owner.startswith(f"@{fleet.owner}/") for owner in owners), repository.name
            found[pattern] = [owner.rpartition("/")[2] for owner in owners]
    return found


def test_a_fleet_with_nothing_but_what_is_required_has_documents_too() -> None:
    fleet = make_fleet()
    for repository in repositories_of(fleet).values():
        assert dict(document_files(fleet, repository))
