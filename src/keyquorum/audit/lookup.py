# SPDX-License-Identifier: Apache-2.0
"""Looks for records from the newest back, through the files of all writers at once, with a bound on what one look
reads. It shows the records of one account and no others, and verifies nothing.

A writer's records are in the order in which they were answered, and bear the times at which they came: what is merged
by time may be out of order by as long as a request took. Where a look ended is kept as one place in each writer's
files; a file is known by its number in the file system, which it keeps when it is put aside.
"""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from keyquorum.audit import files
from keyquorum.audit.reading import Query, Shown, read
from keyquorum.audit.recent import Recent
from keyquorum.audit.record import iso_second

_BLOCK: Final = 1 << 18
#: How much older than the record before it, in its file, a record can be: requests wait. Seconds.
_SLACK: Final = 60
_MEMORY: Final = 0
#: Stands for a writer in the place that says whose places these are.
_OWNER: Final = -1


class _Brief(msgspec.Struct, rename="camel", gc=False):
    """What most records are passed over by."""

    event_time: str = ""
    event_name: str = ""
    error_code: str = ""
    recipient_account_id: str = ""


_brief = msgspec.json.Decoder(_Brief)


class Wanted(msgspec.Struct, frozen=True):
    """``query`` without its times; ``since`` and ``until`` in seconds since the epoch, both included. ``names``: what
    the event's own members must be. ``writes``: only changes, or only what changed nothing. ``but``: events of these
    names are not wanted."""

    account: str
    query: Query = Query()
    names: dict[str, str] = {}
    since: float | None = None
    until: float | None = None
    writes: bool | None = None
    but: frozenset[str] = frozenset()

    def may_be(self, brief: _Brief) -> bool:
        query = self.query
        return (
            brief.recipient_account_id == self.account
            and (query.since is None or brief.event_time >= query.since)
            and (query.until is None or brief.event_time <= query.until)
            and brief.event_name not in self.but
            and (query.outcome is None or (query.outcome == "refused") == bool(brief.error_code))
            and (query.operation is None or brief.event_name.lower() == query.operation.lower())
        )

    @property
    def asks_more(self) -> bool:
        """Whether a record that may be one can be none."""
        return (
            bool(self.names)
            or self.writes is not None
            or self.query.key is not None
            or self.query.principal is not None
        )

    def matches(self, shown: Shown) -> bool:
        """Of one that may be."""
        event = shown.event
        return (
            all(getattr(event, name) == value for name, value in self.names.items())
            and (self.writes is None or event.read_only != self.writes)
            and self.query.matches(event)
        )


class Place(NamedTuple):
    """Where a look goes on: before this byte of the file with this inode; in memory, before this record."""

    writer: int
    inode: int
    before: int


class Found(NamedTuple):
    """``records`` from the newest; ``rest`` is where the next look goes on, None if nothing is left. ``back_to``: down
    to which second everything was looked at, as ``eventTime`` has it; "" if all was, or nothing."""

    records: list[Shown]
    rest: list[Place] | None
    back_to: str


class Counted(NamedTuple):
    """``counts``: (second that a period begins with, event name, error code or "") -> how many. ``back_to``: what came
    before was not counted, having been too much to read; "" if all was."""

    counts: Counter[tuple[int, str, str]]
    back_to: str


class Elsewhere(Exception):
    """The places are of another node's files."""


@dataclass(slots=True)
class _Stream:
    """One writer's lines, from the newest. ``place`` is before what was not looked at; ``found`` is the next record
    that matches, if it is known."""

    writer: int
    lines: Iterator[tuple[bytes, int, int]]
    inode: int
    before: int
    found: Shown | None = None
    start: int = 0
    moment: str = ""
    begun: bool = False
    ended: bool = False

    def place(self) -> Place:
        return Place(self.writer, self.inode, self.before)

    def brief(self, line: bytes, earliest: str | None) -> _Brief | None:
        """What is to be seen of a line at once; None for what is no record. The first that is before ``earliest`` ends
        the stream."""
        brief = _briefly(line)
        if brief is not None:
            self.moment = brief.event_time
            self.ended = earliest is not None and self.moment < earliest
        return brief


