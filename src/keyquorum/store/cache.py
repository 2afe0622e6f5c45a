# SPDX-License-Identifier: Apache-2.0
"""A bounded cache of what was loaded and verified, each entry good as long as its slot's generation says so.

It holds no negative answers: an attacker who asks for things that do not exist fills nothing.
"""

import threading
from typing import Generic, TypeVar

from keyquorum.store.generations import Generations

T = TypeVar("T")


class Cache(Generic[T]):
    """``bound`` is what its entries may weigh together; most weigh 1. Safe to use from several threads: an entry is
    looked up in one operation on a dict, atomic in CPython, and changes are made by one at a time."""

    def __init__(self, generations: Generations, bound: int) -> None:
        self._generations = generations
        self._bound = bound
        self._entries: dict[str, tuple[int, int, int, T, int]] = {}
        self._weight = 0
        self._changing = threading.Lock()

    def get(self, name: str) -> T | None:
        """The entry, if there is one and nothing in its slot has changed since it was loaded."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        slot, number, epoch, value, _ = entry
        generations = self._generations
        return value if generations.at(slot) <= number and epoch == generations.epoch else None

    def put(self, name: str, number: int, value: T, under: str | None = None, weight: int = 1) -> None:
        """Keep ``value``, loaded in a snapshot in which the database's generation was ``number``. It goes when what is
        named ``under`` changes, which is ``name`` itself if nothing is said."""
        with self._changing:
            self._drop(name)
            while self._entries and self._weight + weight > self._bound:
                self._drop(next(iter(self._entries)))
            self._entries[name] = (Generations.slot(under or name), number, self._generations.epoch, value, weight)
            self._weight += weight

    def _drop(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._weight -= entry[4]

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry, usable or not."""
        return name in self._entries

    def sweep(self) -> None:
        """Forget every entry that may not be used any more, so that no process keeps a destroyed key's material."""
        for name, (slot, number, epoch, _, _) in list(self._entries.items()):
            if self._generations.at(slot) > number or epoch != self._generations.epoch:
                with self._changing:
                    self._drop(name)

    def clear(self) -> None:
        with self._changing:
            self._entries.clear()
            self._weight = 0
