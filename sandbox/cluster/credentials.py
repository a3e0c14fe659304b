"""Certificates, keys, tokens and kubeconfig files of one embedded cluster, made fresh for each sandbox.

Called by the supervisor before the first start. The API server takes no anonymous request and no client certificate:
whoever talks to it has a token from a file (0600). Each controller has the identity it would have in a real cluster,
so RBAC, impersonation and admission policies behave as there, without any Secret. etcd takes one client certificate,
the API server's; the key of the CA is never written. Left out on purpose: rotation; `rm -r` of the folder is rotation.
"""

from __future__ import annotations

import base64
import csv
import datetime
import io
import ipaddress
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fleet.names import FLUX_NAMESPACE, OPERATOR
from sandbox.cluster.home import LOOPBACK, ClusterHome, write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as PrivateKey
    from cryptography.x509 import ExtensionType, GeneralName, Name

VALID_FOR: Final = datetime.timedelta(days=3650)
SERVICE_NETWORK: Final = "10.96.0.0/16"
ADMIN: Final = "admin"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the API server takes the bearer of a token for."""

    name: str
    user: str
    groups: tuple[str, ...] = ()


def service_account(namespace: str, name: str) -> Identity:
    """The identity that a pod of this ServiceAccount would have."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return Identity(name=name, user=f"system:serviceaccount:{namespace}:{name}", groups=groups)


IDENTITIES: Final = (
    Identity(name=ADMIN, user="sandbox-admin", groups=("system:masters",)),
    Identity(name="kube-controller-manager", user="system:kube-controller-manager"),
    Identity(name="kube-scheduler", user="system:kube-scheduler"),
    service_account("kube-system", "kwok-controller"),
    service_account(FLUX_NAMESPACE, OPERATOR),
    service_account(FLUX_NAMESPACE, "kustomize-controller"),
    service_account(FLUX_NAMESPACE, "source-controller"),
)


def ensure_credentials(cluster: ClusterHome, *, api_port: int) -> None:
    """Makes what is missing; the tokens come last, so a run that was cut short starts over."""
    tokens = cluster.credentials / "tokens.csv"
    if not tokens.is_file():
        for name, content in _make_certificates().items():
            write_file(cluster.credentials / name, content)
        write_file(tokens, _make_tokens(IDENTITIES))
    authority = (cluster.credentials / "ca.crt").read_bytes()
    for token, user, *_ in csv.reader(tokens.read_text().splitlines()):
        name = next(identity.name for identity in IDENTITIES if identity.user == user)
        kubeconfig = make_kubeconfig(cluster.name, api_port, authority, user, token)
        write_file(cluster.kubeconfig_of(name), json.dumps(kubeconfig, indent=1).encode())


def make_kubeconfig(cluster: str, port: int, authority: bytes, user: str, token: str) -> dict[str, object]:
    """A kubeconfig with everything inside it, so that it can be copied and merged."""
    server = {
        "server": f"https://{LOOPBACK}:{port}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    context = {"name": cluster, "context": {"cluster": cluster, "user": user}}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": server}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [context],
        "current-context": cluster,
    }


def _make_tokens(identities: Sequence[Identity]) -> bytes:
    """Kubernetes' static token file: token, user, uid, groups."""
    text = io.StringIO()
    rows = ((secrets.token_urlsafe(32), i.user, i.user, ",".join(i.groups)) for i in identities)
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _make_certificates() -> Mapping[str, bytes]:
    """File name → PEM. One CA is enough: the API server takes no client certificates, etcd only those it signed."""
    authority = _Authority()
    files = {"ca.crt": authority.pem}
    service = str(ipaddress.ip_network(SERVICE_NETWORK)[1])
    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    for name, hosts, server, client in (
        ("kube-apiserver", (*names, LOOPBACK, service), True, False),
        ("etcd", ("localhost", LOOPBACK), True, True),  # its gRPC gateway is a client of itself
        ("etcd-client", (), False, True),
    ):
        certificate, key = authority.sign(name, hosts, server=server, client=client)
        files |= {f"{name}.crt": certificate, f"{name}.key": key}
    account = _new_key()
    return files | {"service-account.key": _private_pem(account), "service-account.pub": _public_pem(account)}


class _Authority:
    """A CA that lives as long as this object: nobody can sign with it afterwards."""

    def __init__(self) -> None:
        from cryptography import x509

        self._key = _new_key()
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleet-sandbox")])
        ca = x509.BasicConstraints(ca=True, path_length=0)
        self.pem = self._certify(self._name, self._key, [(ca, True), (_key_usage(ca=True), True)])

    def sign(self, name: str, hosts: Sequence[str], *, server: bool, client: bool) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) for `hosts`, names and addresses."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

        purposes = [*([Purpose.SERVER_AUTH] if server else []), *([Purpose.CLIENT_AUTH] if client else [])]
        extensions: list[tuple[ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(ca=False), True),
            (x509.ExtendedKeyUsage(purposes), False),
        ]
        if hosts:
            extensions.append((x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False))
        key = _new_key()
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        return self._certify(subject, key, extensions), _private_pem(key)

    def _certify(self, subject: Name, key: PrivateKey, extensions: Iterable[tuple[ExtensionType, bool]]) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        now = datetime.datetime.now(datetime.UTC)
        # Key identifiers: Python 3.13 refuses chains without them. An hour of grace: clocks of virtual machines jump.
        identifiers = (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        )
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + VALID_FOR)
        for extension, critical in (*extensions, *((identifier, False) for identifier in identifiers)):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(*, ca: bool) -> ExtensionType:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key() -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _private_pem(key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())


def _public_pem(key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    return key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
