# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL, which several nodes share.

Writers of the whole cluster take turns, by one advisory lock that a transaction takes first and loses with its end: so
all that holds on SQLite, where there is one writer, holds here (docs/adr/0016). Readers wait for nobody. A change tells
what it touches, in the table ``changes`` and by NOTIFY, in its own transaction.

No statement is waited for longer than the time-out, whatever became of the server or of the way to it; and the server
ends a transaction whose node says nothing for as long, since the lock goes with it. After a COMMIT whose answer was
lost, the server is asked what became of the transaction: only a change of which nothing can be learned, or that is
known not to have been made, is answered as one to try again.
"""

import logging
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg import pq, sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.pool import QueuePool

from keyquorum.store import schema
from keyquorum.store.engine import Database, unavailable
from keyquorum.store.foreign import CHECKS
from keyquorum.store.generations import SLOTS, Generations

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: The channel on which every change is announced.
CHANNEL: Final = "keyquorum"
#: The number of the write lock: "keyquoru" in ASCII.
WRITE_LOCK: Final = 0x6B65_7971_756F_7275
#: Connections of one process that read.
POOL: Final = 8
_LOCK: Final = sa.select(sa.func.pg_advisory_xact_lock(sa.literal(WRITE_LOCK, sa.BigInteger)))
#: Seconds that a transaction which only reads may say nothing: a snapshot keeps old rows from being cleared away.
_READERS_REST: Final = 600.0
#: Seconds that are left to the server to refuse a statement by itself before nobody waits for it any more.
_GRACE: Final = 1.0
_PATIENCE: Final = ("SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0")
#: In one statement: numbered, told to those who read the changes, and to those who listen. Its transaction's number.
_ANNOUNCED: Final = sa.select(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.func.pg_notify(CHANNEL, "")).add_cte(
    sa.update(schema.generation).values(value=sa.bindparam("number", type_=sa.BigInteger)).cte("numbered"),
    sa.insert(schema.changes)
    .values({column.name: sa.bindparam(column.name, type_=column.type) for column in schema.changes.columns})
    .cte("told"),
)
#: What holds something wrapped.
_WRAPPED: Final = (schema.wrapped_materials, schema.access_keys, schema.keyring_keys, schema.root_keys)
#: Whether whoever might see what was deleted before the transaction of this number has ended: sessions, standbys that
#: say so, prepared transactions.
_PAST: Final = """
SELECT NOT EXISTS (
    SELECT FROM pg_stat_activity, unnest(ARRAY[backend_xmin, backend_xid]) AS seen
    WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
        AND age(seen) > age(%(at)s::xid8::xid)
) AND NOT EXISTS (
    SELECT FROM pg_replication_slots WHERE age(xmin) > age(%(at)s::xid8::xid)
) AND NOT EXISTS (
    SELECT FROM pg_prepared_xacts WHERE database = current_database() AND age(transaction) > age(%(at)s::xid8::xid)
)
"""
#: Seconds that an erasure waits for readers. The next attempt is made by the next run of the jobs.
_READERS: Final = 1.0


class _Connection(psycopg.Connection[Any]):
    """It waits for no answer longer than ``limit`` seconds: a server that was stopped, or that cannot be reached any
    more, says nothing."""

    limit: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


class PostgreSQL(Database):
    """``conninfo``: a URL, or another string that libpq takes; there may be a secret in it. ``timeout``: seconds to
    wait for a lock, a connection, or the answer to a statement. ``pool``: how many connections read at once."""

    shared: ClassVar[bool] = True
    driver_error: ClassVar[type[Exception]] = psycopg.Error

    def __init__(self, conninfo: str, generations: Generations, timeout: float = 5.0, pool: int = POOL) -> None:
        """Connects to nothing yet. Raises ValueError for what libpq does not understand."""
        super().__init__(generations, timeout)
        #: With its secret.
        self.conninfo = connection_string(conninfo, timeout)
        # Two pools, so that readers never keep a writer waiting. There is one writer: threads have taken turns before.
        self._readers = self._engine(self._connect_reader, pool)
        self._writers = self._engine(self._connect_writer, 1)

    def _engine(self, connect: Callable[[], _Connection], size: int) -> sa.Engine:
        engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=self._timeout,
            use_native_hstore=False,
            hide_parameters=True,  # a statement's values have no place in an error's text
        )
        sa.event.listen(engine, "checkout", _refuse_dead)
        return engine

    def _connect_reader(self) -> _Connection:
        connection = self._connect(_READERS_REST)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return connection

    def _connect_writer(self) -> _Connection:
        connection = self._connect(self._timeout)
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return connection

    def _connect(self, rest: float) -> _Connection:
        given = str(conninfo_to_dict(self.conninfo).get("options") or "")
        connection = _Connection.connect(self.conninfo, options=_options(given, self._timeout, rest))
        connection.limit = self._timeout + _GRACE
        return connection

    def _reading(self) -> sa.Connection:
        return self._readers.connect()

    @contextmanager
    def _patience(self, connection: sa.Connection) -> Iterator[None]:
        for setting in _PATIENCE:
            connection.exec_driver_sql(setting)
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, _Connection)
        limit, driver.limit = driver.limit, None
        try:
            yield
        finally:
            driver.limit = limit

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._locked() as connection:
            yield connection

    def _locked(self) -> sa.Connection:
        """A connection whose transaction has the lock. Nothing has been done yet, so one that is lost is replaced."""
        for last in (False, True):
            connection = self._writers.connect()
            try:
                connection.begin()
                connection.execute(_LOCK)
            except BaseException as error:
                connection.close()
                if last or not isinstance(error, sa.exc.DBAPIError) or not error.connection_invalidated:
                    raise
            else:
                return connection
        raise AssertionError

    def _commit(self, connection: sa.Connection, number: int, touched: set[int]) -> None:
        slots = None if len(touched) >= SLOTS else b"".join(slot.to_bytes(2, "big") for slot in sorted(touched))
        given = {"number": number, "slots": slots, "changed_at": time.time()}
        transaction_id = str(connection.execute(_ANNOUNCED, given).scalar_one())
        self.generations.mark(touched, number)
        try:
            _end(connection)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated or not self._committed(transaction_id):
                raise
            _log.warning("change %s: the answer to its COMMIT was lost, and it was committed", number)

    def _committed(self, transaction_id: str) -> bool:
        """Whether a transaction was committed; raises DependencyTimeoutException if that is not to be learned in
        time."""
        deadline, failure = time.monotonic() + self._timeout, "it has not ended"
        while time.monotonic() < deadline:
            try:
                with self._connect(self._timeout) as connection:
                    row = connection.execute("SELECT pg_xact_status(%s::xid8)", (transaction_id,)).fetchone()
                status = None if row is None else row[0]
                if status in ("committed", "aborted"):
                    return bool(status == "committed")
            except psycopg.Error as error:
                failure = f"{error.diag.message_primary or error}"
            time.sleep(0.05)
        raise unavailable(f"the answer to a COMMIT was lost, and nothing is known of its transaction: {failure}")

    def erase(self) -> bool:
        """Have the versions of rows that were deleted or overwritten cleared out of the tables that hold what is
        wrapped; whether that succeeded. A transaction on an older snapshot, in any session, makes this fail.

        The space is then free, and overwritten when it is needed. What is kept elsewhere is out of reach: in the
        write-ahead log, archives, replicas and backups. There the wrapped forms end with the keyring key that opens
        them (docs/operate/database.md).
        """
        try:
            with self._connect(self._timeout) as connection:
                connection.autocommit = True
                if not _past(connection):
                    return False
                connection.execute("SET statement_timeout = 0")
                connection.limit = None
                for table in _WRAPPED:
                    # FREEZE: pages that somebody looks at in this moment are waited for, not passed over.
                    connection.execute(sql.SQL("VACUUM (FREEZE) {}").format(sql.Identifier(table.name)))
        except psycopg.Error as error:
            _log.warning("deleted rows could not be cleared out: %s", error.diag.message_primary or error)
            return False
        return True

    def execute_script(self, action: Callable[[sa.Connection], object]) -> None:
        with self._translated(), self._writing() as connection:
            with self._patience(connection):
                action(connection)
            _end(connection)

    def foreign(self, connection: sa.Connection) -> str | None:
        tables = [*schema.metadata.tables, "alembic_version"]
        return next((what for what, query in CHECKS if connection.execute(query, {"tables": tables}).first()), None)

    def pool_status(self) -> tuple[int, int]:
        """How many connections are in use, and how many there may be."""
        pools = [engine.pool for engine in (self._readers, self._writers)]
        counted = [pool for pool in pools if isinstance(pool, QueuePool)]
        return sum(pool.checkedout() for pool in counted), sum(pool.size() for pool in counted)

    def close(self) -> None:
        self._closed = True
        self._readers.dispose()
        self._writers.dispose()


def connection_string(conninfo: str, timeout: float) -> str:
    """What libpq is told, with what is not said in it: the server that takes writes, if there are several; and that the
    way there is given up soon. Raises ValueError, which repeats nothing: a password may be in what was not
    understood."""
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.Error:
        given = {"port": "none"}
    host, port = str(given.get("host") or ""), str(given.get("port") or "")
    if "@" in host.lstrip("@") or not all(part.isdigit() for part in port.split(",") if part):
        # A password with @ or / in it that is not written %40 or %2F: libpq would show it as a host, or a port.
        raise ValueError("the database is not a URL, or another string, that libpq understands")
    chosen: dict[str, Any] = {
        "application_name": "keyquorum",
        "connect_timeout": max(2, int(timeout)),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": int(timeout * 1000),
        "target_session_attrs": "read-write",
    }
    return make_conninfo("", **{**chosen, **given, "client_encoding": "UTF8"})


def _options(given: str, timeout: float, rest: float) -> str:
    """What the server is told of a session. ``given`` by the operator, who cannot change what must be so."""
    settings = {
        "search_path": "public,pg_temp",  # nothing of the session's own comes before the tables
        "lock_timeout": int(timeout * 1000),
        "statement_timeout": int((timeout + _GRACE / 2) * 1000),
        "idle_in_transaction_session_timeout": int(rest * 1000),
        "synchronous_commit": "on",
        "row_security": "off",  # an error, rather than rows left out
        "extra_float_digits": 1,  # numbers as they were written: MACs are over them
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
    }
    return " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())]).strip()


def _refuse_dead(connection: _Connection, _record: object, _proxy: object) -> None:
    """Before a pooled connection is used: one that has something to say, unasked, was ended by the server, or is to be
    told apart from one that was only with more effort than a new one takes."""
    poll = select.poll()
    try:
        poll.register(connection.pgconn.socket, select.POLLIN)
    except psycopg.OperationalError as error:
        raise sa.exc.DisconnectionError from error
    if poll.poll(0):
        raise sa.exc.DisconnectionError


def _end(connection: sa.Connection) -> None:
    begun = connection.get_transaction()
    assert begun is not None
    begun.commit()


def _past(connection: _Connection) -> bool:
    """Whether nobody sees any more what has been deleted by now."""
    row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    at = {"at": None if row is None else row[0]}
    deadline = time.monotonic() + _READERS
    while True:
        row = connection.execute(_PAST, at).fetchone()
        if row is not None and row[0]:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
