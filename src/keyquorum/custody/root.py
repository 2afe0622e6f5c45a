# SPDX-License-Identifier: Apache-2.0
"""The root key in memory: it wraps keyring keys and derives the keys that authenticate, and leaves sealed only,
but for a server that hands it to its workers."""

import hmac
import os
from multiprocessing.context import get_spawning_popen
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyquorum.crypto.xaes import KEY_SIZE, NONCE_SIZE, XAES256GCM
from keyquorum.custody.seal import IN_USE, Seal
from keyquorum.errors import IntegrityError
from keyquorum.model import SealedRoot

_WRAP: Final = b"keyquorum keyring key"


class RootKey:
    """A 256-bit key. Each use derives its own key first (HKDF-SHA-256, RFC 5869), so that no two uses share one."""

    __slots__ = ("_aead", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead = XAES256GCM(self.derive("wrap keyring keys"))

    def __reduce__(self) -> tuple[type["RootKey"], tuple[bytes]]:
        """For the pipe through which a server hands it to a worker that it starts, and for nothing else."""
        if get_spawning_popen() is None:
            raise TypeError("a root key is not pickled")
        return RootKey, (self._key,)

    @staticmethod
    def generate() -> bytes:
        return os.urandom(KEY_SIZE)

    def derive(self, label: str) -> bytes:
        """A 32-byte key for the purpose that the label names."""
        return HKDF(SHA256(), 32, salt=None, info=b"keyquorum " + label.encode()).derive(self._key)

    def seal_by(self, seal: Seal, role: str = IN_USE) -> SealedRoot:
        """Raises SealError."""
        return seal.seal(self._key, role)

    def is_opened_by(self, seal: Seal, sealed: SealedRoot, role: str = IN_USE) -> bool:
        """Whether the seal gives this key back. Raises SealError."""
        return hmac.compare_digest(self._key, seal.open(sealed, role))

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
