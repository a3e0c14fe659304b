"""fleet.yaml and a stack's configuration, read once and checked whole before the first resource exists.

Called by `__main__.py`, by the command line and by the sandbox (`load_fleet`). The only place that reads files, the
environment or `pulumi.Config`. Secrets stay Outputs: they are named here and opened nowhere, but for kubeconfigs, of
which one context is taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet import names
from fleet.config.files import FLEET_FILE, catalog, read_mapping
from fleet.config.kubeconfig import read_kubeconfigs
from fleet.errors import ConfigError, Problem, did_you_mean
from fleet.model import (
    Cluster,
    Fleet,
    Flux,
    Stack,
    age_keys,
    credentials_of,
    mirrored,
    parse_fleet,
    parse_stack,
    stack_file,
    with_catalog,
)
from fleet.model.identity import provider_of, stack_identities

if TYPE_CHECKING:
    import pulumi

ALERT_ADDRESS = "alertAddress"
STACK_KEYS = frozenset(str(field.alias) for field in Stack.model_fields.values())


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run works from."""

    fleet: Fleet
    stack: Stack
    secrets: Mapping[str, pulumi.Output[str]]
    kubeconfigs: Mapping[str, pulumi.Output[str]]
    """Of the clusters that exist already, by name: one context each, complete in itself; always secret."""

    def protects(self, cluster: str) -> bool:
        """Whether the removal of a cluster is refused, until the stack says otherwise."""
        chosen = self.stack.clusters[cluster].protect
        return self.fleet.environment_of(cluster).tracks == "releases" if chosen is None else chosen


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A stack's configuration as it was found, before any check. Keys are without the project's prefix."""

    stack: str
    values: Mapping[str, Any]
    secrets: frozenset[str]
    """Keys whose values are encrypted; `values` need not hold them."""
    opened: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Their values, within a run."""

    @property
    def source(self) -> str:
        return stack_file(self.stack)

    def wanted(self, fleet: Fleet | None) -> tuple[str, ...]:
        """Keys of the secrets that are needed: read off the raw values, so that a fault elsewhere hides none."""
        clusters = self.values.get("clusters")
        specs = clusters.values() if isinstance(clusters, dict) else ()
        named = (spec.get("kubeconfigSecret") for spec in specs if isinstance(spec, dict))
        kubeconfigs = [name for name in named if isinstance(name, str)]
        return tuple(dict.fromkeys([*secrets_of(fleet, self.values.get("environment"), self.stack), *kubeconfigs]))


def secrets_of(fleet: Fleet | None, environment: object, stack: str) -> Iterator[str]:
    """Keys of the secrets that follow from the fleet; none while it is not known which they are."""
    if fleet is None or str(environment) not in fleet.environments:
        return
    yield from (credential.key for credential in credentials_of(fleet, str(environment), stack))
    yield from age_keys(fleet, str(environment)).values()
    if fleet.alerts.chat and environment not in fleet.updating:
        yield ALERT_ADDRESS


@dataclass(frozen=True, kw_only=True)
class _Checked:
    fleet: Fleet
    """As the stack sees it."""
    stack: Stack
    secrets: tuple[str, ...]
    kubeconfigs: Mapping[str, str]
    """Of the clusters that exist already, by name; of those in secrets, only where their values are at hand."""


def process_environment() -> Mapping[str, str]:
    """For what a provider would take from it instead of the configuration."""
    return os.environ


def load(root: Path) -> Settings:
    """The settings of the stack that Pulumi runs. Raises ConfigError with every fault of both files."""
    import pulumi

    checked = _check(root, _from_pulumi)
    config = pulumi.Config(names.PROJECT)
    secrets = {key: config.require_secret(key) for key in checked.secrets}
    kubeconfigs = {name: pulumi.Output.secret(text) for name, text in checked.kubeconfigs.items()}
    return Settings(fleet=checked.fleet, stack=checked.stack, secrets=secrets, kubeconfigs=kubeconfigs)


