"""fleet.yaml and a stack's configuration, read once and checked whole before the first resource exists.

Called by `__main__.py`, by the command line and by the sandbox (`load_fleet`). The only place that reads files, the
environment or `pulumi.Config`. Secrets stay Outputs: they are named here and opened nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fleet import names
from fleet.errors import ConfigError, Problem, did_you_mean
from fleet.model import ExistingCluster, Fleet, Stack, parse_fleet, parse_stack, with_catalog

if TYPE_CHECKING:
    import pulumi

FLEET_FILE = "fleet.yaml"
REGISTRY_TOKEN = "registryToken"  # noqa: S105 the key's name, not its value
STACK_KEYS = frozenset(str(field.alias) for field in Stack.model_fields.values())


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run works from."""

    fleet: Fleet
    stack: Stack
    secrets: Mapping[str, pulumi.Output[str]]
    kubeconfigs: Mapping[str, pulumi.Output[str]]
    """Of the clusters that exist already, by name; always secret."""


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A stack's configuration as it was found, before any check. Keys are without the project's prefix."""

    source: str
    values: Mapping[str, Any]
    secrets: frozenset[str]
    """Keys whose values are encrypted; `values` need not hold them."""


@dataclass(frozen=True, kw_only=True)
class _Checked:
    fleet: Fleet
    stack: Stack
    secrets: tuple[str, ...]
    kubeconfigs: Mapping[str, str]
    """Text of the kubeconfig files, by cluster."""


def load(root: Path) -> Settings:
    """The settings of the stack that Pulumi runs. Raises ConfigError with every fault of both files."""
    import pulumi

    checked = _check(root, _from_pulumi())
    config = pulumi.Config(names.PROJECT)
    secrets = {key: config.require_secret(key) for key in checked.secrets}
    kubeconfigs = {name: pulumi.Output.secret(text) for name, text in checked.kubeconfigs.items()}
    for name, spec in _existing(checked.stack):
        if spec.kubeconfig_secret:
            kubeconfigs[name] = secrets[spec.kubeconfig_secret]
    fleet = with_stack(checked.fleet, checked.stack)
    return Settings(fleet=fleet, stack=checked.stack, secrets=secrets, kubeconfigs=kubeconfigs)


def check(root: Path, stack: str) -> None:
    """Checks a stack's files without Pulumi. Raises ConfigError with every fault, missing secrets among them."""
    _check(root, _from_file(root / f"Pulumi.{stack}.yaml"))


def read_files(root: Path, stack: str) -> tuple[Fleet, Stack]:
    """What both files of a stack say, without its secrets and kubeconfigs, which the sandbox makes itself.

    Raises ConfigError with every fault.
    """
    fleet, parsed, problems = _parse(root, _from_file(root / f"Pulumi.{stack}.yaml"))
    if problems or fleet is None or parsed is None:
        raise ConfigError(problems)
    return fleet, parsed


def read_stack_values(root: Path, stack: str) -> dict[str, Any]:
    """The stack file's `config` as it is, with full keys."""
    return dict(_read_mapping(root / f"Pulumi.{stack}.yaml").get("config") or {})


def _check(root: Path, given: _Given) -> _Checked:
    fleet, stack, problems = _parse(root, given)
    wanted = (REGISTRY_TOKEN, *(stack.secrets if stack else ()))
    problems += [*_unknown_keys(given, wanted, complete=stack is not None), *_missing_secrets(given, wanted)]
    kubeconfigs = _kubeconfig_files(stack, root, given.source, problems) if stack else {}
    if problems or fleet is None or stack is None:
        raise ConfigError(problems)
    return _Checked(fleet=fleet, stack=stack, secrets=wanted, kubeconfigs=kubeconfigs)


def _parse(root: Path, given: _Given) -> tuple[Fleet | None, Stack | None, list[Problem]]:
    """Both models as far as they can be had, and every fault of either file."""
    problems: list[Problem] = []
    fleet: Fleet | None = None
    stack: Stack | None = None
    try:
        fleet = load_fleet(root / FLEET_FILE)
    except ConfigError as error:
        problems += error.problems
    plain = {key: value for key, value in given.values.items() if key in STACK_KEYS}
    try:
        stack = parse_stack(plain, fleet, given.source)
    except ConfigError as error:
        problems += error.problems
    return fleet, stack, problems


def load_fleet(path: Path) -> Fleet:
    """The fleet of a fleet.yaml, catalog entries filled in. Raises ConfigError."""
    raw = _read_mapping(path)
    return parse_fleet(with_catalog(raw, _catalog(), path.name), path.name)


