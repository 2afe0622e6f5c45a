# SPDX-License-Identifier: Apache-2.0
"""The last use of each key: noted in memory as requests succeed, written in batches, once a second and at the end.

What a process has noted and not written is lost with it if it is killed; the audit log has it.
"""

import threading

from keyquorum.model import Key
from keyquorum.store import usage
from keyquorum.store.engine import Database
from keyquorum.store.usage import Use


class UsageLog:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, Use] = {}
        self._lock = threading.Lock()

    def note(self, key: Key, operation: str, used_at: float, event_id: str, request_id: str) -> None:
        """A request has used the key. One item in a dict, and nothing that waits."""
        self._noted[key.name] = Use(key.key_id, key.region, operation, used_at, event_id, request_id)

    def last(self, key: Key) -> Use | None:
        """The last use that is known, of this process to the moment, of others to the second."""
        self.write()
        with self._database.read() as connection:
            return usage.load(connection, key.key_id, key.region)

    def write(self) -> None:
        """Write what was noted. Raises KMSError if the database cannot be had; then it is still noted."""
        with self._lock:
            noted, self._noted = self._noted, {}
            if not noted:
                return
            try:
                with self._database.write() as txn:
                    usage.record(txn, noted.values())
            except Exception:
                self._noted = noted | self._noted
                raise
