# SPDX-License-Identifier: Apache-2.0
"""SQLite, in a file that the processes of one host share, or in the memory of one process.

Everything committed is on the disk before ``write()`` returns (WAL, synchronous=FULL). Deleted content is overwritten
in the pages that held it (secure_delete).
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from keyquorum.store import schema
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations

_BEGIN: Final = "sqlite_begin"
# A virtual table has no page of its own.
_FOREIGN: Final = "SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index') OR rootpage = 0"


class SQLite(Database):
    """A database in a file, or in memory where ``path`` is None. ``timeout``: seconds to wait for a lock."""

    driver_error: ClassVar[type[Exception]] = sqlite3.DatabaseError

    def __init__(self, path: Path | None, generations: Generations, timeout: float = 5.0) -> None:
        super().__init__(generations, timeout)
        self.path, self.alone = path, path is None
        # The name makes the in-memory database of this object visible to all its connections, and to no other's.
        self._name = f"keyquorum-{id(self)}"
        self._engine = sa.create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=32,
            max_overflow=32,
            hide_parameters=True,  # a statement's values have no place in an error's text
        )
        sa.event.listen(self._engine, "begin", _begin)
        # Waiting for a lock inside SQLite means sleeping and trying again.
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._keep = self._connect() if path is None else None

    def _connect(self) -> sqlite3.Connection:
        target = f"file:/{self._name}?vfs=memdb" if self.path is None else f"file:{_quote(self.path)}"
        connection = sqlite3.connect(
            target, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = _text
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA temp_store=MEMORY")
        if self.path is not None:
            _switch_to_wal(connection, self._timeout)
            connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _reading(self) -> sa.Connection:
        return self._engine.connect()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._writer.connect() as connection, connection.begin():
            yield connection

    def _commit(self, connection: sa.Connection, number: int, touched: set[int]) -> None:
        # The transaction's own block commits.
        connection.execute(sa.update(schema.generation).values(value=number))
        self.generations.mark(touched, number)

    def erase(self) -> bool:
        """Move the write-ahead log into the database file and cut it to nothing; whether that succeeded.

        Deleted content was overwritten (secure_delete) in the pages that the log holds; older versions of those pages
        end with the log. A reader on an old snapshot, in any process, makes this fail: try again later.
        """
        if self.path is None:
            return True
        connection = self._connect()
        try:
            # SQLite waits for readers here with the write lock in its hands: no longer than nobody notices, since a
            # backup may read for minutes.
            connection.execute("PRAGMA busy_timeout=100")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()

    def execute_script(self, action: Callable[[sa.Connection], object]) -> None:
        with self._translated(), self._writing() as connection:
            action(connection)

    def foreign(self, connection: sa.Connection) -> str | None:
        found = connection.exec_driver_sql(_FOREIGN).first() is not None
        return "views or triggers that are not keyquorum's" if found else None

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()
        if self._keep is not None:
            self._keep.close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _switch_to_wal(connection: sqlite3.Connection, timeout: float) -> None:
    # The one statement for which SQLite does not wait: processes that start on one new file at once have to take turns.
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                connection.close()
                raise
            time.sleep(0.005)


def _text(stored: bytes) -> str:
    # What is no UTF-8 was not written by this program: its row has to fail its MAC, not the statement that reads it.
    return stored.decode(errors="surrogateescape")


def _quote(path: Path) -> str:
    # A URI, so that the path's own question marks and percent signs stay part of it (RFC 3986, section 2.1).
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
