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

**Several nodes on one database.** They share its write lock and its numbers, and no memory. The changes of other nodes
are read from the database and marked here later (``follower``), without the write lock. What then keeps a stale entry
from being used:

- A tag t is the smaller of the snapshot's number and of the largest number known here before the snapshot. Its snapshot
  holds all changes up to the former, so it holds all up to t. A change n that it does not hold has n > t: once n is
  marked, the entry is not used, whichever of loading, caching and marking came first.
- Marking takes the larger of two numbers, under a lock of all processes, since the marks of other nodes and our own do
  not come in order: no slot falls.
- Our own change n + 1 may be marked before another's n is known here. The largest number known does not say then that
  all below it were marked; no tag relies on that. It is the follower that counts what was marked, and the lease that it
  extends says until when an entry may be used (``lease``).
- A number may be given twice, if its first writer dies before the commit. Both are marked; the slots of the first are
  at most held to be newer than they are.
- Numbers that do not follow on those that were seen (the database was put back, records of changes are missing) say
  nothing about what is cached. ``forget`` starts a new epoch then. A tag has the epoch from before its snapshot: what
  was being loaded meanwhile is not kept either.
"""

import fcntl
import logging
import mmap
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from keyquorum.store.lease import Lease

_log = logging.getLogger(__name__)

SLOTS: Final = 4096
_HIGHEST: Final = SLOTS  # one item more: the largest number known
_BYTES: Final = (SLOTS + 1) * 8


class Tag(NamedTuple):
    """How new what was loaded in a snapshot is. A larger number than this host knew of before the snapshot is not
    believed: with it an entry would outlive its changes."""

    number: int
    epoch: int = 0


class Generations:
    """``path`` is the file to share, or None for a process that shares with nobody. ``lease``: until when what is
    cached is to be believed; None where every change is marked here before it commits."""

    def __init__(self, path: Path | None, lease: Lease | None = None) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._fd: int | None = None
        self._marking = threading.Lock()
        self.lease = lease
        #: Rises when the numbers do not go on from those before: what was loaded before says nothing any more.
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
            except BaseException:
                os.close(fd)
                raise
            if self._fd is not None:
                os.close(self._fd)
            self._fd = fd
            self._identity = (status.st_dev, status.st_ino)
        # Native, aligned 8-byte items: one store and one load each, never torn.
        self._slots = memoryview(mapped).cast("Q")
        #: The number of the last change, committed or about to be, to anything in a slot.
        self.at: Callable[[int], int] = self._slots.__getitem__

    def __del__(self) -> None:
        fd = getattr(self, "_fd", None)
        if fd is not None:
            os.close(fd)

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
        with self._marking:
            self.epoch += 1
            self._map()

    def forget(self) -> None:
        """Nothing that this process has loaded, or is about to have loaded, says anything any more."""
        with self._marking:
            self.epoch += 1

    @staticmethod
    def slot(name: str) -> int:
        """The slot of a cached thing. Two that share one only cost each other a reload."""
        return zlib.crc32(name.encode()) % SLOTS

    @staticmethod
    def all_slots() -> range:
        return range(SLOTS)

    def mark(self, slots: Collection[int], number: int) -> None:
        """Announce the change with this number: one of ours only under the database's write lock. No slot falls."""
        with self._alone():
            held = self._slots
            for slot in (_HIGHEST, *slots):
                if held[slot] < number:
                    held[slot] = number

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Among the threads and processes that mark. The kernel lets the lock go when its holder dies."""
        with self._marking:
            fd = self._fd
            if fd is None:
                yield
                return
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def highest(self) -> int:
        """The largest number known on this host."""
        return self._slots[_HIGHEST]
