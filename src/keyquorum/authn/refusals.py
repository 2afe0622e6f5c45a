# SPDX-License-Identifier: Apache-2.0
"""Requests that fail authentication: counted, and logged at a bounded rate. They never reach the audit log, where a
sender whom nobody knows could fill the disk that stops the service."""

import logging
import threading
from collections import Counter
from typing import Final

from keyquorum.errors import KMSError

_log = logging.getLogger("keyquorum.authn")

_LINES_PER_SECOND: Final = 10


class Rate:
    """At most ``most`` entries in the log in ``seconds``. ``what`` they are about is told of those that were withheld,
    together and later."""

    def __init__(self, most: int, seconds: int, what: str) -> None:
        self._most = most
        self._seconds = seconds
        self._what = what
        self._lock = threading.Lock()
        self._period = 0
        self._entries = 0
        self._withheld = 0

    def admits(self, now: float) -> bool:
        """Whether there may be one more."""
        with self._lock:
            period = int(now) // self._seconds
            if period != self._period:
                self._period, self._entries = period, 0
                withheld, self._withheld = self._withheld, 0
                if withheld:
                    _log.warning("%d more %s", withheld, self._what)
            if self._entries >= self._most:
                self._withheld += 1
                return False
            self._entries += 1
            return True


class Refusals:
    """``counts``: error code -> how many, since the start."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._rate = Rate(_LINES_PER_SECOND, 1, "requests failed authentication")

    def note(self, error: KMSError, request_id: str, peer: str, now: float) -> None:
        with self._lock:
            self.counts[error.code] += 1
        if self._rate.admits(now):
            _log.warning("authentication failed: %s, request %s from %s", error.code, request_id, peer)
