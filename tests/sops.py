"""Encrypts a Secret's values as SOPS does, for one recipient of age. Flux, which is real in the tests, opens them.

Sources: age-encryption.org/v1, and the formats of getsops/sops (aes/cipher.go, stores/stores.go).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sandbox.age import PREFIX, bech32

NOW: Final = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Identity:
    """A pair of keys, in the forms of age."""

    private: X25519PrivateKey

    @classmethod
    def make(cls) -> Identity:
        return cls(X25519PrivateKey.generate())

    @property
    def key(self) -> str:
        return bech32(PREFIX, self.private.private_bytes_raw()).upper()

    @property
    def recipient(self) -> str:
        return bech32("age", self.private.public_key().public_bytes_raw())


def encrypted_secret(name: str, values: Mapping[str, str], identity: Identity) -> dict[str, Any]:
    """A Secret whose values only `identity` opens; names stay readable."""
    key = os.urandom(32)
    everything = "".join(["v1", "Secret", name, *values.values()])
    digest = hashlib.sha512(everything.encode()).hexdigest().upper()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {field: _sealed(key, value, f"stringData:{field}:") for field, value in values.items()},
        "sops": {
            "age": [{"recipient": identity.recipient, "enc": _armored(_for_recipient(key, identity))}],
            "lastmodified": NOW,
            "mac": _sealed(key, digest, NOW),
            "encrypted_regex": "^(data|stringData)$",
            "version": "3.13.2",
        },
    }


def _sealed(key: bytes, value: str, path: str) -> str:
    nonce = os.urandom(32)
    sealed = AESGCM(key).encrypt(nonce, value.encode(), path.encode())
    data, iv, tag = (base64.b64encode(part).decode() for part in (sealed[:-16], nonce, sealed[-16:]))
    return f"ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:str]"


def _for_recipient(content: bytes, identity: Identity) -> bytes:
    """An age file of one chunk."""
    file_key, nonce, once = os.urandom(16), os.urandom(16), X25519PrivateKey.generate()
    recipient, share = identity.private.public_key().public_bytes_raw(), once.public_key().public_bytes_raw()
    shared = once.exchange(X25519PublicKey.from_public_bytes(recipient))
    wrap = _derived(shared, share + recipient, b"age-encryption.org/v1/X25519")
    stanza = ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None)
    header = f"age-encryption.org/v1\n-> X25519 {_b64(share)}\n{_b64(stanza)}\n---".encode()
    mac = hmac.digest(_derived(file_key, b"", b"header"), header, "sha256")
    last_chunk = bytes(11) + b"\x01"
    body = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")).encrypt(last_chunk, content, None)
    return header + f" {_b64(mac)}\n".encode() + nonce + body


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=purpose).derive(secret)


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


def _armored(file: bytes) -> str:
    text = base64.b64encode(file).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----", ""])
