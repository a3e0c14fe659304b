"""Finds every address in what is rendered: of images, charts, artifacts and servers. It knows nothing of mirrors.

Used by test_mirror.py. It works on text, so that no key is forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
HOST: Final = r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?::[0-9]+)?"
TAIL: Final = r"(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?"
ADDRESS: Final = re.compile(
    rf"(?P<url>(?:oci|https?|git|ssh)://[^\s\"'<>`)\]}}|,\\]+)"
    rf"|(?<![\w.@/:-])(?P<bare>{HOST}(?:/{NAME})+{TAIL})"
    # where an image need not have a host, and a host no path
    rf"|(?<![\w.-])(?:FROM|--image|image:|newName:)[ \t]+[\"']?(?P<image>[a-z0-9]{NAME}(?:[:/]{NAME})*{TAIL})"
    rf"|(?<![\w.-])repository:[ \t]+[\"']?(?P<repository>[a-z0-9]{NAME}(?:/{NAME})+{TAIL})"
    rf"|(?<![\w.-])registry:[ \t]+[\"']?(?P<registry>{HOST}(?:/{NAME})*)",
)
MATCHED: Final = re.compile(r"^(\s*)- name: \S+\n(\s*)(?=newName: )", re.MULTILINE)
"""The name by which a rendered image is found that gets another one: nothing is pulled by it."""


NAMES: Final = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "app.kubernetes.io",
        "cert-manager.io",
        "fluxcd.controlplane.io",
        "helm.toolkit.fluxcd.io",
        "image.toolkit.fluxcd.io",
        "ingressclass.kubernetes.io",
        "kubernetes.io",
        "kustomize.config.k8s.io",
        "kustomize.toolkit.fluxcd.io",
        "monitoring.coreos.com",
        "networking.k8s.io",
        "notification.toolkit.fluxcd.io",
        "pod-security.kubernetes.io",
        "policies.kyverno.io",
        "pulumi.com",
        "rancher.io",
        "rbac.authorization.k8s.io",
        "reconcile.fluxcd.io",
        "source.toolkit.fluxcd.io",
        "storage.k8s.io",
        "storageclass.kubernetes.io",
        "toolkit.fluxcd.io",
        "traefik.io",
    }
)
"""First parts of API versions, labels and annotations."""
COMMENT: Final = re.compile(r"^\s*#.*$", re.MULTILINE)


def addresses(text: str) -> Iterator[str]:
    """In the order of the text, with tags and digests, without a scheme of OCI."""
    for found in ADDRESS.finditer(MATCHED.sub(r"\1- ", COMMENT.sub("", text))):
        address = next(filter(None, found.groups())).removeprefix("oci://").rstrip("/.")
        if not address.startswith("$") and address.partition("/")[0] not in NAMES:  # a variable of a script
            yield address
