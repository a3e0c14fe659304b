"""What clusters sign in and decrypt with, as `bootstrap.sh` and the READMEs tell it. Called by `documents`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fleet.manifests.decryption import age_secret_name
from fleet.model import Credential, Fleet, age_keys, credentials_of, credentials_on
from fleet.model.identity import azure_identities

T = TypeVar("T")


def access_values(fleet: Fleet) -> dict[str, Any]:
    """What templates may use of it."""
    held = _held_by_clusters(fleet)
    return {
        "held_by_clusters": held,
        "azure_accounts": any(each.accounts for _, each in held),
        "registry_token": any(fleet.pulls_by_token(cluster) for cluster in fleet.clusters),
        "tokens": _tokens(fleet),
        "age_keys": _age_keys(fleet),
        "admin": _admin(fleet),
        "variable": variable,
        "age_variable": age_variable,
        "age_secret_name": age_secret_name,
        "allowed": _allowed,
    }


def variable(credential: Credential) -> str:
    """Start of the names of the variables and Actions secrets that hold a credential."""
    return "FLUX_BOT" if credential.name == "update" else f"FLUX_{credential.name.upper()}"


def age_variable(workload: str) -> str:
    """The variable that holds the key of a component or tenant."""
    return f"FLUX_AGE_KEY_{workload.upper().replace('-', '_')}"


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What bootstrap puts on a cluster, besides Flux."""

    credentials: tuple[Credential, ...]
    age_keys: tuple[str, ...]
    """Components and tenants whose files they open."""
    accounts: Mapping[str, str]
    """Variable with the client ID, by controller."""


def _held_by_clusters(fleet: Fleet) -> list[tuple[list[str], _Held]]:
    """Clusters that hold the same, together."""
    found: list[tuple[list[str], _Held]] = []
    for cluster, own in fleet.clusters.items():
        held = _Held(
            credentials=credentials_on(fleet, cluster),
            age_keys=tuple(age_keys(fleet, own.environment)),
            accounts=azure_identities(fleet, cluster),
        )
        _together(found, cluster, held)
    return found


def _together(found: list[tuple[list[str], T]], name: str, value: T) -> None:
    """Adds a name to those that have the same value."""
    same = next((names for names, known in found if known == value), None)
    if same is None:
        found.append(([name], value))
    else:
        same.append(name)


def _age_keys(fleet: Fleet) -> list[tuple[list[str], str]]:
    """Each component or tenant that has a key of age, with its environments."""
    found: list[tuple[list[str], str]] = []
    for environment in fleet.environments:
        for workload in age_keys(fleet, environment):
            _together(found, environment, workload)
    return found


def _credentials(fleet: Fleet, environment: str) -> tuple[Credential, ...]:
    """Those on the clusters of an environment: no stack has the empty name, so none is said to make repositories."""
    return tuple(credential for credential in credentials_of(fleet, environment, stack="") if credential.secret)


def _tokens(fleet: Fleet) -> list[tuple[list[str], Credential]]:
    """Each credential with the environments that need it."""
    found: list[tuple[list[str], Credential]] = []
    for environment in fleet.environments:
        for credential in _credentials(fleet, environment):
            _together(found, environment, credential)
    return found


def _admin(fleet: Fleet) -> Credential | None:
    """What makes the repositories; its stack may be of any environment, and only the way to sign in depends on that."""
    stack, environment = fleet.github.stack, next(iter(fleet.environments))
    return credentials_of(fleet, environment, stack)[0] if stack else None


def _allowed(credential: Credential) -> str:
    """The permissions in words."""
    scopes = credential.is_of_a_registry
    return ", ".join(name if scopes else f"{name}: {access}" for name, access in credential.permissions.items())
