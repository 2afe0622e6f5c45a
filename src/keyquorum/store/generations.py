# SPDX-License-Identifier: Apache-2.0
"""How a process learns that what it has cached is stale: counters that all processes of one host share.

Changes are numbered. Before a change commits, still under the database's write lock, its number is put into the slot
of everything that it touches, in a file mapped by every process. Whatever is loaded is tagged with the number that the
database had in the same snapshot; it may be used as long as its slot holds no larger number. So:

- before the commit, a reader finds the larger number, reads the database, and gets the old state, which is still true;
- after it, the next reader in any process finds the larger number and reads the new state;
- if the writer dies between the two, the slot stays ahead of the database, its entries are not cached, and the next
  change of anything makes the numbers meet again.

A number is larger than every one before it, whatever the database says: one that was put back to an older state, or was
tampered with, cannot make a slot fall.
"""

import logging
import mmap
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_SLOTS: Final = 4096
_HIGHEST: Final = _SLOTS  # one item more: the largest number given out
_BYTES: Final = (_SLOTS + 1) * 8


class Generations:
    """``path`` is the file to share, or None for a process that shares with nobody."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        #: Rises when the file was replaced: what was loaded before says nothing any more.
        self.epoch = 0
        self._map()

    def _map(self) -> None:
        if self._path is None:
            mapped = mmap.mmap(-1, _BYTES)
        else:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                status = os.fstat(fd)
                if min(status.st_size, status.st_blocks * 512) < _BYTES:
                    # On a full disk a store into a page that has no block yet would end the process (SIGBUS).
                    os.posix_fallocate(fd, 0, _BYTES)
                mapped = mmap.mmap(fd, _BYTES)
            finally:
                os.close(fd)
        # Native, aligned 8-byte items: one store and one load each, never torn.
        self._slots = memoryview(mapped).cast("Q")
        #: The number of the last change, committed or about to be, to anything in a slot.
        self.at: Callable[[int], int] = self._slots.__getitem__
        if self._path is not None:
            self._identity = (status.st_dev, status.st_ino)

    def follow(self) -> None:
        """Map the file anew if it was replaced (a restore, a clean-up by hand): to be asked regularly, and before each
        change, so that processes do not lose sight of each other."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
        except FileNotFoundError:
            pass
        else:
            if (status.st_dev, status.st_ino) == self._identity:
                return
        _log.error("the file %s was replaced under a running server; nothing cached is used any more", self._path)
        self._map()
        self.epoch += 1

    @staticmethod
    def slot(name: str) -> int:
        """The slot of a cached thing. Two that share one only cost each other a reload."""
        return zlib.crc32(name.encode()) % _SLOTS

    @staticmethod
    def all_slots() -> range:
        return range(_SLOTS)

    def mark(self, slots: set[int], number: int) -> None:
        """Announce the change with this number; only under the database's write lock."""
        self._slots[_HIGHEST] = max(number, self._slots[_HIGHEST])
        for slot in slots:
            self._slots[slot] = number

    def highest(self) -> int:
        """The largest number given out on this host."""
        return self._slots[_HIGHEST]
