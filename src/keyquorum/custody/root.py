# SPDX-License-Identifier: Apache-2.0
"""The root key in memory: it wraps keyring keys and derives the keys that authenticate, and never leaves."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyquorum.crypto.xaes import KEY_SIZE, NONCE_SIZE, XAES256GCM
from keyquorum.errors import IntegrityError

_WRAP: Final = b"keyquorum keyring key"


class RootKey:
    """A 256-bit key. Each use derives its own key first (HKDF-SHA-256, RFC 5869), so that no two uses share one."""

    __slots__ = ("_aead", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead = XAES256GCM(self.derive("wrap keyring keys"))

    @staticmethod
    def generate() -> bytes:
        return os.urandom(KEY_SIZE)

    def derive(self, label: str) -> bytes:
        """A 32-byte key for the purpose that the label names."""
        return HKDF(SHA256(), 32, salt=None, info=b"keyquorum " + label.encode()).derive(self._key)

    def wrap_keyring_key(self, version: int, key: bytes) -> bytes:
        """Nonce, ciphertext and tag; bound to the version."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, key, _WRAP + version.to_bytes(4, "big"))

    def unwrap_keyring_key(self, version: int, wrapped: bytes) -> bytes:
        """Raises IntegrityError if this is not what was wrapped under this version."""
        try:
            return self._aead.decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], _WRAP + version.to_bytes(4, "big"))
        except (InvalidTag, ValueError) as error:
            raise IntegrityError(f"keyring key {version} does not open under the root key") from error
