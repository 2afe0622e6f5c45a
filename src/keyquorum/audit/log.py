# SPDX-License-Identifier: Apache-2.0
"""The audit file of one writer: a writer owns a file, by a lock on it, and appends whole batches to its chain.

A write that fails or falls short is cut off again, the chain's head stays where it was, and the batch fails. A file
that has reached its size is put aside under a numbered name, and the chain goes on in a new one.

The last room of a disk is kept for changes: their records are written after they have committed, and so must always
find a place (``reserve``). What changes nothing is refused first.
"""

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from keyquorum.audit import chain, files
from keyquorum.audit.chain import Head
from keyquorum.audit.room import Room
from keyquorum.layout import sync_directory

_log = logging.getLogger(__name__)

#: How many processes can write to one data directory at once.
WRITERS: Final = 1024
ROTATE_SIZE: Final = 256 * 1024 * 1024

#: What is kept for changes: more than the records of all that can commit at once, which are 100 KiB each at most.
_MARGIN: Final = 4 * 1024 * 1024
#: What the chain adds to a record.
_LINK: Final = 160
_CLOSED: Final = -1


class AuditError(Exception):
    """The audit log cannot be opened, or is not what it should be; the text says why."""


class Sink(Protocol):
    """Whoever gets a copy of what is written."""

    def offer(self, lines: Iterable[bytes]) -> None:
        """Take lines that are in the file. Must neither wait nor raise."""


class AuditLog:
    """The audit log of one writer. ``sync``: each batch survives the loss of power, not only the process's death.

    ``writer`` is the number of the file: the first that no living process owns. ``rotations`` counts how often it was
    put aside. ``head`` is where its chain ends.
    """

    def __init__(
        self, fd: int, writer: int, *, path: Path | None, sync: bool = False, rotate_size: int = ROTATE_SIZE
    ) -> None:
        self._fd = fd
        self.writer = writer
        self._path = path
        self._sync = sync
        self._rotate_size = self._rotate_at = rotate_size
        self._lock = threading.Lock()
        self._torn = False
        self._put_aside: list[int] = []
        self.sinks: tuple[Sink, ...] = ()
        self.rotations = 0
        self.position = 0 if path is None else os.fstat(fd).st_size
        self._room = None if path is None else Room(fd, self.position)
        before = b"" if path is None else _line_before(fd, self.position, path, writer)
        self._before = chain.head_at(before)
        self.head = chain.begin(chain.hash_of(before) if before else chain.ORIGIN)

    @classmethod
    def open(cls, directory: Path, *, sync: bool = False, rotate_size: int = ROTATE_SIZE) -> "AuditLog":
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
        for writer in range(WRITERS):
            log = cls.own(directory, writer, sync=sync, rotate_size=rotate_size)
            if log is not None:
                return log
        raise AuditError(f"every audit file in {directory} belongs to a living process")

    @classmethod
    def own(
        cls, directory: Path, writer: int, *, sync: bool = False, rotate_size: int = ROTATE_SIZE
    ) -> "AuditLog | None":
        """The audit log with this number, or None if a living process owns it."""
        path = files.active(directory, writer)
        fd = lock(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        if fd is None:
            return None
        _cut_torn_line(fd)
        _finish_rotation(path, writer)
        sync_directory(directory)
        return cls(fd, writer, path=path, sync=sync, rotate_size=rotate_size)

    @classmethod
    def discarding(cls) -> "AuditLog":
        """A log that keeps nothing, for a server that keeps nothing."""
        return cls(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), 0, path=None)

    def write(self, records: list[bytes]) -> None:
        """Append the records in one write. Raises OSError, and leaves the file as it was, if that does not succeed."""
        with self._lock:
            self._prepare(sum(map(len, records)) + len(records) * _LINK + _MARGIN)
            self._append(records)

    def reserve(self) -> None:
        """See to it that the records of changes that are about to commit can be written; raises OSError if not."""
        with self._lock:
            self._prepare(_MARGIN)

    def write_reserved(self, records: list[bytes]) -> None:
        """``write`` for the records of changes that have committed: where room is short, they have what there is."""
        with self._lock:
            self._append(records)

    def _prepare(self, size: int) -> None:
        self._check_open()
        if self.position >= self._rotate_at and self._path is not None:
            self._rotate(self._path)
        if self._room is not None:
            self._room.ensure(self.position, size)

    def _append(self, records: list[bytes]) -> None:
        self._check_open()
        lines, head = chain.follow(self.head, records)
        data = b"".join(lines)
        if self._torn:
            self._cut()
        try:
            self._torn = self._path is not None
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written")
            if self._sync:
                os.fdatasync(self._fd)
        except OSError:
            if self._torn:
                self._cut()
            raise
        self._torn = False
        self.head = head
        if self._path is not None:
            self.position += written
        for sink in self.sinks:
            sink.offer(lines)

    def _cut(self) -> None:
        """Take back what a failed write left. If even that fails it is tried again before anything else is written."""
        os.ftruncate(self._fd, self.position)
        if self._room is not None:
            self._room.lost(self.position)
        self._torn = False

    def _check_open(self) -> None:
        if self._fd == _CLOSED:
            raise OSError("the audit log is closed")

    def _rotate(self, path: Path) -> None:
        """Go on in a new file; if there can be none, in this one. ``path`` is there at every moment, and locked."""
        try:
            fd = _replace(path, files.aside(path, self.writer))
        except OSError as error:
            self._rotate_at = self.position + self._rotate_size // 16
            _log.error("%s cannot be put aside and grows on: %s", path, error)
            return
        os.ftruncate(self._fd, self.position)  # the room after it is free again
        self._put_aside.append(self._fd)
        self._fd, self.position, self._room = fd, 0, Room(fd, 0)
        self._rotate_at = self._rotate_size
        self.rotations += 1
        sync_directory(path.parent)

    def durable_head(self) -> Head | None:
        """The last line, by whichever process, once all up to it survives the loss of power; None if there is none."""
        with self._lock:
            self._check_open()
            head, aside = self.head if self.head.sequence else self._before, self._put_aside
            self._put_aside = []
            current = os.dup(self._fd)
        for fd in (*aside, current):
            try:
                if self._path is not None:
                    os.fdatasync(fd)
            finally:
                os.close(fd)
        return head

    def find(self, position: int, event_ids: list[str], since: float) -> set[str]:
        """Those of the event IDs that stand in a record after ``position``, or in a file that was put aside after the
        time ``since``."""
        wanted = {event_id.encode() for event_id in event_ids}
        found: set[bytes] = set()
        with self._lock, os.fdopen(os.dup(self._fd), "rb") as file:
            aside = [] if self._path is None else files.rotated(self._path.parent, self.writer)
            recent = [path for _, path in aside if path.stat().st_mtime >= since]
            # A file that is shorter was cut or put aside since; then nothing is known of where a record can stand.
            file.seek(position if position <= self.position and not recent else 0)
            _find(file, wanted, found)
        for path in recent:
            with path.open("rb") as file:
                _find(file, wanted, found)
        return {event_id.decode() for event_id in found}

    def close(self) -> None:
        """Nothing is written after this: the system gives the descriptor's number to other files."""
        with self._lock:
            if self._path is not None:
                os.ftruncate(self._fd, self.position)
            for fd in (*self._put_aside, self._fd):
                os.close(fd)
            self._put_aside = []
            self._fd = _CLOSED


