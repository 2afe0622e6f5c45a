# SPDX-License-Identifier: Apache-2.0
"""A bounded cache of what was loaded and verified, each entry good as long as its slot's generation says so.

It holds no negative answers: an attacker who asks for things that do not exist fills nothing.
"""

from typing import Generic, TypeVar

from keyquorum.store.generations import Generations

T = TypeVar("T")


class Cache(Generic[T]):
    """Safe to use from several threads: every step is one operation on a dict, atomic in CPython."""

    def __init__(self, generations: Generations, bound: int) -> None:
        self._generations = generations
        self._bound = bound
        self._entries: dict[str, tuple[int, int, int, T]] = {}

    def get(self, name: str) -> T | None:
        """The entry, if there is one and nothing in its slot has changed since it was loaded."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        slot, number, epoch, value = entry
        generations = self._generations
        return value if generations.at(slot) <= number and epoch == generations.epoch else None

    def put(self, name: str, number: int, value: T, under: str | None = None) -> None:
        """Keep ``value``, loaded in a snapshot in which the database's generation was ``number``. It goes when what is
        named ``under`` changes, which is ``name`` itself if nothing is said."""
        while len(self._entries) >= self._bound:
            try:
                del self._entries[next(iter(self._entries))]
            except (KeyError, StopIteration, RuntimeError):
                break  # another thread evicted at the same moment; being one over the bound does no harm
        self._entries[name] = (Generations.slot(under or name), number, self._generations.epoch, value)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry, usable or not."""
        return name in self._entries

    def sweep(self) -> None:
        """Forget every entry that may not be used any more, so that no process keeps a destroyed key's material."""
        for name, (slot, number, epoch, _) in list(self._entries.items()):
            if self._generations.at(slot) > number or epoch != self._generations.epoch:
                self._entries.pop(name, None)

    def clear(self) -> None:
        self._entries.clear()
