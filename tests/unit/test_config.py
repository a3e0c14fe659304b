"""fleet.yaml and the stack's configuration: what is accepted, and every fault with its path, problem and hint.

The files of tests/config are the cases, one a rule. An invalid one begins with what is printed about it, as comments;
`…` stands for any text. Names of stack files begin with `stack-`; the fleet that they belong to is complete.yaml
without its alerts, whose secrets every stack would need, or git.yaml where the name begins with `stack-git`.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pulumi import runtime

from fleet import config
from fleet.config import FLEET_FILE, Settings
from fleet.errors import ConfigError

ROOT: Final = Path(__file__).parents[2]
CASES: Final = ROOT / "tests/config"
STACK: Final = "test"
STACK_FILE: Final = f"Pulumi.{STACK}.yaml"
SECRET: Final = '{"token": "hunter2"}'  # noqa: S105
"""What every secret holds but a kubeconfig; it looks like a structure and must never be printed."""


def kubeconfig(name: str) -> str:
    """As it leaves the settings, which take no more than that from one that is complete."""
    entry = {"clusters": "cluster", "contexts": "context", "users": "user"}
    bodies = {
        "clusters": {"server": f"https://{name}.test"},
        "contexts": {"cluster": "c", "user": "c"},
        "users": {"token": "hunter2"},
    }
    sections = {key: [{"name": "admin@eu" if key == "contexts" else "c", entry[key]: bodies[key]}] for key in entry}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "admin@eu"} | sections)


Read = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    settings: Settings
    opened: Mapping[str, tuple[str | None, bool]]
    """Value of each secret and kubeconfig, and whether it is secret."""


def files(kind: str, *, stacks: bool) -> list[Path]:
    return [file for file in sorted((CASES / kind).glob("*.yaml")) if file.stem.startswith("stack-") == stacks]


def each(kind: str, *, stacks: bool) -> pytest.MarkDecorator:
    """One test for each file, named after it."""
    return pytest.mark.parametrize("file", files(kind, stacks=stacks), ids=lambda file: file.stem)


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with the fleet that the test's stack belongs to, and the kubeconfig files that the stacks name."""
    file = request.node.callspec.params.get("file") if hasattr(request.node, "callspec") else None
    other = file.stem.split("-")[1] if file else ""
    case = other if other in ("git", "cloud") else "complete"
    fleet = yaml.safe_load((CASES / f"valid/{case}.yaml").read_text())
    if case == "complete":
        del fleet["alerts"]
    (tmp_path / FLEET_FILE).write_text(yaml.safe_dump(fleet, sort_keys=False))
    (tmp_path / "kubeconfig").write_text(kubeconfig("us"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    return tmp_path


def check(project: Path) -> None:
    """As `make up` does before it starts Pulumi."""
    config.check(project, STACK)


def load(project: Path) -> Loaded:
    """As the program does, with the stack file's values handed over the way that Pulumi's engine does."""
    found = yaml.safe_load((project / STACK_FILE).read_text())["config"] or {}
    secrets = [key for key, value in found.items() if isinstance(value, dict) and set(value) == {"secure"}]
    values = {
        key: SECRET if key in secrets else value if isinstance(value, str) else json.dumps(value)
        for key, value in found.items()
    } | {key: kubeconfig("eu") for key in secrets if key.endswith("Kubeconfig")}

    async def run() -> Loaded:
        runtime.configure(runtime.Settings(project="fleet", stack=STACK))
        runtime.set_all_config(values, secrets)
        settings = config.load(project)
        outputs = dict(settings.secrets) | {f"of {name}": output for name, output in settings.kubeconfigs.items()}
        opened = {name: (await output.future(), await output.is_secret()) for name, output in outputs.items()}
        return Loaded(settings=settings, opened=opened)

    return contextvars.copy_context().run(asyncio.run, run())


def expected(file: Path) -> list[str]:
    """The comments at the top of the file, without their mark."""
    lines = file.read_text().splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    return [line.removeprefix("# ") for line in head]


def faults(read: Callable[[], object]) -> list[str]:
    """What is printed below the title; nothing of it is a secret's value."""
    with pytest.raises(ConfigError) as caught:
        read()
    assert "hunter2" not in str(caught.value)
    return [line.removeprefix("  ") for line in str(caught.value).splitlines()[1:]]


def assert_told(printed: list[str], wanted: list[str]) -> None:
    """Line for line; a wanted line is shown as printed where its `…` fit."""
    patterns = [re.escape(line).replace("…", ".*") for line in wanted]
    fitting = [
        line if re.fullmatch(pattern, line) else want
        for line, pattern, want in zip(printed, patterns, wanted, strict=False)
    ]
    assert printed == fitting + wanted[len(fitting) :]


# --- fleet.yaml ------------------------------------------------------------------------------------------------------
@each("valid", stacks=False)
def test_a_valid_fleet_is_accepted(file: Path) -> None:
    config.load_fleet(file)


@each("invalid", stacks=False)
def test_every_fault_of_a_fleet_is_told_at_once(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / FLEET_FILE
    copy.write_bytes(file.read_bytes())
    assert_told(faults(lambda: config.load_fleet(copy)), expected(file))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        Path.mkdir,
        lambda path: path.write_bytes(b"\xff"),
        lambda path: path.write_text("a: 2024-13-01"),
    ],
)
def test_a_fleet_that_is_no_text_file_is_a_fault(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / FLEET_FILE)
    (printed, *_) = faults(lambda: config.load_fleet(tmp_path / FLEET_FILE))
    assert re.match(r"fleet\.yaml: (the file does not exist|cannot be read: Is a directory|not valid YAML)", printed)


# --- stacks ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("read", [check, load])
@each("valid", stacks=True)
def test_a_valid_stack_is_accepted(file: Path, read: Read, project: Path) -> None:
    (project / STACK_FILE).write_bytes(file.read_bytes())
    read(project)


@each("invalid", stacks=True)
def test_every_fault_of_a_stack_is_told_at_once(file: Path, project: Path) -> None:
    (project / STACK_FILE).write_bytes(file.read_bytes())
    assert_told(faults(lambda: check(project)), expected(file))


NO_CONFIG: Final = {"stack-not-yaml", "stack-not-a-mapping", "stack-config-not-a-mapping"}
"""What Pulumi's engine refuses before the program starts."""


@pytest.mark.parametrize(
    "file", [f for f in files("invalid", stacks=True) if f.stem not in NO_CONFIG], ids=lambda file: file.stem
)
def test_the_program_tells_the_same_faults(file: Path, project: Path) -> None:
    (project / STACK_FILE).write_bytes(file.read_bytes())
    assert_told(faults(lambda: load(project)), expected(file))


@pytest.mark.parametrize("read", [check, load])
def test_faults_of_both_files_are_told_at_once(read: Read, project: Path) -> None:
    """Which secrets are too many is not judged while the fleet that they follow from is faulty."""
    (project / FLEET_FILE).write_bytes((CASES / "invalid/team-unknown.yaml").read_bytes())
    values = "fleet:environment: staging, fleet:clusters: 1, fleet:registryToken: {secure: v1:token}"
    (project / STACK_FILE).write_text(f"config: {{{values}}}")
    assert_told(
        faults(lambda: read(project)),
        [
            *expected(CASES / "invalid/team-unknown.yaml"),
            f"{STACK_FILE}.clusters: a mapping is expected, got `1`",
            "    hint: How each cluster of the environment is made.",
        ],
    )


def test_a_missing_stack_file_names_the_nearest_one_and_hides_no_other_fault(project: Path) -> None:
    (project / "Pulumi.staging.yaml").touch()
    (project / FLEET_FILE).write_text("[]")
    assert_told(
        faults(lambda: config.check(project, "stagin")),
        [
            "fleet.yaml: a mapping is expected at the top level",
            "    hint: start with `design: oci`",
            "Pulumi.stagin.yaml: the file does not exist",
            "    hint: did you mean `staging`?",
        ],
    )


def test_the_stack_of_a_hint_may_have_dots_in_its_name(project: Path) -> None:
    (project / "Pulumi.eu.prod.yaml").write_text("config: {fleet:environment: staging}")
    assert "--stack eu.prod --secret registryToken" in faults(lambda: config.check(project, "eu.prod"))[-1]


# --- what a run works from -------------------------------------------------------------------------------------------
def load_changed(project: Path, **values: Any) -> Loaded:
    """stack-existing.yaml with single values changed."""
    raw = yaml.safe_load((CASES / "valid/stack-existing.yaml").read_text())
    raw["config"] |= {f"fleet:{key}": value for key, value in values.items()}
    raw["config"] = {key: value for key, value in raw["config"].items() if value is not None}
    (project / STACK_FILE).write_text(yaml.safe_dump(raw))
    return load(project)


def test_secrets_and_kubeconfigs_are_secret_outputs(project: Path) -> None:
    assert load_changed(project).opened == {
        "registryToken": (SECRET, True),
        "euKubeconfig": (kubeconfig("eu"), True),
        "of prod-eu": (kubeconfig("eu"), True),
        "of prod-us": (kubeconfig("us"), True),
    }


def test_a_kubeconfig_may_lie_in_the_home_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "config").write_text(kubeconfig("home"))
    monkeypatch.setenv("HOME", str(home))
    files = {"prod-eu": "~/config", "prod-us": "kubeconfig"}
    clusters = {name: {"kind": "existing", "kubeconfig": file} for name, file in files.items()}
    opened = load_changed(project, clusters=clusters, euKubeconfig=None).opened
    assert opened["of prod-eu"] == (kubeconfig("home"), True)


