# SPDX-License-Identifier: Apache-2.0
"""The file of a backup: a header that anybody can read, and a payload that only the root key opens.

    "keyquorum backup" | format (2 bytes) | length of the header (4 bytes) | header (JSON) | chunks

Numbers are big-endian. Every chunk (``crypto.stream``) is bound to the hash of all that comes before the first, so that
no part of the header can be changed. The payload's key is derived from the root key and the backup's ID; the header has
the root key as a seal sealed it, or as a passphrase did.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag

from keyquorum.crypto.stream import CHUNK, SEALED_CHUNK, Opener, Sealer
from keyquorum.custody.root import RootKey
from keyquorum.layout import sync_directory
from keyquorum.model import SealedRoot

#: The newest format, and the only one yet.
FORMAT: Final = 1
_MAGIC: Final = b"keyquorum backup"
_LONGEST_HEADER: Final = 64 * 1024


class BackupError(Exception):
    """The file is no backup that can be used, or cannot be used here; the text says why and names no secret."""


class Sealed(msgspec.Struct, frozen=True):
    """A row of ``root_keys``."""

    sealed: bytes
    kind: str | None
    parameters: str | None
    created_at: float

    @classmethod
    def of(cls, row: SealedRoot | None) -> "Sealed | None":
        return None if row is None else cls(*row)

    def row(self) -> SealedRoot:
        return SealedRoot(self.sealed, self.kind, self.parameters, self.created_at)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: 32 hexadecimal digits. ``created_at``: seconds since the epoch. ``schema`` is the revision of the rows,
    ``database`` where they were. The root key is there sealed by the seal in use and by the recovery seal, or by a
    passphrase alone."""

    id: str
    created_at: float
    program: str
    schema: str
    database: str
    seal: Sealed | None = None
    recovery: Sealed | None = None
    passphrase: Sealed | None = None


def _key(root: RootKey, header: Header) -> bytes:
    return root.derive(f"backup {header.id}")


class Writer:
    """The payload's way into the file."""

    def __init__(self, file: BinaryIO, header: Header, root: RootKey) -> None:
        encoded = msgspec.json.encode(header)
        before = _MAGIC + FORMAT.to_bytes(2, "big") + len(encoded).to_bytes(4, "big") + encoded
        self._file = file
        self._sealer = Sealer(_key(root, header), sha256(before).digest())
        self._waiting = bytearray()
        file.write(before)

    def write(self, data: bytes) -> None:
        self._waiting += data
        # What fills a chunk exactly may still be the last.
        while len(self._waiting) > CHUNK:
            self._file.write(self._sealer.seal(bytes(self._waiting[:CHUNK]), last=False))
            del self._waiting[:CHUNK]

    def finish(self) -> None:
        self._file.write(self._sealer.seal(bytes(self._waiting), last=True))


@contextmanager
def created(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is whole and durable, and that its owner alone can read. Raises BackupError
    if the name is taken, OSError."""
    if path.exists():
        raise BackupError(f"{path} is there already")
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        try:
            os.link(draft, path)
        except FileExistsError:
            raise BackupError(f"{path} is there already") from None
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


class Reader:
    """A backup. ``header`` is what it says of itself; that is proven as soon as anything of the payload is."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises BackupError for what is none, or has a newer format."""
        self._file = file
        file.seek(0)
        start = file.read(len(_MAGIC) + 6)
        if len(start) < len(_MAGIC) + 6 or not start.startswith(_MAGIC):
            raise BackupError("the file is no backup of keyquorum")
        version, length = int.from_bytes(start[-6:-4], "big"), int.from_bytes(start[-4:], "big")
        if version > FORMAT:
            raise BackupError(f"the backup has format {version}; this version of keyquorum knows up to {FORMAT}")
        encoded = file.read(length) if version and length <= _LONGEST_HEADER else b""
        try:
            self.header = msgspec.json.decode(encoded, type=Header)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BackupError("the backup's header is damaged") from None
        self._about = sha256(start + encoded).digest()
        self._payload = file.tell()

    def payload(self, root: RootKey) -> Iterator[bytes]:
        """What was written, chunk by chunk, each proven. Raises BackupError for the first that is not as it was
        written."""
        opener = Opener(_key(root, self.header), self._about)
        self._file.seek(self._payload)
        sealed = self._file.read(SEALED_CHUNK)
        number = 0
        while True:
            following = self._file.read(SEALED_CHUNK) if len(sealed) == SEALED_CHUNK else b""
            try:
                chunk = opener.open(sealed, last=not following)
            except (InvalidTag, ValueError):
                raise BackupError(self._damage(number)) from None
            yield chunk
            if not following:
                return
            sealed, number = following, number + 1

    @staticmethod
    def _damage(number: int) -> str:
        if number == 0:
            return "the backup is damaged: its header or its beginning is not as it was written"
        return f"the backup is damaged, or was cut off: from its chunk {number} on it is not as it was written"
