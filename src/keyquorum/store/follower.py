# SPDX-License-Identifier: Apache-2.0
"""The thread by which a process follows the changes of all others on one PostgreSQL, and which extends its lease.

At least four times a second, and at once when another node has committed (LISTEN), it reads the number of the last
change and what the changes since the last check touched, in one statement and so one snapshot. It marks that, and only
then extends the lease, from the moment before the statement was sent. Whatever else happens, it extends nothing: a
statement that takes too long, a connection that is lost or hangs, an answer that cannot be understood.

Changes are believed to be all only if they follow, one by one, on the last one seen, and that one is still what it was.
Otherwise (this process was away for too long, the database was put back to an older state or is another now) everything
cached is forgotten. Who can write to the database can tell lies here, and no worse ones than by putting back old rows.

It has a connection of its own, so that no other work keeps it waiting, and never waits for the network longer than a
second. On its session one process of the cluster holds the lock of whoever runs the jobs.
"""

import logging
import os
import select
import threading
import time
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import pq

from keyquorum.errors import IntegrityError
from keyquorum.store.changes import LOOKED_AT
from keyquorum.store.generations import SLOTS, Generations
from keyquorum.store.lease import Lease
from keyquorum.store.postgresql import CHANNEL

_log = logging.getLogger(__name__)

#: Seconds from one check to the next; at the least, so that many changes are one check; and for an answer to come.
_INTERVAL: Final = 0.25
_GAP: Final = 0.005
_TIMEOUT: Final = 1.0
#: Seconds from one attempt to lead to the next.
_CANDIDACY: Final = 1.0
_LAST: Final = 2**62
_CHECK: Final = (
    b"SELECT g.value, c.number, c.slots, c.changed_at FROM generation g "
    b"LEFT JOIN changes c ON c.number >= $1::bigint ORDER BY c.number DESC NULLS LAST LIMIT %d" % LOOKED_AT
)
#: Keys of two numbers share no space with those of one.
_LEAD: Final = b"SELECT pg_try_advisory_lock(27505, 1)"
_OPTIONS: Final[dict[str, Any]] = {
    "application_name": "keyquorum follower",
    "connect_timeout": 2,
    "keepalives": 1,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 2000,  # milliseconds
}
#: The server ends a session of which it hears nothing, whose node is gone or was stopped: with it goes the lock.
_SESSION: Final = (
    b"SET search_path = public, pg_temp",
    b"SET statement_timeout = '1s'",
    b"SET idle_session_timeout = '5s'",
    b'LISTEN "%b"' % CHANNEL.encode(),
)

Row = tuple[bytes | None, ...]


class _Change(NamedTuple):
    """As the database has it, and not decoded: it is only compared."""

    slots: bytes | None
    changed_at: bytes | None


