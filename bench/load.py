# SPDX-License-Identifier: Apache-2.0
"""A closed loop of connections, each of which sends its next request when an answer has come in whole.

It does as little as it can for each answer, so that the server is what is measured: it reads the status, the
Content-Length and whether the connection ends. It understands no other framing, but for 204, which has no body.
"""

import asyncio
import gc
import itertools
import re
import time
from typing import NamedTuple, cast

import uvloop

CONNECTIONS = 32
_TIMEOUT = 120
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Outcome(NamedTuple):
    """Times in seconds. ``answers``: the bodies, in the order of the requests. ``busy``: the share of its core that the
    load generator itself took. ``failures``: what came of the requests that were not answered with status 200."""

    elapsed: float
    latencies: list[float]
    answers: list[bytes]
    busy: float
    failures: list[str]


def run(
    address: tuple[str, int], requests: list[bytes], connections: int = CONNECTIONS, *others: tuple[str, int]
) -> Outcome:
    """Send all requests; connections go round ``address`` and ``others``. Raises TimeoutError or OSError if a server
    stops answering."""
    return uvloop.run(_run((address, *others), requests, connections))


async def _run(addresses: tuple[tuple[str, int], ...], requests: list[bytes], connections: int) -> Outcome:
    load = _Load(addresses, requests)
    for _ in range(min(connections, len(requests))):
        await load.connect()
    # A collection would stop every connection at once, and be seen as the server's latency.
    gc.collect()
    gc.disable()
    try:
        busy, begun = time.process_time(), time.perf_counter()
        load.begin()
        await asyncio.wait_for(load.done, _TIMEOUT)
        elapsed, busy = time.perf_counter() - begun, time.process_time() - busy
    finally:
        gc.enable()
    return Outcome(elapsed, load.latencies, load.answers, busy / elapsed, load.failures)


class _Load:
    def __init__(self, addresses: tuple[tuple[str, int], ...], requests: list[bytes]) -> None:
        self.requests = requests
        self.latencies = [0.0] * len(requests)
        self.answers = [b""] * len(requests)
        self.failures: list[str] = []
        self.begun = False
        self._taken = 0
        self._open = len(requests)
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._addresses = itertools.cycle(addresses)
        self._connections: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        _, connection = await self._loop.create_connection(lambda: _Connection(self), *next(self._addresses))
        self._connections.append(connection)

    def begin(self) -> None:
        self.begun = True
        for connection in self._connections:
            connection.send_next()

    def reconnect(self) -> None:
        """In place of a connection that ended, if there is anything left to send."""
        if self._taken < len(self.requests) and not self.done.done():
            task = self._loop.create_task(self.connect())
            self._tasks.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.done.done():
            self.done.set_exception(error)

    def take(self) -> int | None:
        number = self._taken
        if number == len(self.requests):
            return None
        self._taken = number + 1
        return number

    def answered(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._number: int | None = None
        self._sent = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods, not by its class
        if self._load.begun:
            self.send_next()

    def send_next(self) -> None:
        self._number = number = self._load.take()
        if number is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._load.requests[number])

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, head)
        whole = length is not None and len(data) >= head + int(length[1])
        if head == 3 or not (whole or data[9:12] == b"204"):
            self._received = data
            return
        now = time.perf_counter()
        load, number = self._load, self._number
        if number is None:
            load.failures.append("an answer that nobody asked for")
            return
        self._received = b""
        self._number = None
        load.latencies[number] = now - self._sent
        load.answers[number] = data[head:]
        if data[9:12] != b"200":
            load.failures.append(data[:400].decode("latin-1"))
        load.answered()
        if data.find(b"close", 0, head) < 0:
            self.send_next()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        load = self._load
        if self._number is not None and not load.done.done():
            load.failures.append(f"the connection was lost: {exc}")
            load.answered()
        load.reconnect()
