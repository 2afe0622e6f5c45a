# SPDX-License-Identifier: Apache-2.0
"""How an audit record and a change become one: the record commits in the change's transaction (outbox), then goes into
the audit file at once. What a process had no time to write is written when its audit file is opened again.

A row leaves the outbox with the writer's next change, so that no change pays for a second commit.
"""

import logging
import threading
from pathlib import Path
from typing import Final, NamedTuple

from keyquorum.audit import WRITERS, AuditLog
from keyquorum.errors import DependencyTimeoutException
from keyquorum.store.engine import Database, Transaction
from keyquorum.store.outbox import Outbox

_log = logging.getLogger(__name__)

# So many records of committed changes may wait for an audit file that cannot be written; then changes are refused.
_BACKLOG: Final = 1000
_AT_ONCE: Final = 500


class Entry(NamedTuple):
    """A record in the outbox: its row, itself, and the rows that left the outbox in the same transaction."""

    row: int
    record: bytes
    cleared: list[int]


class Journal:
    def __init__(self, database: Database, outbox: Outbox, log: AuditLog) -> None:
        self._database = database
        self._outbox = outbox
        self._log = log
        self._lock = threading.Lock()
        self._written: list[int] = []
        self._unwritten: dict[int, bytes] = {}

    def write(self, records: list[bytes]) -> None:
        """The records of requests that changed nothing, in one write. Raises OSError if they cannot be written."""
        self._log.write(records)

    def enter(self, txn: Transaction, event_id: str, record: bytes) -> Entry:
        """Put the record of a change into the change's transaction, and clear out what is known to be written."""
        with self._lock:
            if len(self._unwritten) >= _BACKLOG:
                raise DependencyTimeoutException(detail="too many audit records wait for the audit file")
            done = self._written[:_AT_ONCE]
        if done:
            self._outbox.remove(txn, done)
        row = self._outbox.add(txn, self._log.writer, self._log.position, event_id, record)
        return Entry(row, record, done)

    def publish(self, entry: Entry) -> None:
        """After the commit: into the audit file. If that fails the record waits in the outbox; the change stands."""
        with self._lock:
            cleared = set(entry.cleared)
            self._written = [row for row in self._written if row not in cleared]
            self._unwritten[entry.row] = entry.record
            self._write_what_waits()

    def retry(self) -> None:
        """Try again to write what ``publish`` could not."""
        with self._lock:
            if self._unwritten:
                self._write_what_waits()

    def _write_what_waits(self) -> None:
        try:
            self._log.write(list(self._unwritten.values()))
        except OSError as error:
            _log.error("audit records wait in the database, the audit file cannot be written: %s", error)
            return
        self._written += self._unwritten
        self._unwritten.clear()

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
                self._drain(log)
                log.close()

    def _drain(self, log: AuditLog) -> None:
        with self._database.read() as connection:
            waiting = self._outbox.waiting(connection, log.writer)
        if not waiting:
            return
        there = log.contains_after(min(w.position for w in waiting), [w.event_id for w in waiting])
        # By event: a row that somebody has copied is no second event.
        missing = {w.event_id: w.record for w in waiting if w.event_id not in there}
        if missing:
            log.write(list(missing.values()))
        with self._database.write() as txn:
            self._outbox.remove(txn, [w.row for w in waiting])
