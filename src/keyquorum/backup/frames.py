# SPDX-License-Identifier: Apache-2.0
"""What the payload of a backup says: frames, each its length (4 bytes) and its MessagePack. At the end are the number
of rows of each table and a digest of everything, so that a mistake of whoever wrote it is found as well."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

import msgspec

from keyquorum.backup.container import BackupError

#: More than a row, or a piece of a file, can have.
_LONGEST: Final = 16 * 1024 * 1024


class Table(msgspec.Struct, frozen=True, tag="table", array_like=True):
    """The rows that follow are of this table, and have these columns."""

    name: str
    columns: list[str]


class Row(msgspec.Struct, frozen=True, tag="row", array_like=True):
    values: list[Any]


class File(msgspec.Struct, frozen=True, tag="file", array_like=True):
    """The data that follows is this file's of the audit directory."""

    name: str
    size: int


class Data(msgspec.Struct, frozen=True, tag="data", array_like=True):
    data: bytes


class Stated(msgspec.Struct, frozen=True, tag="checkpoint", array_like=True):
    """The last checkpoint of the audit log, as a line; empty if there was none."""

    line: bytes


class End(msgspec.Struct, frozen=True, tag="end", array_like=True):
    """``digest``: SHA-256 of all frames before this one, in hexadecimal digits. ``generation``: the number of the last
    change."""

    counts: dict[str, int]
    generation: int
    digest: str


Frame = Table | Row | File | Data | Stated | End

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)


class Out:
    """Frames on their way out, through ``write``."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._digest = sha256()

    def put(self, frame: Frame) -> None:
        encoded = _encoder.encode(frame)
        if len(encoded) > _LONGEST:
            raise BackupError("a row is too long for a backup")
        data = len(encoded).to_bytes(4, "big") + encoded
        self._digest.update(data)
        self._write(data)

    def end(self, counts: dict[str, int], generation: int) -> str:
        """The digest."""
        digest = self._digest.hexdigest()
        self.put(End(counts, generation, digest))
        return digest


def read(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """The frames, of which ``End`` is the last. Raises BackupError."""
    digest, waiting, at = sha256(), bytearray(), 0
    ended = False
    for chunk in chunks:
        del waiting[:at]
        waiting += chunk
        at = 0
        while len(waiting) - at >= 4:
            length = int.from_bytes(waiting[at : at + 4], "big")
            if ended or length > _LONGEST:
                raise _broken()
            if len(waiting) - at < 4 + length:
                break
            data = bytes(waiting[at : at + 4 + length])
            at += len(data)
            frame = _decoded(data[4:])
            if isinstance(frame, End):
                ended = True
                if frame.digest != digest.hexdigest():
                    raise _broken()
            digest.update(data)
            yield frame
    if not ended or at != len(waiting):
        raise _broken()


def _decoded(data: bytes) -> Frame:
    try:
        frame: Frame = _decoder.decode(data)
    except msgspec.DecodeError:
        raise _broken() from None
    return frame


def _broken() -> BackupError:
    return BackupError("what the backup holds is not what a backup can hold")
