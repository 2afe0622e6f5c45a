# SPDX-License-Identifier: Apache-2.0
"""The threads in which requests run that have to wait.

Requests of callers who are known share one pool. A request whose access key has to be looked up first may come from
anybody, so those have a small pool of their own with a short queue: a flood of unknown access keys keeps nobody else
waiting.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

_STRANGERS: Final = 4
_STRANGERS_WAITING: Final = 512


class Workers:
    """``threads``: how many for callers who are known."""

    def __init__(self, threads: int) -> None:
        self._known = ThreadPoolExecutor(threads, thread_name_prefix="keyquorum")
        self._strangers = ThreadPoolExecutor(_STRANGERS, thread_name_prefix="keyquorum-stranger")
        self._room = threading.BoundedSemaphore(_STRANGERS_WAITING)

    def submit(self, known: bool, work: Callable[..., None], *arguments: Any) -> bool:
        """Run ``work(*arguments)`` when a thread is free; False, and nothing will run, if too much waits already."""
        if known:
            self._known.submit(work, *arguments)
            return True
        if not self._room.acquire(blocking=False):
            return False
        self._strangers.submit(self._in_room, work, *arguments)
        return True

    def _in_room(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        finally:
            self._room.release()

    def shutdown(self) -> None:
        """Wait for what runs, and drop what waits: nothing of a request runs any more when this returns."""
        for pool in (self._known, self._strangers):
            pool.shutdown(wait=True, cancel_futures=True)
