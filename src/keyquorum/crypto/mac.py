# SPDX-License-Identifier: Apache-2.0
"""HMAC key specs: HMAC_224, HMAC_256, HMAC_384, HMAC_512. Key material is the raw key.

It refuses truncated MACs: a MAC is good only in its full length. Which algorithm goes with which spec is the caller's
to check.

Source: RFC 2104, FIPS 198-1; AWS KMS Developer Guide, "Key spec reference" and "Requirements for imported key
material". (An example on the page "Encrypt the key material" demands one exact length; the requirements name a range.)
"""

import hmac
import os

from keyquorum.crypto.opened import Opened
from keyquorum.errors import IncorrectKeyMaterialException

#: Key spec -> bytes of generated key material, the shortest that may be imported.
_KEY_BYTES = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
_LONGEST_IMPORT = 128

_HASHES = {"HMAC_SHA_224": "sha224", "HMAC_SHA_256": "sha256", "HMAC_SHA_384": "sha384", "HMAC_SHA_512": "sha512"}


class MacKey(Opened):
    """An HMAC key: ``provider.Mac``."""

    __slots__ = ("_key",)

    def __init__(self, spec: str, key: bytes) -> None:
        super().__init__(spec)
        self._key = key

    def mac(self, algorithm: str, message: bytes) -> bytes:
        """28, 32, 48 or 64 bytes."""
        return hmac.digest(self._key, message, _HASHES[algorithm])

    def verify_mac(self, algorithm: str, message: bytes, mac: bytes) -> bool:
        """Whether ``mac`` is the whole MAC of ``message``, compared in constant time."""
        return hmac.compare_digest(self.mac(algorithm, message), mac)


def generate(spec: str) -> bytes:
    """28, 32, 48 or 64 random bytes, as many as a MAC has."""
    return os.urandom(_KEY_BYTES[spec])


def open_material(spec: str, material: bytes) -> MacKey:
    """Key material of ``generate`` or ``parse_import``."""
    return MacKey(spec, material)


def parse_import(spec: str, plaintext: bytes) -> bytes:
    """Imported key material: raw bytes, from the length of the spec's MAC up to 1024 bits.

    Raises IncorrectKeyMaterialException for any other length.
    """
    if not _KEY_BYTES[spec] <= len(plaintext) <= _LONGEST_IMPORT:
        raise IncorrectKeyMaterialException(detail=f"{len(plaintext)} bytes for {spec}")
    return plaintext
