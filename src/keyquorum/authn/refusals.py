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


class Refusals:
    """``counts``: error code -> how many, since the start."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._second = 0
        self._lines = 0
        self._withheld = 0

    def note(self, error: KMSError, request_id: str, peer: str, now: float) -> None:
        with self._lock:
            self.counts[error.code] += 1
            if int(now) != self._second:
                self._second, self._lines = int(now), 0
                withheld, self._withheld = self._withheld, 0
                if withheld:
                    _log.warning("%d more requests failed authentication", withheld)
            if self._lines >= _LINES_PER_SECOND:
                self._withheld += 1
                return
            self._lines += 1
        _log.warning("authentication failed: %s, request %s from %s", error.code, request_id, peer)