def with_stack(fleet: Fleet, stack: Stack) -> Fleet:
    """The fleet as this stack sees it: its registry and manifests artifact replaced where the stack says so."""
    changes: dict[str, Any] = {}
    if stack.registry:
        changes["registry"] = stack.registry
    if stack.manifests_artifact:
        changes["flux"] = fleet.flux.model_copy(update={"artifact": stack.manifests_artifact})
    return fleet.model_copy(update=changes)


def _existing(stack: Stack) -> list[tuple[str, ExistingCluster]]:
    return [(name, spec) for name, spec in stack.clusters.items() if isinstance(spec, ExistingCluster)]


def _kubeconfig_files(stack: Stack, root: Path, source: str, problems: list[Problem]) -> dict[str, str]:
    """Text of each kubeconfig that the stack names by file; what cannot be read is added to `problems`."""
    files: dict[str, str] = {}
    for name, spec in _existing(stack):
        if spec.kubeconfig:
            try:
                files[name] = (root / spec.kubeconfig).expanduser().read_text()
            except OSError as error:
                where = f"{source}.clusters.{name}.kubeconfig"
                hint = "give the path of a kubeconfig, relative to the project"
                problems.append(Problem(where, f"`{spec.kubeconfig}` cannot be read: {error.strerror}", hint))
    return files


def _from_pulumi() -> _Given:
    """What Pulumi hands to the program: structures as JSON text, scalars as they are."""
    import pulumi
    from pulumi.runtime import config as runtime

    prefix = f"{names.PROJECT}:"
    found = {**runtime.get_config_env(), **runtime.CONFIG.get()}
    values = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    secrets = frozenset(key for key in values if runtime.is_config_secret(prefix + key))
    plain = {
        key: json.loads(value) if key not in secrets and str(value)[:1] in ("{", "[") else value
        for key, value in values.items()
    }
    return _Given(source=f"Pulumi.{pulumi.get_stack()}.yaml", values=plain, secrets=secrets)


def _from_file(path: Path) -> _Given:
    """What a stack file holds; `{secure: …}` marks a secret."""
    prefix = f"{names.PROJECT}:"
    raw = _read_mapping(path).get("config") or {}
    values = {str(key).removeprefix(prefix): value for key, value in raw.items() if str(key).startswith(prefix)}
    secrets = frozenset(key for key, value in values.items() if isinstance(value, dict) and set(value) == {"secure"})
    return _Given(source=path.name, values=values, secrets=secrets)


def _unknown_keys(given: _Given, wanted: tuple[str, ...], *, complete: bool) -> Iterator[Problem]:
    """Keys that nothing reads. Without a `complete` stack, a secret may be one that a faulty part names."""
    for key in sorted(given.values):
        if key not in STACK_KEYS and key not in wanted and (complete or key not in given.secrets):
            yield Problem(f"{given.source}.{key}", f"unknown key `{key}`", did_you_mean(key, STACK_KEYS | set(wanted)))


def _missing_secrets(given: _Given, wanted: tuple[str, ...]) -> Iterator[Problem]:
    stack = given.source.split(".")[1]
    for key in wanted:
        path, command = f"{given.source}.{key}", f"`pulumi config set --stack {stack} --secret {key}`"
        if key not in given.values:
            yield Problem(path, f"secret `{key}` is not set", f"{command} asks for its value")
        elif key not in given.secrets:
            yield Problem(path, f"secret `{key}` is stored in clear", f"replace the value, then {command}")


def _catalog() -> dict[str, dict[str, Any]]:
    folder = resources.files("fleet") / "catalog"
    return {Path(entry.name).stem: yaml.load(entry.read_bytes(), _Loader) for entry in folder.iterdir()}  # noqa: S506


def _read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping. Raises ConfigError for everything else."""
    try:
        raw = yaml.load(path.read_bytes(), _Loader)  # noqa: S506 a SafeLoader underneath
    except FileNotFoundError:
        raise ConfigError([Problem(path.name, "the file does not exist", "run from the project's folder")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        raise ConfigError([Problem(where, f"not valid YAML: {error.problem}", str(error.context or ""))]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(path.name, f"not valid YAML: {error}")]) from None
    if not isinstance(raw, dict):
        raise ConfigError([Problem(path.name, "a mapping is expected at the top level", "start with `design: oci`")])
    return raw


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """SafeLoader that refuses a key given twice; plain YAML keeps the last one and loses the other in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError("keep one of the two", None, f"key `{key.value}` given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]
