# SPDX-License-Identifier: Apache-2.0
"""XAES-256-GCM: AES-256-GCM under a key derived per message, so that a 192-bit nonce may be drawn at random.

It composes AES and AES-GCM of ``cryptography`` and adds no primitive. It refuses to choose or count nonces: the
caller draws 24 random bytes for each message and never uses a nonce twice under one key. Like AES-GCM it does not
commit to its key.

Source: https://c2sp.org/XAES-256-GCM (NIST SP 800-108r1 counter KDF over CMAC, then NIST SP 800-38D).
"""

from threading import Lock

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
NONCE_SIZE = 24
TAG_SIZE = 16

_BLOCK_MASK = (1 << 128) - 1
# x^128 = x^7 + x^2 + x + 1, the reduction in GF(2^128) of the CMAC subkey (NIST SP 800-38B, section 6.1).
_REDUCTION = 0x87
# What precedes the nonce in the two KDF messages: a 16-bit counter, the label "X" and a zero byte.
_MESSAGE_1 = 0x00015800
_MESSAGE_2 = 0x00025800


class XAES256GCM:
    """One 256-bit key. Safe for use by several threads at once."""

    __slots__ = ("_ecb", "_head_1", "_head_2", "_lock", "_tail")

    def __init__(self, key: bytes) -> None:
        """``key``: 32 bytes; any other length is a ValueError."""
        if len(key) != KEY_SIZE:
            raise ValueError("an XAES-256-GCM key has 32 bytes")
        # ECB over whole blocks is the bare block cipher and carries no state from call to call. It sees only the
        # zero block and two blocks per message that differ in their counter, never a caller's plaintext.
        self._ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - the KDF is built from it
        # A context of `cryptography` entered by a second thread raises RuntimeError ("Already borrowed"); it never
        # mixes data. With 32 bytes it happens not to give up the GIL, but that is no promise. The lock costs
        # 0.15 us; a context for each call would cost 1.8 us.
        self._lock = Lock()
        subkey = int.from_bytes(self._ecb.update(bytes(16)), "big") << 1
        if subkey >> 128:
            subkey ^= _REDUCTION
        subkey &= _BLOCK_MASK
        # The messages differ in their first four bytes and share the nonce, so both heads can be masked in advance.
        self._head_1 = (subkey >> 96 ^ _MESSAGE_1).to_bytes(4, "big")
        self._head_2 = (subkey >> 96 ^ _MESSAGE_2).to_bytes(4, "big")
        self._tail = subkey & (1 << 96) - 1

    def __repr__(self) -> str:
        return "<XAES256GCM>"

    def _derive(self, nonce: bytes) -> AESGCM:
        if len(nonce) != NONCE_SIZE:
            raise ValueError("an XAES-256-GCM nonce has 24 bytes")
        tail = (int.from_bytes(nonce[:12], "big") ^ self._tail).to_bytes(12, "big")
        with self._lock:
            key = self._ecb.update(self._head_1 + tail + self._head_2 + tail)
        return AESGCM(key)

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return ciphertext and 16-byte tag, ``len(plaintext) + 16`` bytes. ``nonce``: 24 bytes, else ValueError."""
        return self._derive(nonce).encrypt(nonce[12:], plaintext, aad)

    def decrypt(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """Return the plaintext; ``cryptography.exceptions.InvalidTag`` if anything differs from what was encrypted."""
        return self._derive(nonce).decrypt(nonce[12:], ciphertext, aad)
