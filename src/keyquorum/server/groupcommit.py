# SPDX-License-Identifier: Apache-2.0
"""Group commit: the audit records of one turn of the event loop go out in one write, and the answers after it.

No record, no answer: an answer is not handed back before the write that makes its record durable has returned, and
not at all if that write failed.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from keyquorum.authn.refusals import Rate
from keyquorum.errors import KMSError, KMSInternalException
from keyquorum.model import Answer

_log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Whoever waits for an answer. It may have gone by the time: its record is written all the same."""

    def deliver(self, answer: Answer, now: float, /) -> None:
        """Take ``answer``; ``now`` is the loop's time in seconds. Must not raise."""


class GroupCommit:
    """The answers of one turn of ``loop``; used on the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write_records: Callable[[list[bytes]], None],
        refuse: Callable[[KMSError, bytes], Answer],
    ) -> None:
        self._loop = loop
        self._write_records = write_records
        self._refuse = refuse
        # A disk that is full must not fill another with what is said about it.
        self._failures = Rate(10, 60, "times audit records could not be written")
        self._batch: list[tuple[Receiver, Answer]] = []

    def add(self, receiver: Receiver, answer: Answer) -> None:
        """Deliver ``answer`` to ``receiver`` once its record is durable, in the loop's next turn at the latest."""
        if not self._batch:
            self._loop.call_soon(self._flush)
        self._batch.append((receiver, answer))

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        records = [answer.record for _, answer in batch if answer.record is not None]
        if records:
            try:
                self._write_records(records)
            except Exception as error:  # whatever kept the records from the disk keeps the answers here
                fault = error if isinstance(error, KMSError) else KMSInternalException()
                if self._failures.admits(time.time()):
                    cause = error if fault is not error else None
                    _log.error(
                        "%d audit records not written, answers withheld: %s", len(records), fault, exc_info=cause
                    )
                batch = [
                    (receiver, answer if answer.record is None else self._refuse(fault, answer.content_type))
                    for receiver, answer in batch
                ]
        now = self._loop.time()
        for receiver, answer in batch:
            receiver.deliver(answer, now)
