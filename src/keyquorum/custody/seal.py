# SPDX-License-Identifier: Apache-2.0
"""Seals: what stands between a stolen database and the root key.

A seal turns the root key into a row of ``root_keys`` and back. It believes nothing that the row says: the kind must be
its own, the parameters are checked before anything is computed from them, and both are authenticated together with the
root key, as is the role of the row. Where a secret comes from, which module is loaded and which endpoint is called is
never in the row (docs/adr/0018).
"""

import os
from pathlib import Path
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag

from keyquorum.crypto.xaes import NONCE_SIZE, XAES256GCM
from keyquorum.layout import sync_directory
from keyquorum.model import SealedRoot

_PURPOSE: Final = b"keyquorum root key"

#: Roles of rows: that which a start opens, and that which opens when the other's seal is lost.
IN_USE: Final = "in use"
RECOVERY: Final = "recovery"


class SealError(Exception):
    """The root key cannot be sealed or opened; the text says why and names no secret."""


class SealAway(SealError):
    """What holds the seal does not answer now, and may later: try again."""


class SealWaits(SealError):
    """The seal is opened by what people bring. ``sealed``: the row that it is for."""

    def __init__(self, text: str, sealed: SealedRoot) -> None:
        super().__init__(text)
        self.sealed = sealed


class Seal(Protocol):
    def seal(self, root_key: bytes, role: str = IN_USE) -> SealedRoot:
        """The root key (32 bytes) in a form that only this seal opens, and only in this role. Raises SealError."""

    def open(self, sealed: SealedRoot, role: str = IN_USE) -> bytes:
        """The root key. Raises SealError if this is not the seal that sealed it, or the row is damaged, was changed or
        has another role; SealAway, if that cannot be told now."""


def bound(sealed: SealedRoot, role: str) -> bytes:
    """What is authenticated along with the root key: all that the row says of itself."""
    if sealed.kind is None and sealed.parameters is None:
        return _PURPOSE  # a key file's, before there were others; there was no other role
    return _PURPOSE + msgspec.json.encode([role, sealed.kind, sealed.parameters])


def kind_of(sealed: SealedRoot) -> str:
    """What the row says, which may be anything."""
    return FILE if sealed.kind is None else sealed.kind


def require_kind(sealed: SealedRoot, kind: str) -> None:
    """Raises SealError if the row is of another."""
    if kind_of(sealed) != kind:
        raise SealError(f"the root key is sealed by {shown(kind_of(sealed))}, not by {kind}")


def shown(text: object) -> str:
    """What a database says, fit for an error."""
    return ascii(text)[:80]


#: The kind of a key file, and of a row that names none.
FILE: Final = "file"


class KeySeal:
    """Seals under a 256-bit key: nonce (24 bytes), then XAES-256-GCM ciphertext and tag."""

    KEY_BYTES: Final = 32

    def __init__(self, key: bytes, kind: str = FILE, parameters: str = "{}", what: str = "the seal key") -> None:
        self._aead = XAES256GCM(key)
        self._kind = kind
        self._parameters = parameters
        self._what = what

    def seal(self, root_key: bytes, role: str = IN_USE) -> SealedRoot:
        nonce = os.urandom(NONCE_SIZE)
        row = SealedRoot(b"", self._kind, self._parameters)
        return row._replace(sealed=nonce + self._aead.encrypt(nonce, root_key, bound(row, role)))

    def open(self, sealed: SealedRoot, role: str = IN_USE) -> bytes:
        require_kind(sealed, self._kind)
        box = sealed.sealed
        try:
            key = self._aead.decrypt(box[:NONCE_SIZE], box[NONCE_SIZE:], bound(sealed, role))
        except (InvalidTag, ValueError) as error:
            raise SealError(f"{self._what} does not open the root key of this data directory") from error
        return key


class FileSeal:
    """A key file. A rotation writes the next key beside it, and gives that its name once the root key is sealed under
    it: until then, and if the rotation died in between, both are tried."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def next(self) -> Path:
        return self.path.with_name(f"{self.path.name}.next")

    def seal(self, root_key: bytes, role: str = IN_USE) -> SealedRoot:
        return read_key_file(self.path).seal(root_key, role)

    def open(self, sealed: SealedRoot, role: str = IN_USE) -> bytes:
        try:
            return read_key_file(self.path).open(sealed, role)
        except SealError:
            if not self.next.exists():
                raise
            return read_key_file(self.next).open(sealed, role)


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
