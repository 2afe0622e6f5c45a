# SPDX-License-Identifier: Apache-2.0
"""What the connections of one server process share, and what the server asks of the app it serves.

It knows no connection's state: that is ``protocol``'s.
"""

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keyquorum.errors import KMSError
from keyquorum.model import Answer, HttpRequest
from keyquorum.server.groupcommit import GroupCommit
from keyquorum.server.proxies import Network
from keyquorum.server.workers import Workers


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take. Sizes in bytes, times in seconds; exceeded means refused and closed."""

    header_bytes: int = 16 * 1024  # request line and headers together
    header_count: int = 64
    body_bytes: int = 256 * 1024  # four times what the largest key policy takes
    header_seconds: float = 10  # from a request's first byte; for the first request from the connection's start
    body_seconds: float = 30  # from the end of the head
    keep_alive_seconds: float = 75
    write_seconds: float = 30  # with no room in the client's buffers; then the connection is aborted
    connections: int = 1024  # beyond it the oldest of senders who are not known yet goes, then who idles the longest
    held_bytes: int = 64 * 1024 * 1024  # of bodies not yet whole, longer than a head, or put by: of all together
    threads: int = 16  # for requests that must wait, of callers who are known
    graceful_seconds: float = 30  # for requests in flight after SIGTERM


class Core(Protocol):
    """The KMS without its sockets."""

    def answer(self, request: HttpRequest, *, may_block: bool) -> Answer:
        """The answer to ``request``, whatever it is. With ``may_block`` it runs in a worker thread; without, on the
        event loop, and raises ``WouldBlock`` before any effect if it had to wait. Raises nothing else."""

    def write_records(self, records: list[bytes]) -> None:
        """Make a batch of audit records durable in one write. Raises OSError if it cannot."""

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        """The answer to what is refused before the core sees it, with a fresh request ID. ``content_type``: of the
        request, or of the answer in whose place it goes."""


class App(Protocol):
    """What the ASGI app must carry besides being one."""

    core: Core
    limits: Limits
    workers: Workers
    trusted_proxies: tuple[Network, ...]


class Front:
    """What the connections of one server process share: the core, its threads, the batch and the clock."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        self.core = app.core
        self.limits = limits = app.limits
        self.trusted = app.trusted_proxies
        self.seconds = (limits.keep_alive_seconds, limits.header_seconds, limits.body_seconds)
        self.workers = app.workers
        self.commit = GroupCommit(loop, self.core.write_records, self.core.refuse)
        self._loop = loop
        self.connections = connections
        #: Connections on which nobody has proved who he is yet, in the order of their age.
        self.strangers: dict[Any, None] = {}
        #: Bytes of requests that all connections hold together, and how many connections were given up, and why.
        self.held = 0
        self.evicted = {"unknown": 0, "idle": 0, "memory": 0}
        self.refused = 0
        self._interval = min(1.0, *(seconds / 4 for seconds in (*self.seconds, limits.write_seconds)))
        self._sweeping = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_lines = b""

    def watch(self) -> None:
        """Check deadlines once per interval, as long as there are connections: a timer per request costs more."""
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(self._interval, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in list(self.connections):
            connection.check_deadlines(now)
        self._sweeping = False
        if self.connections:
            self.watch()

    def make_room(self) -> bool:
        """Give up a connection for a new one: the oldest on which nobody has proved who he is, else the one that has
        been idle the longest; False if all are at work. So a flood of senders who are not known only drives out its
        own, and who is known is not kept out by those who are and do nothing."""
        for connection in self.strangers:
            if not connection.busy:
                self._evict(connection, "unknown")
                return True
        # A deadline is what the new one does not have yet.
        idle = [each for each in self.connections if each.is_idle() and each.deadline < inf]
        if not idle:
            return False
        self._evict(min(idle, key=lambda connection: connection.deadline), "idle")
        return True

    def leave(self, connection: Any) -> None:
        """It holds nothing any more, and nobody has to wait for it."""
        self.strangers.pop(connection, None)
        self.hold(connection, 0)

    def hold(self, connection: Any, size: int) -> bool:
        """Count the bytes that a connection keeps of requests; whether all together may keep so much. Until then,
        connections whose senders are not known and which hold something are given up."""
        self.held += size - connection.held
        connection.held = size
        return size == 0 or self.held <= self.limits.held_bytes or self._make_memory()

    def _make_memory(self) -> bool:
        holding = [connection for connection in self.strangers if connection.held and not connection.busy]
        for connection in holding:
            if self.held <= self.limits.held_bytes:
                break
            self._evict(connection, "memory")
        return self.held <= self.limits.held_bytes

    def _evict(self, connection: Any, why: str) -> None:
        self.evicted[why] += 1
        connection.abandon()

    def wire(self, answer: Answer, headers: list[tuple[bytes, bytes]], *, close: bool) -> bytes:
        """``answer`` as HTTP. ``headers`` are uvicorn's, a new list each second (Date)."""
        if headers is not self._headers:
            self._headers = headers
            self._header_lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return (
            b"%bContent-Type: %b\r\nx-amzn-RequestId: %b\r\nCache-Control: no-cache, no-store, must-revalidate, private"
            b"\r\n%bContent-Length: %d\r\n%b\r\n%b"
        ) % (
            STATUS_LINE[answer.status],
            answer.content_type,
            answer.request_id.encode("ascii"),
            self._header_lines,
            len(answer.body),
            b"connection: close\r\n" if close else b"",
            answer.body,
        )
