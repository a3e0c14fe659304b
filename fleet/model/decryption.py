"""Secrets that lie encrypted in Git: what opens them on a cluster, and for whom they are encrypted.

SOPS encrypts, kustomize-controller decrypts. With age, each component or tenant has a key of its own, in its namespace
only: a tenant is admin there, and must not be able to open what others encrypted. With the key service of a cloud, the
account of the namespace is what may use the key (`flux.objectLevelWorkloadIdentity`).
Sources: the forms of identities are those that fluxcd/pkg `auth` accepts, those of recipients are SOPS'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from fleet.model.base import Model

if TYPE_CHECKING:
    from fleet.model.fleet import Fleet
    from fleet.model.tenant import Workload

AGE_KEY: Final = "ageKey-"
"""Start of the key of a stack's configuration that holds an age key; the component's or tenant's name follows."""
UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
IDENTITIES: Final[Mapping[str, tuple[str, str]]] = {
    "aws": (r"arn:aws[\w-]*:iam::[0-9]+:role/\S+", "the ARN of an IAM role"),
    "azure": (f"{UUID}/{UUID}", "`<tenant ID>/<client ID>` of a managed identity"),
    "gcp": (r"[a-zA-Z0-9-]+@[a-zA-Z0-9-]+\.iam\.gserviceaccount\.com", "the address of a Google service account"),
}
"""Form of an identity, by provider; and in words."""
RECIPIENTS: Final[Mapping[str, str]] = {
    "age": r"age1[0-9a-z]+",
    "aws": r"arn:aws[\w-]*:kms:[^\s,]+",
    "azure": r"https://[^\s,/]+/keys/[^\s,]+",
    "gcp": r"projects/[^\s,/]+/locations/[^\s,/]+/keyRings/[^\s,/]+/cryptoKeys/[^\s,]+",
}
"""Form of a recipient, by provider."""


def recipient_kind(recipient: str) -> str | None:
    """The provider that opens what is encrypted for it."""
    return next((kind for kind, form in RECIPIENTS.items() if re.fullmatch(form, recipient)), None)


def _check_recipient(recipient: str) -> str:
    if recipient_kind(recipient) is None:
        raise ValueError("neither a public key of age nor a key of AWS KMS, Azure Key Vault or Google Cloud KMS")
    return recipient


class Decryption(Model):
    """What opens a workload's encrypted files on its clusters."""

    provider: Literal["age", "aws", "azure", "gcp"]
    """`age`: a key that the stacks hold as secret `ageKey-<name>`. A cloud: its key service."""
    identity: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    """Whom the cloud takes account `flux` of the namespace for: AWS role ARN, Azure `<tenant ID>/<client ID>`, Google
    service account. It may hold `${VARIABLE}`s of the cluster."""
    recipients: tuple[Annotated[str, AfterValidator(_check_recipient)], ...] = ()
    """Keys that files are encrypted for: they become a rule of `.sops.yaml`. More than one is allowed, of any kind."""

    @model_validator(mode="after")
    def _fit(self) -> Decryption:
        if self.identity and self.provider == "age":
            raise ValueError("`identity` is for the key service of a cloud; age needs none")
        if self.identity:
            form, words = IDENTITIES[self.provider]
            if "${" in self.identity:
                form = "[^/]+/[^/]+" if self.provider == "azure" else r"\S+"
            if not re.fullmatch(form, self.identity):
                raise ValueError(f"`identity` is not {words}")
        if self.recipients and self.provider not in map(recipient_kind, self.recipients):
            raise ValueError(f"no `recipients` of `{self.provider}` are among them, so that no cluster could decrypt")
        return self


def decrypting(fleet: Fleet, environment: str) -> dict[str, tuple[Workload, Decryption]]:
    """Components and tenants of an environment that have encrypted files, by name."""
    workloads: dict[str, Workload] = {**fleet.components, **fleet.tenants}
    return {
        name: (workload, workload.decryption)
        for name, workload in workloads.items()
        if workload.decryption and environment in fleet.overlays_of(workload)
    }


def age_keys(fleet: Fleet, environment: str) -> dict[str, str]:
    """Keys of a stack's configuration that hold age keys, by the component or tenant whose files they open."""
    found = decrypting(fleet, environment).items()
    return {name: f"{AGE_KEY}{name}" for name, (_, decryption) in found if decryption.provider == "age"}
