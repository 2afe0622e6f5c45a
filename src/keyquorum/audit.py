# SPDX-License-Identifier: Apache-2.0
"""One record a request, allowed or refused, as a JSON line in the members that CloudTrail uses.

A writer owns a file of its own, by a lock on it, and appends whole batches: a write that fails or falls short is cut
off again, and its batch fails with it. A record holds no plaintext, no key material, no secret and no grant token; what
the client controls is cut to a bounded length.

Source: AWS CloudTrail User Guide, "CloudTrail record contents".
"""

import fcntl
import logging
import os
import threading
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from keyquorum.layout import sync_directory

_log = logging.getLogger(__name__)

#: How many processes can write to one data directory at once.
WRITERS: Final = 1024

_CLOSED: Final = -1
_MAX_TEXT: Final = 1024
_MAX_CONTEXT: Final = 8192
_TEXTS: Final = ("key_id", "source_key_id", "destination_key_id", "target_key_id", "alias_name", "grant_id")
_CONTEXTS: Final = ("encryption_context", "source_encryption_context", "destination_encryption_context")
_encoder = msgspec.json.Encoder()


class Identity(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    type: str
    principal_id: str
    arn: str
    account_id: str
    access_key_id: str = ""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """A key that the request named or found."""

    ARN: str
    accountId: str  # noqa: N815 - CloudTrail's spelling


class Parameters(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """``truncated``: something of the request was longer than a record may be made by it."""

    key_id: str | None = None
    source_key_id: str | None = None
    destination_key_id: str | None = None
    target_key_id: str | None = None
    alias_name: str | None = None
    grant_id: str | None = None
    encryption_context: dict[str, str] | None = None
    source_encryption_context: dict[str, str] | None = None
    destination_encryption_context: dict[str, str] | None = None
    truncated: bool = False


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    event_time: str
    event_source: str
    event_name: str
    aws_region: str
    source_address: str = msgspec.field(name="sourceIPAddress")
    user_agent: str
    request_id: str = msgspec.field(name="requestID")
    event_id: str = msgspec.field(name="eventID")
    user_identity: Identity
    request_parameters: Parameters
    resources: list[Resource]
    error_code: str | None = None


def encode(record: Record) -> bytes:
    """The record as one line, without the newline."""
    return _encoder.encode(record)


def time_of(now: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    second, microsecond = divmod(round(now * 1e6), 1_000_000)
    return f"{_second(second)}.{microsecond // 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    """A date takes longer to write than the rest of a record, and many records have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def bounded(text: str) -> str:
    """What a client sent, cut to a length that cannot fill a disk by itself."""
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT]


def parameters(request: object) -> Parameters:
    """What a record tells of a request: names and encryption contexts, within bounds; nothing else of it.

    A context that is too large is left out as a whole, so that no two contexts look alike in the record.
    """
    told: dict[str, Any] = {}
    truncated = False
    texts, contexts = _told(getattr(request, "__struct_fields__", ()))
    for member in texts:
        text = getattr(request, member)
        if text is not None:
            told[member] = bounded(text)
            truncated |= len(text) > _MAX_TEXT
    for member in contexts:
        context = getattr(request, member)
        if context:
            if sum(len(k) + len(v) for k, v in context.items()) <= _MAX_CONTEXT:
                told[member] = context
            else:
                truncated = True
    return Parameters(**told, truncated=truncated)


@cache
def _told(members: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Those of a request's members that its record tells: texts and contexts."""
    return [member for member in _TEXTS if member in members], [member for member in _CONTEXTS if member in members]


class AuditError(Exception):
    """The audit log cannot be opened; the text says why."""


class AuditLog:
    """The audit file of one writer. ``sync``: each batch survives the loss of power, not only the process's death.

    ``writer`` is the number of the file: the first that no living process owns.
    """

    def __init__(self, fd: int, writer: int, *, sync: bool, sized: bool = True) -> None:
        self._fd = fd
        self.writer = writer
        self._sync = sync
        self._sized = sized
        self._lock = threading.Lock()
        self.position = os.fstat(fd).st_size if sized else 0

    @classmethod
    def open(cls, directory: Path, *, sync: bool) -> "AuditLog":
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
        for writer in range(WRITERS):
            log = cls.own(directory, writer, sync=sync)
            if log is not None:
                return log
        raise AuditError(f"every audit file in {directory} belongs to a living process")

    @classmethod
    def own(cls, directory: Path, writer: int, *, sync: bool) -> "AuditLog | None":
        """The audit log with this number, or None if a living process owns it."""
        fd = os.open(directory / f"{writer}.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        _cut_torn_line(fd)
        sync_directory(directory)
        return cls(fd, writer, sync=sync)

    @classmethod
    def discarding(cls) -> "AuditLog":
        """A log that keeps nothing, for a server that keeps nothing."""
        return cls(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 0, sync=False, sized=False)

    def write(self, records: list[bytes]) -> None:
        """Append the records in one write. Raises OSError, and leaves the file as it was, if that does not succeed."""
        data = b"\n".join(records) + b"\n"
        with self._lock:
            if self._fd == _CLOSED:
                raise OSError("the audit log is closed")
            try:
                written = os.write(self._fd, data)
                if written != len(data):
                    raise OSError(f"only {written} of {len(data)} bytes could be written")
                if self._sync:
                    os.fdatasync(self._fd)
            except OSError:
                if self._sized and os.fstat(self._fd).st_size > self.position:
                    os.ftruncate(self._fd, self.position)
                raise
            if self._sized:
                self.position += written

    def contains_after(self, position: int, event_ids: list[str]) -> set[str]:
        """Those of the event IDs that stand in a record after ``position``."""
        found: set[str] = set()
        with self._lock, os.fdopen(os.dup(self._fd), "rb") as file:
            # A file that is shorter was cut since; then nothing is known of where a record can stand.
            file.seek(position if position <= self.position else 0)
            for line in file:
                found.update(e for e in event_ids if e.encode() in line)
        return found

    def close(self) -> None:
        """Nothing is written after this: the system gives the descriptor's number to other files."""
        with self._lock:
            os.close(self._fd)
            self._fd = _CLOSED


def _cut_torn_line(fd: int) -> None:
    """A record without its newline was being written when power went; its request was never answered."""
    size = os.fstat(fd).st_size
    end, step = size, 1 << 16
    while end > 0:
        start = max(0, end - step)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        _log.warning("cut %d bytes of an unfinished record off an audit file", size - end)
        os.ftruncate(fd, end)
