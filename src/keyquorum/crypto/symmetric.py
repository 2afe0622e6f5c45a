# SPDX-License-Identifier: Apache-2.0
"""SYMMETRIC_DEFAULT: 256-bit keys for XAES-256-GCM. The blob's format and its associated data are the keyring's."""

import os

from keyquorum.crypto.xaes import KEY_SIZE, XAES256GCM
from keyquorum.errors import IncorrectKeyMaterialException


def generate(_spec: str) -> bytes:
    """32 random bytes."""
    return os.urandom(KEY_SIZE)


def open_material(_spec: str, material: bytes) -> XAES256GCM:
    """``material``: 32 bytes, else ValueError."""
    return XAES256GCM(material)


def parse_import(_spec: str, plaintext: bytes) -> bytes:
    """The 32 bytes that were wrapped; raises IncorrectKeyMaterialException."""
    if len(plaintext) != KEY_SIZE:
        raise IncorrectKeyMaterialException
    return plaintext
