"""`python -m fleet tokens --stack NAME`: what a stack needs to sign in, and the least that each must be allowed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from fleet.config import ALERT_ADDRESS, read_files, secrets_of
from fleet.manifests.decryption import age_secret_name
from fleet.model import Credential, Fleet, age_keys, credentials_of


def tokens(options: Namespace) -> int:
    """Needs no cluster, no network and none of the credentials."""
    fleet, stack = read_files(options.root, options.stack)
    if not any(secrets_of(fleet, stack.environment, options.stack)):
        print(f"Stack `{options.stack}` needs no secrets")
        return 0
    print(f"Stack `{options.stack}` needs these secrets; each is set with\n")
    print(f"  pulumi config set --stack {options.stack} --secret NAME\n")
    for credential in credentials_of(fleet, stack.environment, options.stack):
        print("\n".join(_lines(fleet, credential)), end="\n\n")
    for workload, key in age_keys(fleet, stack.environment).items():
        print(f"{key}\n  Flux opens the encrypted files of {workload}; a key of age, as `age-keygen` writes it")
        print(f"  on clusters   Secret flux-system/{age_secret_name(workload)}, copied to namespace {workload}\n")
    if ALERT_ADDRESS in secrets_of(fleet, stack.environment, options.stack):
        print(f"{ALERT_ADDRESS}\n  Flux tells the chat; the address of its webhook\n")
    return 0


def _lines(fleet: Fleet, credential: Credential) -> Iterator[str]:
    yield credential.key
    yield f"  {credential.purpose}"
    yield f"  kind          {_kind(credential)}"
    yield f"  permissions   {', '.join(_permissions(credential))}"
    yield f"  reaches       {', '.join(credential.repositories) or f'the organisation {fleet.owner}'}"
    if credential.secret:
        yield f"  on clusters   Secret flux-system/{credential.secret}"


def _kind(credential: Credential) -> str:
    if credential.auth == "app":
        return "private key (PEM) of a GitHub App"
    if credential.is_of_a_registry:
        return "personal access token (classic)" if credential.name == "registry" else "password or token"
    return "fine-grained personal access token"


def _permissions(credential: Credential) -> Iterator[str]:
    if credential.is_of_a_registry:
        yield from credential.permissions
    else:
        yield from (f"{name}: {access}" for name, access in credential.permissions.items())
