# SPDX-License-Identifier: Apache-2.0
"""The database: snapshots to read, and the one kind of transaction that writes. ``sqlite`` and ``postgresql`` are the
two kinds.

Everything committed is on the disk before ``write()`` returns. A database that is locked, full or gone is
DependencyTimeoutException. Only ``write()`` commits.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from keyquorum.errors import DependencyTimeoutException, IntegrityError
from keyquorum.metering import Watch
from keyquorum.store import schema
from keyquorum.store.generations import Generations

_TIMED_OUT: Final = "The system timed out while trying to fulfill the request. You can retry the request."
#: A change a nanosecond would need a century to come here.
_LAST_GENERATION: Final = 2**62


class Transaction:
    """A write in progress: the connection, and what the change touches."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.touched: set[int] = set()

    def touch(self, name: str) -> None:
        """Say that whatever is cached under ``name`` changes."""
        self.touched.add(Generations.slot(name))

    def upsert(self, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
        """An insertion that may go on with ``on_conflict_do_update``."""
        return postgresql.insert(table) if self.connection.dialect.name == "postgresql" else sqlite.insert(table)

    def touch_everything(self) -> None:
        self.touched.update(Generations.all_slots())


def unavailable(detail: str) -> DependencyTimeoutException:
    return DependencyTimeoutException(_TIMED_OUT, detail=detail)


class Database(ABC):
    """``timeout``: seconds to wait for a lock. ``path``: the file, if it is one."""

    #: Whether nodes share it that share no memory, and an older schema is the operator's to upgrade.
    shared: ClassVar[bool] = False
    #: What the driver raises by itself, where SQLAlchemy is not between: of a connection that could not be made.
    driver_error: ClassVar[type[Exception]]

    def __init__(self, generations: Generations, timeout: float) -> None:
        self.path: Path | None = None
        #: Whether it is in the memory of this process, where a reader would wait for a writer.
        self.alone = False
        self.generations = generations
        self._timeout = timeout
        # Waiting for the database's lock means a connection for each who waits; threads of one process take turns.
        self._turn = threading.Lock()
        self._closed = False
        self.watch = Watch()

    @contextmanager
    def read(self, *, patient: bool = False) -> Iterator[sa.Connection]:
        """One snapshot to read from. ``patient``: for as long as it takes, which is not for requests."""
        with (
            self.watch("read") as watched,
            self._translated(),
            self._reading() as connection,
            connection.begin(),
            self._patience(connection) if patient else nullcontext(),
        ):
            watched.begun()
            yield connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that holds the write lock from its first moment, so that what it reads cannot change under it.

        It commits at the end of the block, durably, and rolls back on any exception.
        """
        with self.watch("write") as watched:
            if not self._turn.acquire(timeout=self._timeout):
                raise unavailable("no turn to write within the time-out")
            try:
                with self._translated(), self._writing() as connection:
                    watched.begun()
                    self.generations.follow()
                    transaction = Transaction(connection)
                    yield transaction
                    number = max(generation_of(connection), self.generations.highest()) + 1
                    self._commit(connection, number, transaction.touched)
            finally:
                self._turn.release()

    def pool_status(self) -> tuple[int, int] | tuple[None, None]:
        """How many connections are in use, and how many there may be; nothing where there is no pool."""
        return None, None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closed:
            raise unavailable("the database is closed")
        try:
            yield
        except sa.exc.IntegrityError:
            # No statement of this program breaks a constraint on rows that this program wrote. The driver's error would
            # show the row's values, to whoever sees where this came from.
            raise IntegrityError("a row stands in the way of a change") from None
        except (sa.exc.DatabaseError, sa.exc.TimeoutError, self.driver_error) as error:
            raise unavailable(_said(error)) from error

    @abstractmethod
    def _reading(self) -> sa.Connection:
        """A connection whose next transaction is a snapshot."""

    def _patience(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """The transaction that has begun may take its time."""
        del connection
        return nullcontext()

    @abstractmethod
    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that has the write lock; rolled back unless ``_commit`` was called."""

    @abstractmethod
    def _commit(self, connection: sa.Connection, number: int, touched: set[int]) -> None:
        """Number the change, mark what it touches, and commit."""

    @abstractmethod
    def erase(self) -> bool:
        """Let go of what deleted content is left in, as far as the kind of database can; whether that succeeded."""

    @abstractmethod
    def execute_script(self, action: Callable[[sa.Connection], object]) -> None:
        """Run ``action(connection)`` under the write lock without numbering it: what migrations use."""

    @abstractmethod
    def foreign(self, connection: sa.Connection) -> str | None:
        """What is there that could make reading or writing a table anything else than that, in a few words."""

    @abstractmethod
    def close(self) -> None:
        """Nothing is read or written after this."""


def _said(error: Exception) -> str:
    """The driver's own words, without SQLAlchemy's advice, and without a row's values."""
    cause = getattr(error, "orig", None) or error
    diagnostics = getattr(cause, "diag", None)
    primary = None if diagnostics is None else diagnostics.message_primary
    return f"{type(error).__name__}: {primary or cause}"


def generation_of(connection: sa.Connection) -> int:
    """The number of the last change in this snapshot; raises IntegrityError if that cannot be one."""
    value = connection.execute(sa.select(schema.generation.c.value)).scalar_one()
    if type(value) is not int or not 0 <= value < _LAST_GENERATION:
        raise IntegrityError("the number of the last change was tampered with")
    return value
