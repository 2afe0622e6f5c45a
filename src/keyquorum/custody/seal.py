# SPDX-License-Identifier: Apache-2.0
"""Seals: what stands between a stolen database and the root key.

One seal exists, a 256-bit key file beside the database. Another one implements ``Seal``.
"""

import os
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag

from keyquorum.crypto.xaes import NONCE_SIZE, XAES256GCM
from keyquorum.layout import sync_directory

_PURPOSE: Final = b"keyquorum root key"


class SealError(Exception):
    """The root key cannot be sealed or opened; the text says why and names no secret."""


class Seal(Protocol):
    def seal(self, root_key: bytes) -> bytes:
        """The root key (32 bytes) in a form that only this seal opens."""

    def open(self, sealed: bytes) -> bytes:
        """The root key. Raises SealError if this is not the seal that sealed it, or the data is damaged."""


class KeySeal:
    """Seals under a 256-bit key: nonce (24 bytes), then XAES-256-GCM ciphertext and tag."""

    KEY_BYTES: Final = 32

    def __init__(self, key: bytes) -> None:
        self._aead = XAES256GCM(key)

    def seal(self, root_key: bytes) -> bytes:
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, root_key, _PURPOSE)

    def open(self, sealed: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], _PURPOSE)
        except (InvalidTag, ValueError) as error:
            raise SealError("the seal key does not open the root key of this data directory") from error


def create_key_file(path: Path) -> None:
    """Make a key file, if there is none: whole and durable from the first moment that it has its name, and readable by
    its owner alone."""
    # A name of its own: process numbers repeat between containers that share a volume, and who wrote to the draft of
    # another would change the key after it was in use.
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, os.urandom(KeySeal.KEY_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first, and its key is the one
    finally:
        draft.unlink()
    sync_directory(path.parent)


def read_key_file(path: Path) -> KeySeal:
    """Raises SealError if the file is not there, is open to others, or is no key."""
    try:
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise SealError(f"the seal key file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise SealError(f"the seal key file {path} is open to others; its mode must be 0600")
    if len(key) != KeySeal.KEY_BYTES:
        raise SealError(f"the seal key file {path} does not hold a {KeySeal.KEY_BYTES * 8}-bit key")
    return KeySeal(key)
