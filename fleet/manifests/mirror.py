"""What objects need to pull from a mirror: how they sign in, what they trust, and the copy's name of each image.

Addresses are none of its business: `fleet.model.mirroring` has replaced them. Without a mirror all of this is nothing.
"""

from __future__ import annotations

from fleet import names
from fleet.manifests.dump import dump
from fleet.manifests.objects import copied, flux_system, metadata
from fleet.model import Fleet, Release
from fleet.model.base import Manifest
from fleet.model.mirror import bare

TRUST_FOLDER = "/etc/mirror-trust"
CA = "ca.crt"
TRUSTED_ROOT = "trusted_root.json"
SECRET_TYPE = "kubernetes.io/dockerconfigjson"  # noqa: S105 a type of Secret


def signs_in(fleet: Fleet) -> bool:
    return fleet.mirror is not None and fleet.mirror.user is not None


def trust(fleet: Fleet) -> Manifest:
    """Of a source or ImageRepository, at whatever address: the authority is trusted besides the public ones."""
    return {"certSecretRef": {"name": names.TRUST_SECRET}} if fleet.mirror and fleet.mirror.ca else {}


def access(fleet: Fleet, address: str) -> Manifest:
    """Of a source or ImageRepository at an address: how it signs in, and whom it trusts."""
    known = signs_in(fleet) and fleet.mirror is not None and fleet.mirror.serves(address)
    return ({"secretRef": {"name": names.MIRROR_SECRET}} if known else {}) | trust(fleet)


def mirror_secrets(fleet: Fleet, namespace: str) -> list[Manifest]:
    """Copies for the sources and pods of a namespace."""
    found = [copied("Secret", names.MIRROR_SECRET, namespace, type=SECRET_TYPE)] if signs_in(fleet) else []
    return [*found, *([copied("Secret", names.TRUST_SECRET, namespace)] if _has_trust(fleet) else [])]


def default_account(fleet: Fleet, namespace: str) -> list[Manifest]:
    """The account of pods that name none, such as those that a controller makes for an object of a tenant."""
    if not signs_in(fleet):
        return []
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default", namespace)}
    return [account | {"imagePullSecrets": [{"name": names.MIRROR_SECRET}]}]


def trust_secret(fleet: Fleet) -> Manifest | None:
    """What is in it is public; it is a Secret since Flux reads it from one."""
    if fleet.mirror is None or not fleet.mirror.has_trust:
        return None
    text = {CA: fleet.mirror.ca, TRUSTED_ROOT: fleet.mirror.trusted_root}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": flux_system(names.TRUST_SECRET, labels={names.LABEL_WATCH: "Enabled"}),
        "stringData": {key: value for key, value in text.items() if value},
    }


def rewriting(fleet: Fleet, release: Release) -> Manifest:
    """Of a HelmRelease: what its chart renders, hooks too, names the copies and signs in. Pods that operators make of
    custom resources are not rendered: values name their images, and accounts of the chart sign them in."""
    pulled = {bare(image): fleet.pulled_from(bare(image)) for image in release.images or ()}
    images = [{"name": name, "newName": copy} for name, copy in pulled.items() if copy != name]
    patch = [{"op": "add", "path": "/imagePullSecrets", "value": [{"name": names.MIRROR_SECRET}]}]
    patches = [{"target": {"kind": "ServiceAccount"}, "patch": dump(patch).decode()}] if signs_in(fleet) else []
    steps = {"patches": patches, "images": images}
    kustomize = {key: value for key, value in steps.items() if value}
    return {"postRenderers": [{"kustomize": kustomize}]} if kustomize else {}


def operator_pod(fleet: Fleet) -> Manifest:
    """Values of the operator's chart: its image, and the authority, which Go reads from a folder besides its own."""
    values: Manifest = {}
    if fleet.operator.image != names.OPERATOR_IMAGE:
        values["image"] = {"repository": fleet.operator.image}
    if signs_in(fleet):
        values.setdefault("image", {})["pullSecrets"] = [{"name": names.MIRROR_SECRET}]
    if fleet.mirror and fleet.mirror.ca:
        name = names.TRUST_SECRET
        secret = {"secretName": name, "items": [{"key": CA, "path": CA}]}
        values["extraVolumes"] = [{"name": name, "secret": secret}]
        values["extraVolumeMounts"] = [{"name": name, "mountPath": TRUST_FOLDER, "readOnly": True}]
        values["extraEnvs"] = [{"name": "SSL_CERT_DIR", "value": f"/etc/ssl/certs:{TRUST_FOLDER}"}]
    return values


def _has_trust(fleet: Fleet) -> bool:
    return fleet.mirror is not None and fleet.mirror.has_trust
