# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: signed statements of where the chains of all writers end.

Each names the head of every writer's file. As a file is one chain of chains, and goes on from file to file, that covers
all records before. Checkpoints are numbered, and each holds the hash of the one before it.

A process states the head of its own writer, once that is durable, and those of writers whose process has ended. What
another living process has written is its own to state: only it knows what of it is not going to be taken back.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from keyquorum.audit import chain, files
from keyquorum.audit.log import AuditError, AuditLog, Sink, lock
from keyquorum.audit.record import time_of
from keyquorum.audit.signing import Signer
from keyquorum.layout import sync_directory

_WAIT: Final = 5.0


class WriterHead(msgspec.Struct, frozen=True):
    """The last line of a writer: its chain, its number there, and its hash."""

    writer: int
    chain: str
    sequence: int
    hash: str


class Removed(msgspec.Struct, frozen=True):
    """A file of a writer that was removed on purpose. ``chains``: what it held, each up to this number. ``hash`` is its
    last line's, which the next file begins with."""

    writer: int
    file: str
    chains: dict[str, int]
    hash: str


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="keyquorum.audit.checkpoint"):
    """``previous`` is the hash of the checkpoint before, as a line. ``time`` is ISO 8601, UTC."""

    number: int
    time: str
    previous: str
    heads: list[WriterHead]
    removed: list[Removed] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Checkpoint)


def parse(statement: bytes) -> Checkpoint | None:
    """A checkpoint from its JSON; None for anything else."""
    try:
        return _decoder.decode(statement)
    except msgspec.DecodeError:
        return None


class Checkpoints:
    """What makes the checkpoints of a directory. ``sinks`` get each once it is durable."""

    def __init__(self, directory: Path, signer: Signer, sinks: Iterable[Sink] = ()) -> None:
        self._directory = directory
        self._path = directory / files.CHECKPOINTS
        self._signer = signer
        self._sinks = tuple(sinks)

    def make(self, log: AuditLog | None, now: float, removed: Iterable[Removed] = ()) -> Checkpoint | None:
        """State where the chains end; None if that is what the last checkpoint says. ``log`` is this process's.

        One process at a time; raises AuditError if another takes too long, OSError if it cannot be written.
        """
        with self._locked() as fd:
            last_line = files.last_line(fd, os.fstat(fd).st_size)
            last = parse(last_line) if last_line else None
            if last_line and last is None:
                raise AuditError(f"{self._path} does not end in a checkpoint")
            before = {} if last is None else {head.writer: head for head in last.heads}
            heads = sorted({**before, **self._heads(log)}.values(), key=lambda head: head.writer)
            removed = list(removed)
            if last is not None and heads == last.heads and not removed:
                return None
            checkpoint = Checkpoint(
                number=1 if last is None else last.number + 1,
                time=time_of(now)[0],
                previous=chain.hash_of(last_line) if last_line else chain.ORIGIN,
                heads=heads,
                removed=removed,
            )
            line = self._signer.sign(_encoder.encode(checkpoint))
            self._append(fd, line)
        for sink in self._sinks:
            sink.offer([line])
        return checkpoint

    def _heads(self, log: AuditLog | None) -> dict[int, WriterHead]:
        heads = {}
        for writer in files.writers(self._directory):
            head = _own(log) if log is not None and log.writer == writer else _left(self._directory, writer)
            if head is not None:
                heads[writer] = head
        return heads

    @contextmanager
    def _locked(self) -> Iterator[int]:
        deadline = time.monotonic() + _WAIT
        while (fd := lock(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)) is None:
            if time.monotonic() >= deadline:
                raise AuditError(f"another process keeps {self._path} locked")
            time.sleep(0.02)
        try:
            size = os.fstat(fd).st_size
            if files.whole_lines(fd, size) < size:  # its maker died
                os.ftruncate(fd, files.whole_lines(fd, size))
            yield fd
        finally:
            os.close(fd)

    def _append(self, fd: int, line: bytes) -> None:
        size = os.fstat(fd).st_size
        try:
            if os.write(fd, line) != len(line):
                raise OSError(f"the checkpoint could not be written to {self._path}")
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
        sync_directory(self._directory)


def _own(log: AuditLog) -> WriterHead | None:
    head = log.durable_head()
    return None if head is None else WriterHead(log.writer, *head)


def _left(directory: Path, writer: int) -> WriterHead | None:
    """Where the file of a process that has ended ends; None if it lives, or has left nothing."""
    fd = lock(files.active(directory, writer), os.O_RDONLY)
    if fd is None:
        return None
    try:
        os.fsync(fd)
        head = chain.head_at(files.last_line(fd, os.fstat(fd).st_size))
        return None if head is None else WriterHead(writer, *head)
    finally:
        os.close(fd)
