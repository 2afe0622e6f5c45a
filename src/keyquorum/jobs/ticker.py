# SPDX-License-Identifier: Apache-2.0
"""The thread that runs the jobs, once a second, for as long as the server does."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from keyquorum.errors import KMSError

_log = logging.getLogger(__name__)

_SECONDS: Final = 1.0


class Ticker:
    """Runs ``jobs`` one after the other. A job that fails is tried again at the next tick."""

    def __init__(self, jobs: Callable[[], None]) -> None:
        self._jobs = jobs
        self._stop = threading.Event()
        #: When the jobs last ran to their end, in seconds since the epoch, and how often they did not.
        self.last_run = 0.0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="keyquorum-jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let a job that is running finish, and run no other."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_SECONDS):
            try:
                self._jobs()
                self.last_run = time.time()
            except KMSError as error:
                self.failures += 1
                _log.warning("jobs wait: %s %s", error.code, error.detail)
            except Exception:
                self.failures += 1
                _log.exception("a job failed")
