# SPDX-License-Identifier: Apache-2.0
"""A long message in chunks, each of which opens by itself and in its own place alone: STREAM over XAES-256-GCM.

A chunk's nonce is its number and whether it is the last; whatever the stream is about is bound to each. So a chunk that
was changed, moved, repeated, left out, cut off or taken from another stream does not open. It refuses to draw a key:
one key is for one stream, as its nonces are counted.

Source: Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance" (CRYPTO 2015), section 7.
"""

from typing import Final

from keyquorum.crypto.xaes import NONCE_SIZE, TAG_SIZE, XAES256GCM

#: Plaintext bytes of every chunk but the last, which has as many or fewer.
CHUNK: Final = 64 * 1024
SEALED_CHUNK: Final = CHUNK + TAG_SIZE


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(NONCE_SIZE - 1, "big") + bytes([last])


class Sealer:
    """``key``: 32 bytes that no other stream has; ``about``: what every chunk is bound to."""

    def __init__(self, key: bytes, about: bytes) -> None:
        self._aead = XAES256GCM(key)
        self._about = about
        self._number = 0

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        """The next chunk. ValueError for one of another length than it may have."""
        if len(chunk) > CHUNK or (len(chunk) < CHUNK and not last):
            raise ValueError("a chunk has another length")
        sealed = self._aead.encrypt(_nonce(self._number, last), chunk, self._about)
        self._number += 1
        return sealed


class Opener:
    def __init__(self, key: bytes, about: bytes) -> None:
        self._aead = XAES256GCM(key)
        self._about = about
        self._number = 0

    def open(self, sealed: bytes, *, last: bool) -> bytes:
        """The next chunk. ``cryptography.exceptions.InvalidTag`` unless it is just that, and the last if it is said to
        be."""
        chunk = self._aead.decrypt(_nonce(self._number, last), sealed, self._about)
        self._number += 1
        return chunk
