# SPDX-License-Identifier: Apache-2.0
"""The last records of a server that keeps nothing: a bounded number of them, in memory, to be looked at."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

_RECORDS: Final = 2000
_BYTES: Final = 16 * 1024 * 1024


class Recent:
    """A sink of an audit log. Places are numbers of records, from 0."""

    def __init__(self, records: int = _RECORDS, size: int = _BYTES) -> None:
        self._most, self._size = records, size
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._end = 0
        self._lock = threading.Lock()

    def offer(self, lines: Iterable[bytes]) -> None:
        with self._lock:
            for line in lines:
                self._lines.append(line)
                self._bytes += len(line)
                self._end += 1
            while len(self._lines) > self._most or self._bytes > self._size:
                self._bytes -= len(self._lines.popleft())

    def clear(self) -> None:
        with self._lock:
            self._lines.clear()
            self._bytes = 0

    @property
    def end(self) -> int:
        return self._end

    def before(self, place: int) -> Iterator[tuple[bytes, int]]:
        """The lines before a place, each with its own, the newest first."""
        with self._lock:
            lines, first = list(self._lines), self._end - len(self._lines)
        for number in range(min(place, first + len(lines)) - 1, first - 1, -1):
            yield lines[number - first], number