def check(root: Path, stack: str) -> None:
    """Checks a stack's files without Pulumi. Raises ConfigError with every fault, missing secrets among them."""
    _check(root, lambda: _from_file(root, stack))


def read_files(root: Path, stack: str) -> tuple[Fleet, Stack]:
    """What both files of a stack say, without its secrets and kubeconfigs, which the sandbox makes itself.

    Raises ConfigError with every fault.
    """
    problems: list[Problem] = []
    fleet, _, parsed = _parse(root, lambda: _from_file(root, stack), problems)
    if problems or fleet is None or parsed is None:
        raise ConfigError(problems)
    return fleet, parsed


def read_stack_values(root: Path, stack: str) -> dict[str, Any]:
    """The stack file's `config` as it is, with full keys. Raises ConfigError."""
    path = root / stack_file(stack)
    if not path.exists():
        known = [file.stem.removeprefix("Pulumi.") for file in root.glob("Pulumi.*.yaml")]
        raise ConfigError([Problem(path.name, "the file does not exist", did_you_mean(stack, known))])
    values = read_mapping(path).get("config") or {}
    if not isinstance(values, dict):
        raise ConfigError([Problem(f"{path.name}.config", "a mapping is expected")])
    return {str(key): value for key, value in values.items()}


@contextmanager
def _collect(problems: list[Problem]) -> Iterator[None]:
    """Adds the problems of a ConfigError to the others; what comes after is checked all the same."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def _check(root: Path, read: Callable[[], _Given]) -> _Checked:
    problems: list[Problem] = []
    fleet, given, stack = _parse(root, read, problems)
    fleet = with_stack(fleet, stack) if fleet and stack else fleet
    if given:
        wanted = given.wanted(fleet)
        problems += [*_unknown_keys(given, wanted, fleet), *_missing_secrets(given, wanted)]
        problems += stack_identities(stack, fleet, given.stack) if stack and fleet else ()
    kubeconfigs: Mapping[str, str] = {}
    if stack and given:
        kubeconfigs, faults = read_kubeconfigs(stack, root, process_environment(), given.opened, given.source)
        problems += faults
    if problems or fleet is None or given is None or stack is None:
        raise ConfigError(problems)
    return _Checked(fleet=fleet, stack=stack, secrets=given.wanted(fleet), kubeconfigs=kubeconfigs)


def _parse(
    root: Path, read: Callable[[], _Given], problems: list[Problem]
) -> tuple[Fleet | None, _Given | None, Stack | None]:
    """Both models, and what the stack gives, as far as they can be had; adds every fault to `problems`."""
    fleet: Fleet | None = None
    given: _Given | None = None
    stack: Stack | None = None
    with _collect(problems):
        fleet = load_fleet(root / FLEET_FILE)
    with _collect(problems):
        given = read()
    if given is not None:
        sealed = list(_needless_secrets(given))
        problems += sealed
        plain = {key: value for key, value in given.values.items() if key in STACK_KEYS - given.secrets}
        faults: list[Problem] = []
        with _collect(faults):
            stack = parse_stack(plain, fleet, given.stack)
        problems += [fault for fault in faults if fault.path not in {problem.path for problem in sealed}]
    return fleet, given, stack


def load_fleet(path: Path) -> Fleet:
    """The fleet of a fleet.yaml as its clusters see it. Raises ConfigError with every fault."""
    return mirrored(load_upstream(path))


def load_upstream(path: Path) -> Fleet:
    """The fleet of a fleet.yaml, catalog entries filled in, with the addresses outside of what a mirror has.

    Raises ConfigError with every fault.
    """
    raw, problems = with_catalog(read_mapping(path), catalog(), path.name)
    fleet: Fleet | None = None
    with _collect(problems):
        fleet = parse_fleet(raw, path.name)
    if problems or fleet is None:
        raise ConfigError(problems)
    return fleet


def with_stack(fleet: Fleet, stack: Stack) -> Fleet:
    """The fleet as this stack sees it: addresses replaced where the stack says so. What tenants may pull from stays
    allowed, as their manifests may name it. A registry that no cloud knows is signed in to with a token."""
    changes: dict[str, Any] = {}
    flux: dict[str, Any] = {}
    if stack.registry or stack.git_url:
        changes["sources"] = tuple(dict.fromkeys([*fleet.sources, *fleet.own_sources]))
    if stack.registry:
        changes["registry"] = stack.registry
        if provider_of(stack.registry) is None:
            flux["registry_provider"] = "generic"
    if stack.git_url:
        changes["github"] = fleet.github.model_copy(update={"url": stack.git_url})
    if stack.manifests_artifact:
        flux["artifact"] = stack.manifests_artifact
    if flux:
        changes["flux"] = fleet.flux.model_copy(update=flux)
        changes["clusters"] = {name: _without(cluster, flux) for name, cluster in fleet.clusters.items()}
    return fleet.model_copy(update=changes)


def _without(cluster: Cluster, fields: Iterable[str]) -> Cluster:
    """With these keys of `flux` as the fleet has them."""
    aliases = {str(Flux.model_fields[name].alias) for name in fields}
    own = {key: value for key, value in cluster.flux.items() if key not in aliases}
    return cluster.model_copy(update={"flux": own})


def _from_pulumi() -> _Given:
    """What Pulumi hands to the program: structures as JSON text, scalars as they are."""
    import pulumi
    from pulumi.runtime import config as runtime

    prefix = f"{names.PROJECT}:"
    found = {**runtime.get_config_env(), **runtime.CONFIG.get()}
    values = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    secrets = frozenset(key for key in values if runtime.is_config_secret(prefix + key))
    plain = {key: value if key in secrets else _decoded(value) for key, value in values.items()}
    opened = {key: values[key] for key in secrets}
    return _Given(stack=pulumi.get_stack(), values=plain, secrets=secrets, opened=opened)


def _decoded(value: Any) -> Any:
    if str(value)[:1] in ("{", "["):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _from_file(root: Path, stack: str) -> _Given:
    """What a stack file holds; `{secure: …}` marks a secret."""
    prefix = f"{names.PROJECT}:"
    found = read_stack_values(root, stack)
    values = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    secrets = frozenset(k for k, v in values.items() if isinstance(v, dict) and set(v) == {"secure"})
    return _Given(stack=stack, values=values, secrets=secrets)


def _unknown_keys(given: _Given, wanted: Iterable[str], fleet: Fleet | None) -> Iterator[Problem]:
    """As long as the environment is not known, nobody knows which secrets are too many."""
    known = STACK_KEYS | set(wanted)
    decided = fleet is not None and str(given.values.get("environment")) in fleet.environments
    for key in sorted(given.values.keys() - known - (set() if decided else given.secrets)):
        yield Problem(f"{given.source}.{key}", f"unknown key `{key}`", did_you_mean(key, known))


def _needless_secrets(given: _Given) -> Iterator[Problem]:
    """What is read as plain text but stored as a secret; it is not looked into, or a fault would print it."""
    for key in sorted(given.secrets & STACK_KEYS):
        hint = f"`pulumi config rm --stack {given.stack} {key}`, then set it without `--secret`"
        yield Problem(f"{given.source}.{key}", f"`{key}` is no secret, but stored as one", hint)


def _missing_secrets(given: _Given, wanted: Iterable[str]) -> Iterator[Problem]:
    for key in wanted:
        path, command = f"{given.source}.{key}", f"`pulumi config set --stack {given.stack} --secret {key}`"
        if key not in given.values:
            yield Problem(path, f"secret `{key}` is not set", f"{command} asks for its value")
        elif key not in given.secrets:
            yield Problem(path, f"secret `{key}` is stored in clear", f"replace the value, then {command}")