class Lookup:
    """``source``: an audit directory, or the records in memory."""

    def __init__(self, source: Path | Recent) -> None:
        self._source = source
        self._made = secrets.randbits(63)

    def _owner(self) -> Place:
        return Place(_OWNER, self._made if isinstance(self._source, Recent) else self._source.stat().st_ino, 0)

    def look(self, wanted: Wanted, most: int, budget: int, places: list[Place] | None = None) -> Found:
        """Up to ``most`` records; about ``budget`` bytes are read, or fewer. Raises OSError, and Elsewhere."""
        wanted, earliest, latest = _bounded(wanted)
        streams = self._streams(places, latest)
        records: list[Shown] = []
        left = budget
        while len(records) < most:
            for stream in streams:
                left = self._advance(stream, wanted, earliest, left)
            if any(stream.found is None and not stream.ended for stream in streams):
                break  # nobody knows yet which is next
            ready = [stream for stream in streams if stream.found is not None]
            if not ready:
                break
            newest = max(ready, key=lambda stream: stream.found.moment if stream.found else ("", 0))
            assert newest.found is not None
            records.append(newest.found)
            newest.found, newest.before = None, newest.start
            if left <= 0:
                break
        rest = [stream.place() for stream in streams if not (stream.ended and stream.found is None)]
        back_to = max((stream.moment for stream in streams if not stream.ended), default="")
        return Found(records, [self._owner(), *rest] if rest else None, back_to)

    def count(self, wanted: Wanted, period: int, budget: int) -> Counted:
        """How many records there are of each kind in each ``period`` seconds. Raises OSError."""
        wanted, earliest, latest = _bounded(wanted)
        streams = self._streams(None, latest)
        counts: Counter[tuple[int, str, str]] = Counter()
        for stream in streams:
            # A share each, so that all get about as far.
            left = budget // len(streams)
            for line, _, _ in stream.lines:
                brief = stream.brief(line, earliest)
                if stream.ended:
                    break
                if brief is not None and wanted.may_be(brief) and (not wanted.asks_more or _is_one(wanted, line)):
                    counts[_second(brief.event_time) // period * period, brief.event_name, brief.error_code] += 1
                left -= len(line)
                if left <= 0:
                    break
            else:
                stream.ended = True
        back_to = max((stream.moment for stream in streams if not stream.ended), default="")
        if back_to:
            first = _second(back_to) // period * period
            counts = Counter({kind: count for kind, count in counts.items() if kind[0] >= first})
        return Counted(counts, back_to)

    def _advance(self, stream: _Stream, wanted: Wanted, earliest: str | None, left: int) -> int:
        # One line of each is read in any case: else one that is read anew each time could keep the others waiting.
        while stream.found is None and not stream.ended and (left > 0 or not stream.begun):
            stream.begun = True
            line, stream.inode, start = next(stream.lines, (b"", stream.inode, 0))
            if not line:
                stream.ended = True
                break
            left -= len(line)
            brief = stream.brief(line, earliest)
            if stream.ended:
                break
            shown = read(line) if brief is not None and wanted.may_be(brief) else None
            if shown is not None and wanted.matches(shown):
                stream.found, stream.start = shown, start
                stream.before = start + len(line) if not isinstance(self._source, Recent) else start + 1
                break
            stream.before = start
        return left

    def _streams(self, places: list[Place] | None, latest: str | None) -> list[_Stream]:
        if places is not None:
            if places[:1] != [self._owner()]:
                raise Elsewhere
            places = places[1:]
        if isinstance(self._source, Recent):
            before = self._source.end if places is None else next((p.before for p in places), 0)
            lines = ((line, _MEMORY, number) for line, number in self._source.before(before))
            return [_Stream(0, lines, _MEMORY, before)]
        if places is None:
            return [_stream(self._source, writer, None, latest) for writer in files.writers(self._source)]
        return [_stream(self._source, place.writer, place, latest) for place in places]


def _bounded(wanted: Wanted) -> tuple[Wanted, str | None, str | None]:
    """With its times as ``eventTime`` has them; and those beyond which no record of theirs can be found."""
    since = None if wanted.since is None else iso_second(int(wanted.since))
    until = None if wanted.until is None else iso_second(int(wanted.until))
    earliest = None if wanted.since is None else iso_second(int(wanted.since) - _SLACK)
    latest = None if wanted.until is None else iso_second(int(wanted.until) + _SLACK)
    query = wanted.query._replace(since=since, until=until)
    return msgspec.structs.replace(wanted, query=query), earliest, latest


def _briefly(line: bytes) -> _Brief | None:
    """None for what is no record."""
    try:
        brief = _brief.decode(line)
    except msgspec.DecodeError:
        return None
    return brief if brief.event_time else None


def _is_one(wanted: Wanted, line: bytes) -> bool:
    shown = read(line)
    return shown is not None and wanted.matches(shown)


@lru_cache(maxsize=4096)
def _second(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp())
    except ValueError:
        return 0  # somebody wrote into the file


def _stream(directory: Path, writer: int, place: Place | None, latest: str | None) -> _Stream:
    lines = _back(directory, writer, place, latest)
    return _Stream(writer, lines, 0 if place is None else place.inode, 0 if place is None else place.before)


def _back(directory: Path, writer: int, place: Place | None, latest: str | None) -> Iterator[tuple[bytes, int, int]]:
    """The lines of a writer from ``place`` back, or from its end: each with its file's inode and where it starts."""
    seen: set[int] = set()
    sought = place
    for path in _paths(directory, writer):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # pruned, or not begun
        try:
            found = os.fstat(fd)
            inode = found.st_ino
            if inode in seen or (sought is not None and sought.inode not in (0, inode)):
                continue
            seen.add(inode)
            end = files.whole_lines(fd, found.st_size)
            if sought is not None and sought.inode == inode:
                end = min(end, sought.before)
            sought = None
            if latest is not None:
                end = _not_after(fd, end, latest)
            for line, start in _lines_back(fd, end):
                yield line, inode, start
        finally:
            os.close(fd)


def _paths(directory: Path, writer: int) -> Iterator[Path]:
    """What is appended to, and only once that was opened those that were put aside: if it is meanwhile, it is among
    them, and known by its inode."""
    yield files.active(directory, writer)
    for _, path in reversed(files.rotated(directory, writer)):
        yield path


def _lines_back(fd: int, end: int) -> Iterator[tuple[bytes, int]]:
    """The lines of the first ``end`` bytes, which are whole, from the last; each with where it starts."""
    held = b""
    while end > 0:
        begin = max(0, end - _BLOCK)
        data = os.pread(fd, end - begin, begin) + held
        # What ends with the first newline may have begun before.
        first = data.find(b"\n") + 1 if begin else 0
        if begin and not first:
            held, end = data, begin
            continue
        at = begin + len(data)
        for line in reversed(data[first:].splitlines(keepends=True)):
            at -= len(line)
            yield line, at
        held, end = data[:first], begin


def _not_after(fd: int, end: int, latest: str) -> int:
    """An end of lines before which everything is that is not later than ``latest``, near enough."""
    low, high = 0, end
    while high - low > _BLOCK:
        middle = (low + high) // 2
        line, start = _line_from(fd, middle, end)
        shown = read(line) if line else None
        if shown is None or shown.moment[0] > latest:
            high = middle
        else:
            low = start + len(line)
    line, start = _line_from(fd, high, end)
    return start if line else end


def _line_from(fd: int, position: int, end: int) -> tuple[bytes, int]:
    """The first whole line that begins after ``position``, and where; b"" if there is none before ``end``."""
    data = b""
    while position + len(data) < end:
        more = os.pread(fd, min(_BLOCK, end - position - len(data)), position + len(data))
        if not more:
            break
        data += more
        start = data.find(b"\n") + 1
        stop = data.find(b"\n", start) + 1 if start else 0
        if stop:
            return data[start:stop], position + start
    return b"", end
