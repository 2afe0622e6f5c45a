# SPDX-License-Identifier: Apache-2.0
"""The last use of each key: noted in memory as requests succeed, written in batches, once a second and at the end.

What a process has noted and not written is lost with it if it is killed; the audit log has it.
"""

import threading
from typing import Final

from keyquorum.model import Key
from keyquorum.store import usage
from keyquorum.store.engine import Database
from keyquorum.store.usage import Use

#: So many rows a transaction, so that nobody waits long for the write lock.
_BATCH: Final = 500


class UsageLog:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[str, str], Use] = {}
        self._lock = threading.Lock()

    def note(self, key: Key, operation: str, used_at: float, event_id: str, request_id: str) -> None:
        """A request has used the key. One item in a dict, and nothing that waits for the database."""
        name = key.key_id, key.region
        use = Use(key.key_id, key.region, operation, used_at, event_id, request_id)
        with self._lock:
            self._noted[name] = use

    def last(self, key: Key) -> Use | None:
        """The last use that is known: of this process to the moment, of others to the second."""
        noted = self._noted.get((key.key_id, key.region))
        with self._database.read() as connection:
            written = usage.load(connection, key.key_id, key.region)
        known = [use for use in (noted, written) if use is not None]
        return max(known, key=lambda use: use.used_at, default=None)

    def write(self) -> None:
        """Write what was noted. Raises KMSError if the database cannot be had; then it is still noted."""
        with self._lock:
            noted = list(self._noted.items())
        for start in range(0, len(noted), _BATCH):
            batch = noted[start : start + _BATCH]
            with self._database.write() as txn:
                usage.record(txn, [use for _, use in batch])
            with self._lock:
                for name, use in batch:
                    if self._noted.get(name) is use:  # else it was used again meanwhile
                        del self._noted[name]

    def clear(self) -> None:
        """Forget what was noted."""
        with self._lock:
            self._noted.clear()
