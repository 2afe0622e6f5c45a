# SPDX-License-Identifier: Apache-2.0
"""Memory that the processes of one server share: the buckets of request quotas, and each worker's last metrics, for
whichever of them is asked.

It has no name in any file system, so that nothing stays behind and nobody else can open it. A worker has a place of its
own as long as it lives (a record lock, which the kernel lets go); its successor goes on with the counts that it left.
"""

import fcntl
import mmap
import os
import time
import zlib
from collections.abc import Iterator
from multiprocessing.reduction import DupFd
from typing import Any, Final

from keyquorum import throttling

#: For one worker's metrics as they are written here; what does not fit is not shown to the others.
_PAGE: Final = 1024 * 1024
_PAGES: Final = 2  # written in turns, so that a process that dies while it writes leaves the one before
_HEAD: Final = 24  # length, checksum, time of writing


class Shared:
    """``workers``: how many places; those of processes that are being replaced count too. Given to a process as it is
    spawned, it leads to the same memory there."""

    def __init__(self, workers: int, fd: int | None = None) -> None:
        self.workers = workers
        size = throttling.BYTES + workers * _PAGES * _PAGE
        if fd is None:
            fd = os.memfd_create("keyquorum")
            os.ftruncate(fd, size)
        self._fd = fd
        self._memory = memoryview(mmap.mmap(fd, size))
        self.quotas = self._memory[: throttling.BYTES]
        self._own: int | None = None
        self._turn = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.workers, DupFd(self._fd))

    def join(self) -> bytes:
        """Take a place; what the process that had it before wrote last. Raises OSError if none is free."""
        for index in range(self.workers):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
            except OSError:
                continue
            self._own = index
            return self._read(index)[1]
        raise BlockingIOError("every worker has its place, and this is one too many")

    def write(self, told: bytes) -> None:
        """Tell the others."""
        if self._own is None or len(told) > _PAGE - _HEAD:
            return
        self._turn = (self._turn + 1) % _PAGES
        page = self._page(self._own, self._turn)
        head = page[:_HEAD].cast("Q")
        page[_HEAD : _HEAD + len(told)] = told
        head[0], head[1], head[2] = len(told), zlib.crc32(told), time.monotonic_ns()

    def others(self) -> Iterator[tuple[float, bytes]]:
        """What the others have told, and how many seconds ago."""
        for index in range(self.workers):
            if index != self._own:
                written, told = self._read(index)
                if told:
                    yield (time.monotonic_ns() - written) / 1e9, told

    def _page(self, index: int, turn: int) -> memoryview:
        start = throttling.BYTES + (index * _PAGES + turn) * _PAGE
        return self._memory[start : start + _PAGE]

    def _read(self, index: int) -> tuple[int, bytes]:
        """The newest of the pages that are whole, and when it was written."""
        found = [(0, b"")]
        for turn in range(_PAGES):
            page = self._page(index, turn)
            length, checksum, written = page[:_HEAD].cast("Q")
            told = bytes(page[_HEAD : _HEAD + min(length, _PAGE)])
            if zlib.crc32(told) == checksum:
                found.append((written, told))
        return max(found)


def _again(workers: int, duplicate: Any) -> Shared:
    return Shared(workers, duplicate.detach())
