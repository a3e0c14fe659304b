"""`.sops.yaml`: for whom SOPS encrypts what lies in the folder of a component or tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fleet.manifests.trees.overlay import Files
from fleet.manifests.trees.workloads import folder_of
from fleet.model import Decryption, Workload
from fleet.model.base import Manifest
from fleet.model.decryption import recipient_kind

KEYS: Final[Mapping[str, str]] = {"age": "age", "aws": "kms", "azure": "azure_keyvault", "gcp": "gcp_kms"}
"""Keys of a creation rule, by the provider of a recipient."""


def sops_file(workloads: Mapping[str, Workload]) -> Files:
    """A rule for each that says its recipients. Values of Secrets only: kustomize and people must read the rest."""
    rules = [
        {"path_regex": f"^{folder_of(name)}/", "encrypted_regex": "^(data|stringData)$"}
        | _recipients(workload.decryption)
        for name, workload in workloads.items()
        if workload.decryption and workload.decryption.recipients
    ]
    if rules:
        yield ".sops.yaml", {"creation_rules": rules}


def _recipients(decryption: Decryption) -> Manifest:
    found: dict[str, list[str]] = {}
    for recipient in decryption.recipients:
        found.setdefault(KEYS[str(recipient_kind(recipient))], []).append(recipient)
    return {key: ",".join(recipients) for key, recipients in found.items()}
