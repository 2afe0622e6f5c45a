# SPDX-License-Identifier: Apache-2.0
"""Copies of records and checkpoints, for whoever keeps them elsewhere. They leave after they are in the audit file, by
a thread of their own; no request waits for them.

What a sink cannot take is kept up to a bound and then dropped, and counted. Receivers see gaps by the sequence numbers
of the chains, and by the sequenceId of syslog.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from keyquorum.audit.log import AuditError
from keyquorum.audit.syslog import Syslog

_log = logging.getLogger(__name__)

_MOST: Final = 10_000
_RETRY: Final = 1.0
_REPORTS: Final = 60.0
_LAST_MOMENTS: Final = 2.0
_STDOUT: Final = 1


class Target(Protocol):
    def send(self, number: int, line: bytes) -> None:
        """Take the line with this number, newline included. May wait; raises OSError."""

    def close(self) -> None: ...


class FileTarget:
    """A file that is appended to, and opened anew after a failure; or what is open already under a number."""

    def __init__(self, where: Path | int) -> None:
        self._where = where
        self._fd = -1

    def send(self, _number: int, line: bytes) -> None:
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = self._where if isinstance(self._where, int) else os.open(self._where, flags, 0o600)
        written = os.write(self._fd, line)
        while written < len(line):
            written += os.write(self._fd, line[written:])

    def close(self) -> None:
        if not isinstance(self._where, int) and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class Sink:
    """``name``: what the log calls it. Its thread begins with the first line."""

    def __init__(self, name: str, target: Target, most: int = _MOST) -> None:
        self.name = name
        self.dropped = 0
        self._target = target
        self._most = most
        self._queue: deque[tuple[int, bytes]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._number = 0
        self._closing = False
        self._reported = 0
        self._next_report = 0.0

    def offer(self, lines: Iterable[bytes]) -> None:
        """Take copies of lines that are durable. Neither waits nor raises."""
        with self._changed:
            for line in lines:
                self._number += 1
                if len(self._queue) < self._most and not self._closing:
                    self._queue.append((self._number, line))
                else:
                    self.dropped += 1
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="keyquorum-audit-sink", daemon=True)
                self._thread.start()
            self._changed.notify()

    def waiting(self) -> int:
        return len(self._queue)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return
                number, line = self._queue[0]
            try:
                self._target.send(number, line)
            except OSError as error:
                self._report(str(error))
                self._target.close()
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(_RETRY)
                continue
            with self._changed:
                self._queue.popleft()
            if self.dropped != self._reported:
                self._report("it was slower than the log")

    def _report(self, reason: str) -> None:
        now = time.monotonic()
        if now >= self._next_report or self._closing:
            self._next_report, self._reported = now + _REPORTS, self.dropped
            _log.warning("audit sink %s: %s; %d lines dropped so far", self.name, reason, self.dropped)

    def close(self) -> None:
        """Send what is left, for a moment."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(_LAST_MOMENTS)
        left = len(self._queue)
        if left:
            self.dropped += left
            self._report("it did not take the last lines")
        if thread is None or not thread.is_alive():
            self._target.close()


def parse(text: str) -> Sink:
    """``stdout``, ``file:PATH``, or ``syslog:`` and an address; raises AuditError."""
    kind, _, where = text.partition(":")
    if text == "stdout":
        return Sink(text, FileTarget(_STDOUT))
    if kind == "file" and where:
        return Sink(text, FileTarget(Path(where)))
    if kind == "syslog":
        try:
            return Sink(text, Syslog(where))
        except ValueError as error:
            raise AuditError(f"--audit-sink {text}: {error}") from error
    raise AuditError(f"--audit-sink must be stdout, file:PATH or syslog:ADDRESS, not {text!r}")
