# SPDX-License-Identifier: Apache-2.0
"""The threads in which requests run that have to wait: four pools, so that no kind keeps the others waiting.

Requests of callers who are known share one. A request whose access key has to be looked up first may come from anybody,
so those have a small pool of their own; so have web identities, whose issuers may be waited for; and so have requests
that compute for as long as a second (RSA keys are made). These have a short queue: beyond it a request is refused.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

_STRANGERS: Final = 4
_FEDERATION: Final = 4
_COMPUTING: Final = max(1, (os.cpu_count() or 1) - 1)


class _Pool:
    """``waiting``: how many requests may run and wait together."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=f"keyquorum-{name}")
        self._room = threading.BoundedSemaphore(waiting)
        self._counting = threading.Lock()
        #: How many requests run or wait, and how many were refused because too many did.
        self.taken = 0
        self.refused = 0

    def submit(self, work: Callable[..., None], *arguments: Any) -> bool:
        if not self._room.acquire(blocking=False):
            self.refused += 1
            return False
        self._count(1)
        self.executor.submit(self._run, work, *arguments)
        return True

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        finally:
            self._count(-1)
            self._room.release()

    def _count(self, change: int) -> None:
        with self._counting:
            self.taken += change


class Workers:
    """``threads``: how many for callers who are known; a connection has one request at a time, which bounds those."""

    def __init__(self, threads: int, connections: int) -> None:
        self.pools = {
            "callers": _Pool("callers", threads, connections + threads),
            "strangers": _Pool("strangers", _STRANGERS, 512),
            "federation": _Pool("federation", _FEDERATION, 128),
            "computing": _Pool("computing", _COMPUTING, 64),
        }

    def submit(self, where: str, work: Callable[..., None], *arguments: Any) -> bool:
        """Run ``work(*arguments)`` when a thread is free; False, and nothing will run, if too much waits already."""
        return self.pools[where].submit(work, *arguments)

    def shutdown(self) -> None:
        """Wait for what runs, and drop what waits: nothing of a request runs any more when this returns."""
        for pool in self.pools.values():
            pool.executor.shutdown(wait=True, cancel_futures=True)
