# SPDX-License-Identifier: Apache-2.0
"""How an audit record and a change become one: the record commits in the change's transaction (outbox), then goes into
the audit file at once. What a process had no time to write is written when its audit file is opened again.

No change commits before the audit file has room for its record, and none while records of others wait for that file.
A row leaves the outbox with the writer's next change, so that no change pays for a second commit. A change of which
nobody knows whether it committed, since the database was lost in that moment, is looked for in the outbox later.
"""

import logging
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from keyquorum.audit.log import WRITERS, AuditLog
from keyquorum.audit.record import second_of
from keyquorum.errors import DependencyTimeoutException
from keyquorum.store.engine import Database, Transaction
from keyquorum.store.outbox import Outbox

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 500
#: How much the time of a record may be ahead of the disk's, in seconds.
_SLACK: Final = 60.0
_REFUSAL: Final = "The audit log cannot be written, so the request is refused and nothing was changed."


class Entry(NamedTuple):
    """A record in the outbox: its row, itself, and the rows that left the outbox in the same transaction."""

    row: int
    record: bytes
    cleared: list[int]


class Journal:
    """``doubt``: after how many seconds a change that was entered and never published is looked for."""

    def __init__(self, database: Database, outbox: Outbox, log: AuditLog, doubt: float = 30.0) -> None:
        self._database = database
        self._outbox = outbox
        self._log = log
        self._lock = threading.Lock()
        self._written: list[int] = []
        self._unwritten: dict[int, bytes] = {}
        self._rotations = log.rotations
        self._doubt = doubt
        self._entered: dict[int, tuple[float, str, bytes]] = {}

    @property
    def waiting(self) -> int:
        """How many records have committed and are not in the audit file yet."""
        return len(self._unwritten)

    def write(self, records: list[bytes]) -> None:
        """The records of requests that changed nothing, in one write. Raises DependencyTimeoutException if they cannot
        be written."""
        try:
            self._log.write(records)
        except OSError as error:
            raise _refusal(error) from error

    def enter(self, txn: Transaction, event_id: str, record: bytes) -> Entry:
        """Put the record of a change into the change's transaction, and clear out what is known to be written.

        Raises DependencyTimeoutException if the audit file has no room for it, or could not be written before."""
        with self._lock:
            try:
                self._write_what_waits()
                self._log.reserve()
            except OSError as error:
                raise _refusal(error) from error
            done = self._written[:_AT_ONCE]
        if done:
            self._outbox.remove(txn, done)
        row = self._outbox.add(txn, self._log.writer, self._log.position, event_id, record)
        with self._lock:
            self._entered[row] = (time.monotonic(), event_id, record)
        return Entry(row, record, done)

    def publish(self, entry: Entry) -> None:
        """After the commit: into the audit file. If that fails the record waits in the outbox; the change stands."""
        with self._lock:
            self._forget(entry.cleared)
            if self._entered.pop(entry.row, None) is not None:  # else it was found meanwhile
                self._unwritten[entry.row] = entry.record
            self._try_what_waits()

    def retry(self) -> None:
        """Try again to write what ``publish`` could not. What stands in a file that was put aside leaves the outbox, so
        that it is never looked for in more than the newest files."""
        self._settle()
        with self._lock:
            self._try_what_waits()
            rotations, done = self._log.rotations, list(self._written)
            if rotations == self._rotations:
                return
        if done:
            with self._database.write() as txn:
                self._outbox.remove(txn, done)
        with self._lock:
            self._rotations = rotations
            self._forget(done)

    def _settle(self) -> None:
        """What became of changes that were entered, and neither published nor known to be rolled back."""
        with self._lock:
            last = time.monotonic() - self._doubt
            doubtful = {row: event_id for row, (when, event_id, _) in self._entered.items() if when <= last}
        if not doubtful:
            return
        with self._database.read() as connection:
            there = {waiting.row: waiting.event_id for waiting in self._outbox.waiting(connection, self._log.writer)}
        with self._lock:
            for row, event_id in doubtful.items():
                entered = self._entered.get(row)
                if entered is None or entered[1] != event_id:
                    continue
                del self._entered[row]
                if there.get(row) == event_id:
                    self._unwritten[row] = entered[2]

    def _try_what_waits(self) -> None:
        try:
            self._write_what_waits()
        except OSError as error:
            _log.error("audit records wait in the database, the audit file cannot be written: %s", error)

    def _write_what_waits(self) -> None:
        if self._unwritten:
            self._log.write_reserved(list(self._unwritten.values()))
            self._written += self._unwritten
            self._unwritten.clear()

    def _forget(self, rows: list[int]) -> None:
        cleared = set(rows)
        self._written = [row for row in self._written if row not in cleared]

    def recover(self) -> None:
        """Write what an earlier process with this audit file committed and did not write."""
        self._drain(self._log)

    def recover_others(self, directory: Path, *, sync: bool) -> None:
        """The same for audit files that no living process owns."""
        with self._database.read() as connection:
            left = self._outbox.writers(connection)
        for writer in left:
            # The database may say anything, and this becomes the name of a file.
            if type(writer) is not int or not 0 <= writer < WRITERS or writer == self._log.writer:
                continue
            log = AuditLog.own(directory, writer, sync=sync)
            if log is not None:
                log.sinks = self._log.sinks
                self._drain(log)
                log.close()

    def _drain(self, log: AuditLog) -> None:
        with self._database.read() as connection:
            waiting = self._outbox.waiting(connection, log.writer)
        if not waiting:
            return
        since = min(second_of(w.record) for w in waiting) - _SLACK
        there = log.find(min(w.position for w in waiting), [w.event_id for w in waiting], since)
        # By event: a row that somebody has copied is no second event.
        missing = {w.event_id: w.record for w in waiting if w.event_id not in there}
        if missing:
            log.write_reserved(list(missing.values()))
        with self._database.write() as txn:
            self._outbox.remove(txn, [w.row for w in waiting])


def _refusal(error: OSError) -> DependencyTimeoutException:
    return DependencyTimeoutException(_REFUSAL, detail=f"the audit log cannot be written: {error}")
