# SPDX-License-Identifier: Apache-2.0
"""The ciphertext that Encrypt gives out: parse and serialise, nothing else. It decrypts nothing and trusts nothing.

    version (1 byte, 1) | length of key ID (1) | key ID (ASCII) | material ID (32) | nonce (24) | ciphertext and tag

All before the nonce is the header; header and encryption context are the additional authenticated data.
"""

from functools import lru_cache
from typing import Final

import msgspec

VERSION: Final = 1
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
_MATERIAL_BYTES: Final = 32
_MAX_KEY_ID: Final = 64


class Blob(msgspec.Struct, frozen=True, gc=False):
    """``material_id`` is 64 hex digits; ``sealed`` is ciphertext and tag; ``header`` is what came before the nonce."""

    key_id: str
    material_id: str
    nonce: bytes
    sealed: bytes
    header: bytes


@lru_cache(maxsize=4096)
def header(key_id: str, material_id: str) -> bytes:
    """The header of a ciphertext under this key and material."""
    name = key_id.encode("ascii")
    return bytes((VERSION, len(name))) + name + bytes.fromhex(material_id)


def parse(data: bytes) -> Blob | None:
    """The parts of a ciphertext, or None if it is not one: every caller must answer all damage alike."""
    if len(data) < 2 or data[0] != VERSION:
        return None
    name_end = 2 + data[1]
    head_end = name_end + _MATERIAL_BYTES
    body = head_end + NONCE_BYTES
    if not 1 <= data[1] <= _MAX_KEY_ID or len(data) < body + TAG_BYTES:
        return None
    name = data[2:name_end]
    if not name.isascii():
        return None
    return Blob(name.decode("ascii"), data[name_end:head_end].hex(), data[head_end:body], data[body:], data[:head_end])


def associated_data(head: bytes, context: dict[str, str] | None) -> bytes:
    """Header and canonical encryption context, as additional authenticated data.

    Every part bears its length, and pairs are sorted by the bytes of their keys, so that two contexts have the same
    encoding only if they are equal.
    """
    parts = [len(head).to_bytes(4, "big"), head]
    if context:
        for key, value in sorted((k.encode(), v.encode()) for k, v in context.items()):
            parts += (len(key).to_bytes(4, "big"), key, len(value).to_bytes(4, "big"), value)
    return b"".join(parts)