class Follower:
    """``conninfo``: how libpq connects. ``generations`` has the lease that is extended."""

    def __init__(self, conninfo: str, generations: Generations) -> None:
        if generations.lease is None:
            raise ValueError("there is no lease to extend")
        self._conninfo = conninfo
        self._generations = generations
        self._lease: Lease = generations.lease
        self._lease.wanted = self.wake
        self._connection: psycopg.Connection[Any] | None = None
        self._seen: int | None = None
        self._last: _Change | None = None
        self._candidacy = 0.0
        self._failures = 0
        #: Whether this process is the one in the cluster that runs the jobs.
        self.leads = False
        self._stopping = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="keyquorum-follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give the lock of the jobs back, and extend nothing any more."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()

    def __del__(self) -> None:
        os.close(self._bell)

    def wake(self) -> None:
        """Check now."""
        os.eventfd_write(self._bell, 1)

    @property
    def seen(self) -> int | None:
        """The number of the last change that the last check found."""
        return self._seen

    # -- the thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._connection is None:
                    self._connect()
                begun = self._check()
                self._stand(begun)
                self._rest(begun)
            except Exception as error:  # whatever it is, the next check must be made
                self._failed(error)
        self._disconnect()

    def _failed(self, error: Exception) -> None:
        self._disconnect()
        self._failures += 1
        # A connection that was lost says nothing of the database yet: the next attempt does.
        if self._failures > 1:
            self._lease.lose(f"{type(error).__name__}: {error}")
            if self._failures == 2:
                _log.warning("the database cannot be followed, nothing cached is used: %s", error)
            self._poll(_INTERVAL, [])

    def _succeeded(self) -> None:
        if self._failures > 1:
            _log.warning("the database is followed again")
        self._failures = 0

    def _connect(self) -> None:
        self._connection = psycopg.connect(self._conninfo, autocommit=True, **_OPTIONS)
        for statement in _SESSION:
            self._ask(statement)

    def _disconnect(self) -> None:
        self.leads = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _check(self) -> float:
        """One check, and when it began."""
        begun = self._lease.now()
        seen = self._seen
        rows = self._ask(_CHECK, b"%d" % (0 if seen is None else seen))
        number = int(rows[0][0] or -1)
        if not 0 <= number < _LAST:
            raise IntegrityError("the number of the last change was tampered with")
        changes = {int(n): _Change(slots, at) for _, n, slots, at in rows if n is not None}
        touched = None if seen is None else self._touched(seen, number, changes)
        if touched is None:
            if seen is not None:
                _log.warning("changes %s to %s are not all known; nothing cached is used any more", seen, number)
            self._generations.forget()
        self._generations.mark(touched or (), number)
        self._seen, self._last = number, changes.get(number)
        self._lease.extend(begun)
        self._succeeded()
        return begun

    def _touched(self, seen: int, number: int, changes: dict[int, _Change]) -> set[int] | None:
        """The slots of all changes after ``seen``; None if that is not known."""
        if number < seen or changes.get(seen) != self._last:
            return None
        slots: set[int] = set()
        for each in range(seen + 1, number + 1):
            change = changes.get(each)
            touched = None if change is None else _slots(change.slots)
            if touched is None:
                return None
            slots.update(touched)
        return slots

    def _stand(self, now: float) -> None:
        """Be a candidate for running the jobs."""
        if not self.leads and now >= self._candidacy:
            self._candidacy = now + _CANDIDACY
            self.leads = self._ask(_LEAD)[0][0] == b"t"

    def _rest(self, begun: float) -> None:
        """Until the next check is due, or somebody announces a change or asks for a check."""
        if self._poll(_GAP, []):
            return
        pg = self._pg()
        while not self._stopping:
            pg.consume_input()
            announced = False
            while pg.notifies() is not None:
                announced = True
            left = begun + _INTERVAL - self._lease.now()
            if announced or left <= 0 or self._poll(left, [pg.socket]):
                return

    # -- the connection

    def _pg(self) -> pq.abc.PGconn:
        if self._connection is None:
            raise psycopg.OperationalError("there is no connection")
        return self._connection.pgconn

    def _ask(self, query: bytes, *parameters: bytes) -> list[Row]:
        """One statement. psycopg would wait for as long as the network does."""
        pg, deadline = self._pg(), time.monotonic() + _TIMEOUT
        pg.send_query_params(query, parameters)
        while pg.flush():
            _await(pg, select.POLLIN | select.POLLOUT, deadline)
        result = None
        while True:
            while pg.is_busy():
                _await(pg, select.POLLIN, deadline)
            following = pg.get_result()
            if following is None:
                break
            result = following
        if result is None or result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise psycopg.OperationalError(pg.get_error_message())
        return [tuple(result.get_value(row, c) for c in range(result.nfields)) for row in range(result.ntuples)]

    def _poll(self, seconds: float, sockets: list[int]) -> bool:
        """Wait; whether somebody asked for a check."""
        poll = select.poll()
        for fd in (self._bell, *sockets):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(max(0.0, seconds) * 1000)]
        if self._bell not in ready:
            return False
        os.eventfd_read(self._bell)
        return True


def _await(pg: pq.abc.PGconn, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pg.socket, events)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError("the database did not answer in time")
    pg.consume_input()


def _slots(packed: bytes | None) -> list[int] | None:
    """The slots that a change touched, as PostgreSQL writes bytes; None for everything, or what cannot be read."""
    if packed is None or not packed.startswith(b"\\x") or len(packed) % 4 != 2:
        return None
    found = [int(packed[start : start + 4], 16) for start in range(2, len(packed), 4)]
    return found if all(slot < SLOTS for slot in found) else None
