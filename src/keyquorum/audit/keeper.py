# SPDX-License-Identifier: Apache-2.0
"""When a process makes checkpoints: at its start and its end, once a minute while something changed, and when its audit
file has been put aside."""

import logging
import time
from collections.abc import Callable
from typing import Final

from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.log import AuditError, AuditLog

_log = logging.getLogger(__name__)

_INTERVAL: Final = 60.0


class Keeper:
    """``now`` is the wall clock."""

    def __init__(self, checkpoints: Checkpoints, log: AuditLog, now: Callable[[], float] = time.time) -> None:
        self._checkpoints = checkpoints
        self._log = log
        self._now = now
        self._made = float("-inf")
        self._rotations = 0
        #: When the last checkpoint was made here, in seconds since the epoch; 0 before the first.
        self.made_at = 0.0

    def make(self) -> None:
        """A failure is logged: the records themselves are safe, and the next checkpoint covers them."""
        self._made, self._rotations = time.monotonic(), self._log.rotations
        try:
            now = self._now()
            self._checkpoints.make(self._log, now)
            self.made_at = now
        except (AuditError, OSError) as error:
            _log.error("no checkpoint of the audit log could be made: %s", error)

    def make_if_due(self) -> None:
        if self._log.rotations != self._rotations or time.monotonic() - self._made >= _INTERVAL:
            self.make()
