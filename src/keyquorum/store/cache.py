# SPDX-License-Identifier: Apache-2.0
"""A bounded cache of what was loaded and verified, each entry good as long as its slot's generation says so, and as the
lease holds where there is one.

It holds no negative answers: an attacker who asks for things that do not exist fills nothing.
"""

import threading
from typing import Final, Generic, TypeVar

from keyquorum.store.generations import Generations, Tag

T = TypeVar("T")

#: Seconds after a lease has lapsed.
_LONG: Final = 60.0


class Cache(Generic[T]):
    """``bound`` is what its entries may weigh together; most weigh 1. Safe to use from several threads: an entry is
    looked up in one operation on a dict, atomic in CPython, and changes are made by one at a time."""

    def __init__(self, generations: Generations, bound: int) -> None:
        self._generations = generations
        self._lease = generations.lease
        self._bound = bound
        self._entries: dict[str, tuple[int, int, int, T, int]] = {}
        self._weight = 0
        self._changing = threading.Lock()
        #: How many entries were found, and how many things were loaded because none was; threads may lose a count.
        self.hits = 0
        self.misses = 0

    def get(self, name: str) -> T | None:
        """The entry, if there is one and it is known that nothing in its slot has changed since it was loaded."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        slot, number, epoch, value, _ = entry
        generations, lease = self._generations, self._lease
        # In this order: with the lease goes what was marked before it, and the slot may say more by now, never less.
        if lease is not None and not lease.holds():
            return None
        if generations.at(slot) > number or epoch != generations.epoch:
            return None
        self.hits += 1
        return value

    def put(self, name: str, tag: Tag, value: T, under: str | None = None, weight: int = 1) -> None:
        """Keep ``value``, loaded in the snapshot of ``tag``. It goes when what is named ``under`` changes, which is
        ``name`` itself if nothing is said."""
        with self._changing:
            self.misses += 1
            self._drop(name)
            while self._entries and self._weight + weight > self._bound:
                self._drop(next(iter(self._entries)))
            self._entries[name] = (Generations.slot(under or name), tag.number, tag.epoch, value, weight)
            self._weight += weight

    def _drop(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._weight -= entry[4]

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry, usable or not."""
        return name in self._entries

    def sweep(self) -> None:
        """Forget every entry that may not be used any more, so that no process keeps a destroyed key's material; all of
        them, where nothing has been heard of changes for long."""
        lease = self._lease
        cut_off = lease is not None and lease.now() > lease.until + _LONG
        for name, (slot, number, epoch, _, _) in list(self._entries.items()):
            if cut_off or self._generations.at(slot) > number or epoch != self._generations.epoch:
                with self._changing:
                    self._drop(name)

    def clear(self) -> None:
        with self._changing:
            self._entries.clear()
            self._weight = 0