def test_a_broken_kubeconfig_in_a_secret_is_told_with_all_other_faults(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a run, where secrets can be read; `check` cannot."""
    monkeypatch.setattr(sys.modules[__name__], "kubeconfig", lambda name: f"users: {SECRET}: x")
    printed = faults(lambda: load_changed(project, registryToken=None))
    assert [line.partition(": ")[0] for line in printed if not line.startswith(" ")] == [
        f"{STACK_FILE}.registryToken",
        f"{STACK_FILE}.clusters.prod-eu",
    ]


def test_the_stack_replaces_registry_and_manifests_on_every_cluster(project: Path) -> None:
    """Also where a cluster of fleet.yaml has an artifact of its own: the stack says where the run gets it."""
    raw = yaml.safe_load((project / FLEET_FILE).read_text())
    raw["clusters"]["prod-us"]["flux"]["artifact"] = "oci://registry.example.com/of/the-cluster:v1"
    (project / FLEET_FILE).write_text(yaml.safe_dump(raw))
    fleet = load_changed(project).settings.fleet
    assert fleet.artifacts == "mirror.example.com/acme-corp"
    artifacts = {fleet.flux_of(name).artifact for name in fleet.clusters}
    assert artifacts == {"oci://mirror.example.com/fluxcd/manifests:latest"}
    assert fleet.flux_of("prod-us").type == "gcp"


@pytest.mark.parametrize("file", [CASES / "valid/stack-git.yaml"], ids=lambda file: file.stem)
def test_a_stack_of_the_git_design_has_the_keys_of_its_apps_and_may_use_a_mirror(file: Path, project: Path) -> None:
    (project / STACK_FILE).write_bytes(file.read_bytes())
    loaded = load(project)
    assert loaded.opened == dict.fromkeys(("platformAppKey", "tenantsAppKey", "alertAddress"), (SECRET, True))
    apps = {use: (app.id, app.installation) for use, app in loaded.settings.stack.github_apps.items()}
    assert apps == {"platform": (11, 12), "tenants": (21, 22)}
    fleet = loaded.settings.fleet
    assert fleet.repository_url("infra") == "https://mirror.example.com/acme-sre/infra.git"
    given = config.load_fleet(project / FLEET_FILE)
    assert given.github.url == "https://github.example.com"
    assert fleet.github == given.github.model_copy(update={"url": "https://mirror.example.com"})


def test_without_a_word_of_the_stack_the_fleet_stays_as_it_is(project: Path) -> None:
    (project / STACK_FILE).write_bytes((CASES / "valid/stack-kind.yaml").read_bytes())
    assert load(project).settings.fleet == config.load_fleet(project / FLEET_FILE)


@pytest.mark.parametrize("text", ["[not json", "{not json"])
def test_text_that_begins_like_a_structure_stays_text(text: str, project: Path) -> None:
    assert load_changed(project, operatorChart=text).settings.stack.operator_chart == text


# --- the files of this repository ------------------------------------------------------------------------------------
@pytest.mark.parametrize("stack", ["sandbox", "staging", "production"])
def test_the_committed_stacks_lack_only_what_is_no_part_of_a_checkout(stack: str) -> None:
    """Secrets, which nobody commits, and the kubeconfig of the sandbox, which it makes when it starts."""
    for problem in faults(lambda: config.check(ROOT, stack)):
        assert re.search(r"secret `\w+` is not set|`\.sandbox/\S+` cannot be read|^    hint: ", problem)
