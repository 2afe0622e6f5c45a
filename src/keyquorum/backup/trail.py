# SPDX-License-Identifier: Apache-2.0
"""The audit directory in a backup, taken while processes write there.

The checkpoints are read up to where they end at the start, and the files of the writers after that, so that all that is
stated is there; and both after the database's snapshot, so that whatever had left its outbox is there too.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from keyquorum.audit import files
from keyquorum.backup.container import BackupError
from keyquorum.layout import sync_directory

_PIECE = 1 << 20


class Taken(NamedTuple):
    """A file of the audit directory, of which the first ``size`` bytes are whole lines."""

    name: str
    size: int
    file: BinaryIO

    def pieces(self) -> Iterator[bytes]:
        left = self.size
        self.file.seek(0)
        while left:
            data = self.file.read(min(left, _PIECE))
            if not data:
                raise BackupError(f"the audit file {self.name} became shorter meanwhile: try again")
            left -= len(data)
            yield data


def last_checkpoint(directory: Path) -> bytes:
    """As a line; empty if there is none."""
    path = directory / files.CHECKPOINTS
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return files.last_line(file.fileno(), os.fstat(file.fileno()).st_size)


def taken(directory: Path) -> Iterator[Taken]:
    """Each file in turn; it is open until the next one is asked for."""
    stated = directory / files.CHECKPOINTS
    end = _whole(stated) if stated.exists() else 0
    # Before it is seen what was put aside: a file that is put aside meanwhile is then there under that name.
    active = {writer: files.active(directory, writer).open("rb") for writer in files.appended_to(directory)}
    try:
        for writer in files.writers(directory):
            inodes = set()
            for _, path in files.rotated(directory, writer):
                with path.open("rb") as file:
                    inodes.add(os.fstat(file.fileno()).st_ino)
                    yield Taken(path.name, _whole(path), file)
            opened = active.get(writer)
            if opened is not None and os.fstat(opened.fileno()).st_ino not in inodes:
                size = files.whole_lines(opened.fileno(), os.fstat(opened.fileno()).st_size)
                yield Taken(files.active(directory, writer).name, size, opened)
        if end:
            with stated.open("rb") as file:
                yield Taken(files.CHECKPOINTS, end, file)
    finally:
        for opened in active.values():
            opened.close()


def _whole(path: Path) -> int:
    with path.open("rb") as file:
        return files.whole_lines(file.fileno(), os.fstat(file.fileno()).st_size)


class Placing:
    """Files on their way into an audit directory that does not exist yet: into another one beside it, which takes its
    name when all are durable."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._draft = directory.with_name(f".{directory.name}.{os.urandom(8).hex()}")
        self._draft.mkdir(mode=0o700)
        self._placed = False
        self._file: BinaryIO | None = None

    def begin(self, name: str) -> None:
        """Raises BackupError for what is no name of an audit file."""
        self._close()
        if not files.is_name(name):
            raise BackupError("the backup holds a file that is none of the audit log")
        fd = os.open(self._draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "wb")

    def write(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)

    def place(self) -> None:
        self._draft.rename(self._directory)
        self._placed = True
        sync_directory(self._directory.parent)

    def discard(self) -> None:
        """Also after ``place``, if nothing became of the restore."""
        if self._file is not None:
            self._file.close()
            self._file = None
        ours = self._directory if self._placed else self._draft
        for path in ours.iterdir():
            path.unlink()
        ours.rmdir()

    def finish(self) -> None:
        """All that was written is durable."""
        self._close()
        sync_directory(self._draft)

    def _close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
