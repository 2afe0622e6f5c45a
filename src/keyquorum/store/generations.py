# SPDX-License-Identifier: Apache-2.0
"""How a process learns that what it has cached is stale: counters that all processes of one host share.

The database numbers its changes. Before a change commits, still under the database's write lock, its number is put into
the slot of everything that it touches, in a file mapped by every process. Whatever is loaded is tagged with the number
that the database had in the same snapshot; it may be used as long as its slot holds no larger number. So:

- before the commit, a reader finds the larger number, reads the database, and gets the old state, which is still true;
- after it, the next reader in any process finds the larger number and reads the new state;
- if the writer dies between the two, the slot stays ahead of the database, its entries are not cached, and the next
  change of anything makes the numbers meet again.
"""

import mmap
import os
import zlib
from pathlib import Path
from typing import Final

_SLOTS: Final = 4096
_BYTES: Final = _SLOTS * 8


class Generations:
    """``path`` is the file to share, or None for a process that shares with nobody."""

    def __init__(self, path: Path | None) -> None:
        if path is None:
            self._map = mmap.mmap(-1, _BYTES)
        else:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size < _BYTES:
                    os.ftruncate(fd, _BYTES)
                self._map = mmap.mmap(fd, _BYTES)
            finally:
                os.close(fd)
        # Native, aligned 8-byte items: one store and one load each, never torn.
        self._slots = memoryview(self._map).cast("Q")

    @staticmethod
    def slot(name: str) -> int:
        """The slot of a cached thing. Two that share one only cost each other a reload."""
        return zlib.crc32(name.encode()) % _SLOTS

    @staticmethod
    def all_slots() -> range:
        return range(_SLOTS)

    def at(self, slot: int) -> int:
        """The number of the last change, committed or about to be, to anything in this slot."""
        return self._slots[slot]

    def mark(self, slot: int, number: int) -> None:
        """Announce a change; only under the database's write lock."""
        self._slots[slot] = number

    def highest(self) -> int:
        return max(self._slots)
