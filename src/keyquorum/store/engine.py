# SPDX-License-Identifier: Apache-2.0
"""The database: connections, snapshots to read, and the one kind of transaction that writes.

Everything committed is on the disk before ``write()`` returns (WAL, synchronous=FULL). A database that is locked, full
or gone is DependencyTimeoutException. Only ``write()`` commits.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from keyquorum.errors import DependencyTimeoutException, IntegrityError
from keyquorum.store import schema
from keyquorum.store.generations import Generations

_TIMED_OUT: Final = "The system timed out while trying to fulfill the request. You can retry the request."
#: A change a nanosecond would need a century to come here.
_LAST_GENERATION: Final = 2**62
_BEGIN: Final = "sqlite_begin"


class Transaction:
    """A write in progress: the connection, and what the change touches."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.touched: set[int] = set()

    def touch(self, name: str) -> None:
        """Say that whatever is cached under ``name`` changes."""
        self.touched.add(Generations.slot(name))

    def touch_everything(self) -> None:
        self.touched.update(Generations.all_slots())


def _unavailable(error: Exception) -> DependencyTimeoutException:
    cause = getattr(error, "orig", error)  # the driver's own words, without SQLAlchemy's advice
    return DependencyTimeoutException(_TIMED_OUT, detail=f"{type(error).__name__}: {cause}")


class Database:
    """SQLite in a file, or in memory where ``path`` is None. ``timeout``: seconds to wait for a lock."""

    def __init__(self, path: Path | None, generations: Generations, timeout: float = 5.0) -> None:
        self.path = path
        self.generations = generations
        self._timeout = timeout
        # Waiting for a lock inside SQLite means sleeping and trying again; threads of one process take turns instead.
        self._turn = threading.Lock()
        self._engine = sa.create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=32,
            max_overflow=32,
            hide_parameters=True,  # a statement's values have no place in an error's text
        )
        sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        # The name makes the in-memory database of this object visible to all its connections, and to no other's.
        self._name = f"keyquorum-{id(self)}"
        self._keep = self._connect() if path is None else None
        self._closed = False

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

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One snapshot to read from."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that holds the write lock from its first moment, so that what it reads cannot change under it.

        It commits at the end of the block, durably, and rolls back on any exception.
        """
        if not self._turn.acquire(timeout=self._timeout):
            raise DependencyTimeoutException(_TIMED_OUT, detail="no turn to write within the time-out")
        try:
            with self._translated(), self._writer.connect() as connection, connection.begin():
                self.generations.follow()
                transaction = Transaction(connection)
                yield transaction
                number = max(generation_of(connection), self.generations.highest()) + 1
                connection.execute(sa.update(schema.generation).values(value=number))
                self.generations.mark(transaction.touched, number)
        finally:
            self._turn.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closed:
            raise DependencyTimeoutException(_TIMED_OUT, detail="the database is closed")
        try:
            yield
        except sa.exc.IntegrityError as error:
            # No statement of this program breaks a constraint on rows that this program wrote.
            raise IntegrityError("a row stands in the way of a change") from error
        except (sa.exc.DatabaseError, sa.exc.TimeoutError, sqlite3.DatabaseError) as error:
            raise _unavailable(error) from error

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

    def execute_script(self, action: Any) -> None:
        """Run ``action(connection)`` under the write lock without numbering it: what migrations use."""
        with self._translated(), self._writer.connect() as connection, connection.begin():
            action(connection)

    def close(self) -> None:
        """Nothing is read or written after this."""
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


def generation_of(connection: sa.Connection) -> int:
    """The number of the last change in this snapshot; raises IntegrityError if that cannot be one."""
    value = connection.execute(sa.select(schema.generation.c.value)).scalar_one()
    if type(value) is not int or not 0 <= value < _LAST_GENERATION:
        raise IntegrityError("the number of the last change was tampered with")
    return value
