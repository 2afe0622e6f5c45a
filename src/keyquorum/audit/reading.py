# SPDX-License-Identifier: Apache-2.0
"""Reads audit files for people: all records in the order of time, those that match, and those that come. It verifies
nothing, and needs no seal and no database."""

import heapq
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple

import msgspec

from keyquorum.audit import files

_POLL: Final = 0.2


class _Data(msgspec.Struct, rename="camel"):
    milliseconds: int = 0


class _Identity(msgspec.Struct, rename="camel"):
    type: str = ""
    principal_id: str = ""
    arn: str = ""
    account_id: str = ""
    access_key_id: str = ""
    user_name: str = ""
    invoked_by: str = ""


class _Resource(msgspec.Struct):
    ARN: str = ""


class _Event(msgspec.Struct, rename="camel"):
    """What is looked at of a record."""

    event_time: str = ""
    event_source: str = ""
    event_name: str = ""
    user_identity: _Identity = msgspec.field(default_factory=_Identity)
    aws_region: str = ""
    source_address: str = msgspec.field(name="sourceIPAddress", default="")
    request_parameters: dict[str, Any] | None = None
    resources: list[_Resource] = []
    error_code: str = ""
    error_message: str = ""
    request_id: str = msgspec.field(name="requestID", default="")
    event_id: str = msgspec.field(name="eventID", default="")
    read_only: bool = False
    recipient_account_id: str = ""
    additional_event_data: _Data = msgspec.field(default_factory=_Data)


_decoder = msgspec.json.Decoder(_Event)


class Shown(NamedTuple):
    """A record: when it was, how it reads, and its line."""

    moment: tuple[str, int]
    event: _Event
    line: bytes


class Query(NamedTuple):
    """What is looked for. ``key`` is a key ID, an alias or an ARN, ``principal`` a name, a unique ID, an access key ID
    or an ARN, or the beginning of one; times are as ``eventTime`` has them."""

    key: str | None = None
    principal: str | None = None
    operation: str | None = None
    since: str | None = None
    until: str | None = None
    outcome: Literal["allowed", "refused"] | None = None

    def matches(self, event: _Event) -> bool:
        return (
            (self.since is None or event.event_time >= self.since)
            and (self.until is None or event.event_time <= self.until)
            and (self.operation is None or event.event_name.lower() == self.operation.lower())
            and (self.outcome is None or (self.outcome == "refused") == bool(event.error_code))
            and (self.key is None or _names_key(event, self.key))
            and (self.principal is None or _names_principal(event.user_identity, self.principal))
        )


def _names_key(event: _Event, key: str) -> bool:
    if any(key == resource.ARN or resource.ARN.rpartition("/")[2] == key for resource in event.resources):
        return True
    named = (event.request_parameters or {}).items()
    return any(value == key for name, value in named if name.endswith("eyId") or name == "aliasName")


def _names_principal(identity: _Identity, principal: str) -> bool:
    exact = (identity.user_name, identity.access_key_id, identity.principal_id, identity.principal_id.partition(":")[0])
    return principal in exact or (principal.startswith("arn:") and identity.arn.startswith(principal))


def records(directory: Path, query: Query) -> Iterator[Shown]:
    """The records that match, of all writers, in the order of time."""
    streams = [_of_writer(directory, writer, query) for writer in files.writers(directory)]
    return heapq.merge(*streams, key=lambda shown: shown.moment)


def _of_writer(directory: Path, writer: int, query: Query) -> Iterator[Shown]:
    paths = [path for _, path in files.rotated(directory, writer)] + [files.active(directory, writer)]
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                yield from _matching(file, query)


def _matching(lines: Iterator[bytes] | BinaryIO, query: Query) -> Iterator[Shown]:
    for line in lines:
        shown = read(line)
        if shown is not None and query.matches(shown.event):
            yield shown


def read(line: bytes) -> Shown | None:
    """None for what is no record."""
    try:
        event = _decoder.decode(line)
    except msgspec.DecodeError:
        return None
    return Shown((event.event_time, event.additional_event_data.milliseconds), event, line)


class Follower:
    """The records that writers add from now on."""

    def __init__(self, directory: Path, wait: Callable[[], None] = lambda: time.sleep(_POLL)) -> None:
        self._directory = directory
        self._wait = wait
        self._open: dict[int, BinaryIO] = {}
        self._added(skip=True)

    def __iter__(self) -> Iterator[Shown]:
        while True:
            found = sorted(self._added(), key=lambda shown: shown.moment)
            yield from found
            if not found:
                self._wait()

    def close(self) -> None:
        for file in self._open.values():
            file.close()

    def _added(self, *, skip: bool = False) -> list[Shown]:
        found = []
        for writer in files.appended_to(self._directory):
            path = files.active(self._directory, writer)
            file = self._open.get(writer)
            if file is None:
                file = self._open[writer] = path.open("rb")
                if skip:
                    file.seek(0, os.SEEK_END)
            lines = _whole_lines(file)
            if os.stat(path).st_ino != os.fstat(file.fileno()).st_ino:  # it was put aside: the rest, and the new one
                lines += _whole_lines(file)
                file.close()
                file = self._open[writer] = path.open("rb")
                lines += _whole_lines(file)
            found += [shown for line in lines if (shown := read(line)) is not None]
        return found


def _whole_lines(file: BinaryIO) -> list[bytes]:
    lines = []
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)  # it is being written
            break
        lines.append(line)
    return lines


def human(shown: Shown) -> str:
    """One line for people. What clients control keeps to its line and sends no control characters."""
    event, identity = shown.event, shown.event.user_identity
    who = identity.arn or identity.invoked_by or identity.principal_id
    keys = [resource.ARN for resource in event.resources]
    outcome = event.error_code or "allowed"
    parts = [event.event_name, outcome, who, *keys, f"from {event.source_address}", event.error_message]
    text = " ".join(part for part in parts if part)
    return f"{event.event_time[:-1]}.{shown.moment[1]:03}Z " + "".join(c if c.isprintable() else "?" for c in text)
