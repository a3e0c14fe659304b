"""Keys of age for the sandbox, whose files nobody has encrypted: Flux refuses a key that is none.

Called by `sandbox.up`. Source of the forms: age-encryption.org/v1 and BIP 173 (Bech32).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
PREFIX: Final = "age-secret-key-"


def make_key() -> str:
    """A new identity, in the form that `age-keygen` writes."""
    return bech32(PREFIX, secrets.token_bytes(32)).upper()


def bech32(prefix: str, content: bytes) -> str:
    """`content` in words of five bits, and a checksum that covers the prefix."""
    bits = "".join(f"{byte:08b}" for byte in content)
    words = [int(bits[start : start + 5].ljust(5, "0"), 2) for start in range(0, len(bits), 5)]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    rest = _checksum([*expanded, *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [rest >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1{''.join(ALPHABET[word] for word in words)}"


def _checksum(words: Iterable[int]) -> int:
    found = 1
    for word in words:
        top = found >> 25
        found = (found & 0x1FFFFFF) << 5 ^ word
        for place, value in enumerate(GENERATOR):
            found ^= value if top >> place & 1 else 0
    return found
