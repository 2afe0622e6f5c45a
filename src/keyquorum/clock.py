# SPDX-License-Identifier: Apache-2.0
"""The server's time. Key states, dates and records go by it; signatures go by the machine's own clock, always."""

import logging
import math
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_JUMP: Final = 300.0
_PATIENCE: Final = 600.0


def uptime() -> float:
    """Seconds that go on while the machine sleeps and that nobody sets, where the system has them."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Clock:
    """``offset``: seconds ahead of the machine's clock; only development moves it. ``wall`` and ``uptime`` are the
    machine's clocks, in seconds, the first since the epoch."""

    def __init__(self, wall: Callable[[], float] = time.time, uptime: Callable[[], float] = uptime) -> None:
        self.offset = 0.0
        self._wall = wall
        self._uptime = uptime
        self._difference = wall() - uptime()
        self._doubtful_until = -math.inf

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall() + self.offset

    def is_steady(self) -> bool:
        """Whether what cannot be undone may go by this clock; to be asked regularly.

        A clock that was set forward by more than five minutes may be set back again: for ten minutes it is not
        believed. Time that the machine slept through is no jump, and neither is what development adds.
        """
        uptime = self._uptime()
        difference = self._wall() - uptime
        if difference - self._difference > _JUMP:
            _log.error("the clock jumped %.0f s ahead; deletions wait", difference - self._difference)
            self._doubtful_until = uptime + _PATIENCE
        self._difference = difference
        return uptime >= self._doubtful_until
