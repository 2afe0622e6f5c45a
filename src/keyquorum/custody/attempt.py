# SPDX-License-Identifier: Apache-2.0
"""Shares of one sealed root key, collected one by one. They are kept in memory only, and let go with the root key,
after a failure, or when the rest has not come in time. (Python cannot wipe them: they are gone when their memory is
used again.)"""

import os
import threading
from collections.abc import Callable
from typing import Final

from shamir_mnemonic import Share

from keyquorum.custody.seal import IN_USE
from keyquorum.custody.shamir import ShareError, combine, read_share, seal_of, split_of
from keyquorum.model import SealedRoot

#: Seconds from the first share to the last.
PATIENCE: Final = 15 * 60.0


class Attempt:
    """``nonce`` names this attempt, so that who brings a share sees whether those before are still there. ``clock``: in
    seconds, only ever forward."""

    def __init__(self, sealed: SealedRoot, clock: Callable[[], float], role: str = IN_USE) -> None:
        """Raises SealError if the row is none that shares open."""
        self._sealed = sealed
        self._role = role
        self._clock = clock
        self._lock = threading.Lock()
        self._split = split_of(sealed)
        self._given: dict[int, Share] = {}
        self._until = 0.0
        self.nonce = ""
        self._begin()

    @property
    def threshold(self) -> int:
        return self._split.threshold

    @property
    def shares(self) -> int:
        return self._split.shares

    def given(self) -> list[int]:
        """The numbers of the shares that are here, from 1."""
        with self._lock:
            self._expire()
            return sorted(index + 1 for index in self._given)

    def give(self, text: str) -> bytes | None:
        """Add a share; the root key, if it was the last that is needed. Raises ShareError for one that is wrong or here
        already, which changes nothing; SealError if the shares open nothing, after which they are gone."""
        share = read_share(text, self._split)
        with self._lock:
            self._expire()
            if share.index in self._given:
                raise ShareError(f"share {share.index + 1} was given already")
            if not self._given:
                self._until = self._clock() + PATIENCE
            self._given[share.index] = share
            if len(self._given) < self._split.threshold:
                return None
            shares = list(self._given.values())
            self._begin()
        return seal_of(combine(shares), self._split).open(self._sealed, self._role)

    def forget(self) -> None:
        with self._lock:
            self._begin()

    def _expire(self) -> None:
        if self._given and self._clock() >= self._until:
            self._begin()

    def _begin(self) -> None:
        self._given = {}
        self.nonce = os.urandom(8).hex()
