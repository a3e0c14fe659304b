"""fleet.yaml and a stack's configuration, read once and checked whole before the first resource exists.

Called by `__main__.py`, by the command line and by the sandbox (`load_fleet`). The only place that reads files, the
environment or `pulumi.Config`. Secrets stay Outputs: they are named here and opened nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run works from."""

    fleet: Fleet
    stack: Stack
    secrets: Mapping[str, pulumi.Output[str]]
    kubeconfigs: Mapping[str, pulumi.Output[str]]
    """Of the clusters that exist already, by name; always secret."""


def load(root: Path) -> Settings:
    """The settings of the stack that Pulumi runs. Raises ConfigError with every fault of both files."""
    import pulumi

    config, source = pulumi.Config(names.PROJECT), f"Pulumi.{pulumi.get_stack()}.yaml"
    problems: list[Problem] = []
    fleet: Fleet | None = None
    stack: Stack | None = None
    try:
        fleet = load_fleet(root / FLEET_FILE)
    except ConfigError as error:
        problems += error.problems
    raw = _stack_values(config)
    try:
        stack = parse_stack(raw, fleet, source)
    except ConfigError as error:
        problems += error.problems
    wanted = (REGISTRY_TOKEN, *(stack.secrets if stack else ()))
    problems += _unknown_keys(wanted if stack else None, source) + _missing_secrets(config, wanted, source)
    files = _kubeconfig_files(stack, root, source, problems) if stack else {}
    if problems or fleet is None or stack is None:
        raise ConfigError(problems)
    secrets = {key: config.require_secret(key) for key in wanted}
    kubeconfigs = {
        name: pulumi.Output.secret(files[name]) if name in files else secrets[str(spec.kubeconfig_secret)]
        for name, spec in _existing(stack)
    }
    return Settings(fleet=with_stack(fleet, stack), stack=stack, secrets=secrets, kubeconfigs=kubeconfigs)


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


def _stack_values(config: pulumi.Config) -> dict[str, Any]:
    """The stack's plain values. Pulumi hands structures over as JSON text and scalars as they are."""
    values: dict[str, Any] = {}
    for field in Stack.model_fields.values():
        text = config.get(str(field.alias))
        if text is not None:
            values[str(field.alias)] = json.loads(text) if text[:1] in ("{", "[") else text
    return values


def _unknown_keys(secrets: tuple[str, ...] | None, source: str) -> list[Problem]:
    """Keys of our namespace that nothing reads; with `secrets` None, any may be one that a faulty part names."""
    from pulumi.runtime import config as runtime

    known = {str(field.alias) for field in Stack.model_fields.values()} | set(secrets or ())
    given = {key for key in (*runtime.CONFIG.get(), *runtime.get_config_env()) if key.startswith(f"{names.PROJECT}:")}
    unknown = sorted(key.partition(":")[2] for key in given if key.partition(":")[2] not in known)
    if secrets is None:
        unknown = [key for key in unknown if not runtime.is_config_secret(f"{names.PROJECT}:{key}")]
    return [Problem(f"{source}.{key}", f"unknown key `{key}`", did_you_mean(key, known)) for key in unknown]


def _missing_secrets(config: pulumi.Config, wanted: tuple[str, ...], source: str) -> list[Problem]:
    from pulumi.runtime import config as runtime

    stack = source.split(".")[1]
    problems = []
    for key in wanted:
        command = f"`pulumi config set --stack {stack} --secret {key}`, the value on standard input"
        if config.get(key) is None:
            problems.append(Problem(f"{source}.{key}", f"secret `{key}` is not set", command))
        elif not runtime.is_config_secret(f"{names.PROJECT}:{key}"):
            problems.append(Problem(f"{source}.{key}", f"secret `{key}` is stored in clear", f"set it again with {command}"))
    return problems


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
