# SPDX-License-Identifier: Apache-2.0
"""Until when a process may believe what it has cached, where others change the database behind its back.

Nothing cached is used, and no answer leaves that was decided by it, after the lease. Only a check that was completed
extends it, and it counts from the moment at which that check began: whatever was committed before is known since. So
no process speaks by rights that were taken away longer than ``SECONDS`` ago, however long it was stopped or cut off.

Processes that share a mapped file know of each other's changes at once: on SQLite there is no lease, and none lapses.
"""

import math
import threading
from collections.abc import Callable
from typing import Final

from keyquorum.clock import uptime
from keyquorum.errors import DependencyTimeoutException

#: A tenth of a second is left for an answer on its way.
SECONDS: Final = 0.9
#: How long a request waits for a check, and how much of the lease it wants to have before it, in seconds.
_PATIENCE: Final = 2.0
_ROOM: Final = 0.2
_TIMED_OUT: Final = "The system timed out while trying to fulfill the request. You can retry the request."


class Lease:
    """``now``: seconds on a clock that nobody sets and that goes on while the machine sleeps. ``wanted`` is called,
    from any thread, when somebody waits for a check."""

    def __init__(self, now: Callable[[], float] = uptime, seconds: float = SECONDS) -> None:
        self.now = now
        self.seconds = seconds
        #: When it lapses, on the clock ``now``.
        self.until = -math.inf
        self.wanted: Callable[[], None] = lambda: None
        self._lost: str | None = None
        self._changed = threading.Condition()

    def holds(self) -> bool:
        return self.now() < self.until

    def extend(self, begun: float) -> None:
        """A check that began at ``begun`` is complete, and all that it found has been marked."""
        with self._changed:
            self.until = max(self.until, begun + self.seconds)
            self._lost = None
            self._changed.notify_all()

    def lose(self, why: str) -> None:
        """No check can be made. Nobody is to wait for one until one was made."""
        with self._changed:
            self._lost = why
            self._changed.notify_all()

    def has_room(self, until: float) -> bool:
        """Whether what is good until then, on the clock ``now``, can be counted on to last for a request."""
        return until - self.now() > _ROOM

    def require(self, *, anew: bool = False) -> float:
        """The moment at which it lapses, which is to come. It waits for a check if it must, in a thread where waiting
        is allowed; ``anew``: for one that begins after this. Raises DependencyTimeoutException if there is none to be
        had."""
        least = self.now() + self.seconds if anew else -math.inf

        def is_enough() -> bool:
            return self.until >= least and self.has_room(self.until)

        if not is_enough():
            self.wanted()
            with self._changed:
                self._changed.wait_for(lambda: self._lost is not None or is_enough(), _PATIENCE)
            if self.until < least or not self.holds():
                raise lapsed(self._lost or "no check of the database was completed in time")
        return self.until


def lapsed(detail: str) -> DependencyTimeoutException:
    """What is answered in place of what was, or would be, decided after the lease."""
    return DependencyTimeoutException(_TIMED_OUT, detail=f"the lease on what is cached has lapsed: {detail}")