def lock(path: Path, flags: int) -> int | None:
    """A descriptor of the file under this name, locked; None if another process has it."""
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass
        os.close(fd)  # it was put aside between the two


def _find(file: Iterable[bytes], wanted: set[bytes], found: set[bytes]) -> None:
    mark = b'"eventID":"'
    for line in file:
        start = line.rfind(mark) + len(mark)  # nothing after it comes from clients
        event_id = line[start : line.find(b'"', start)]
        if event_id in wanted:
            found.add(event_id)


def _line_before(fd: int, size: int, path: Path, writer: int) -> bytes:
    """The line that the next one follows; empty if it is the first."""
    aside = files.rotated(path.parent, writer)
    if size or not aside:
        return files.last_line(fd, size)
    with aside[-1][1].open("rb") as file:
        return files.last_line(file.fileno(), os.fstat(file.fileno()).st_size)


def _replace(path: Path, aside: Path) -> int:
    """Put the file aside under another name and lock a new one in its place: its descriptor. Raises OSError."""
    draft = path.with_name(f".{path.name}.draft")
    fd = lock(draft, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
    if fd is None:
        raise BlockingIOError(errno.EWOULDBLOCK, f"{draft} is locked")
    try:
        os.link(path, aside)
        try:
            draft.replace(path)
        except OSError:
            aside.unlink()
            raise
    except OSError:
        os.close(fd)
        raise
    return fd


def _finish_rotation(path: Path, writer: int) -> None:
    """A process that died while it put its file aside has left it under both names."""
    aside = files.rotated(path.parent, writer)
    if aside and aside[-1][1].samefile(path):
        aside[-1][1].unlink()


def _cut_torn_line(fd: int) -> None:
    """A record without its newline was being written when power went; its request was never answered."""
    size = os.fstat(fd).st_size
    end = files.whole_lines(fd, size)
    if end < size:
        _log.warning("cut %d bytes of an unfinished record off an audit file", size - end)
        os.ftruncate(fd, end)
