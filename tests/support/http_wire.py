# SPDX-License-Identifier: Apache-2.0
"""A server with a small core of its own behind a real socket, and a client that sends the bytes it is given.

``EchoCore`` keeps the contract of ``keyquorum.server.protocol.Core``: it stands for the KMS, it is no mock of it.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network
from math import inf
from typing import Any, Literal, NamedTuple

import uvicorn

from keyquorum.clock import uptime
from keyquorum.errors import KMSError, WouldBlock
from keyquorum.model import Answer, HttpRequest
from keyquorum.server.protocol import KMSProtocol, Limits, uvicorn_options
from keyquorum.server.workers import Workers

JSON11 = b"application/x-amz-json-1.1"
_LINES: dict[bytes, Literal["strangers", "federation", "computing"]] = {
    b"strangers": "strangers",
    b"federation": "federation",
    b"computing": "computing",
}


class EchoCore:
    """Echoes a request, unless its body says otherwise: ``sleep S``, ``big N``, ``raise`` or ``block`` (which breaks
    the contract on purpose), ``unrecorded``, ``until S`` for an answer that is too late in so many seconds,
    ``stranger`` for a request of somebody who is not known."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.writes: list[int] = []
        self.ran_in: list[str] = []
        self.disk_full = False
        self.leave = threading.Event()

    def answer(self, request: HttpRequest, *, may_block: bool) -> Answer:
        verb, _, argument = request.body.partition(b" ")
        padding = ""
        if verb == b"sleep":
            if not may_block:
                raise WouldBlock
            with contextlib.suppress(ValueError):  # the fuzzer's numbers
                time.sleep(min(float(argument), 1))
        elif verb in _LINES:
            if not may_block:
                raise WouldBlock(_LINES[verb])
            self.leave.wait(30)
        elif verb == b"block":
            raise WouldBlock
        elif verb == b"raise":
            raise RuntimeError("a bug in the core")
        elif verb == b"big":
            padding = "x" * int(argument)
        self.ran_in.append(threading.current_thread().name)
        shown = {
            "method": request.method.decode(),
            "target": request.target.decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.headers],
            "body": request.body.decode("latin-1"),
            "peer": request.peer,
            "padding": padding,
        }
        record = None if verb == b"unrecorded" else b'{"body":"%b"}' % request.body[:40]
        until = uptime() + float(argument) if verb == b"until" else inf
        return Answer(200, JSON11, json.dumps(shown).encode(), "id-echo", record, until, None, verb != b"stranger")

    def write_records(self, records: list[bytes]) -> None:
        if self.disk_full:
            raise OSError(28, "No space left on device")
        self.records += records
        self.writes.append(len(records))

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        shown = {"__type": error.code, "message": error.message, "for": content_type.decode("latin-1")}
        body = json.dumps(shown).encode()
        return Answer(error.status, JSON11, body, "id-refused")


class EchoApp:
    """The ASGI side: echoes too. ``/boom`` raises, ``/slow`` takes a while, ``/chunks`` sends without a length."""

    def __init__(self, core: EchoCore, limits: Limits, trusted: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self.core = core
        self.limits = limits
        self.trusted_proxies = trusted
        self.workers = Workers(limits.threads, limits.connections)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        event = await receive()
        if scope["path"] == "/boom":
            raise RuntimeError("a bug in the app")
        if scope["path"] == "/slow":
            await asyncio.sleep(0.3)
        shown = {
            "asgi": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "method": scope["method"],
            "version": scope["http_version"],
            "client": scope["client"],
            "body": event["body"].decode("latin-1"),
            "more": event["more_body"],
        }
        body = json.dumps(shown).encode()
        headers = [] if scope["path"] == "/chunks" else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fault(self) -> tuple[int, str]:
        return self.status, self.json["__type"]

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Wire:
    """One client connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def response(self) -> Response:
        """The next response; fails if the connection ends first."""
        while b"\r\n\r\n" not in self.buffer:
            assert self._more(), f"closed after {self.buffer!r}"
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines), "a header is repeated"
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length:
            assert self._more(), "closed within a body"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        version, code, _ = status.split(" ", 2)
        assert version == "HTTP/1.1"
        return Response(int(code), headers, body)

    def exchange(self, data: bytes) -> Response:
        self.send(data)
        return self.response()

    def rest(self) -> bytes:
        """Everything until the server closes, a reset included."""
        with contextlib.suppress(ConnectionError):
            while self._more():
                pass
        return self.buffer

    def ended(self) -> bool:
        """Whether the server closes without another byte."""
        return self.rest() == b""

    def close(self) -> None:
        self.sock.close()


class Running:
    """A uvicorn server in a thread."""

    def __init__(
        self,
        limits: Limits,
        *,
        trusted: tuple[IPv4Network | IPv6Network, ...] = (),
        protocol: type[KMSProtocol] = KMSProtocol,
        family: socket.AddressFamily = socket.AF_INET,
        send_buffer: int | None = None,
        **options: Any,
    ) -> None:
        self.core = EchoCore()
        self.listener = socket.socket(family)
        if send_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.address = self.listener.getsockname()[:2]
        self.wires: list[Wire] = []
        merged = {**uvicorn_options(limits), "http": protocol, "log_config": None, "access_log": False, **options}
        self.server = uvicorn.Server(uvicorn.Config(EchoApp(self.core, limits, trusted), **merged))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server did not start"
            time.sleep(0.005)

    @property
    def open(self) -> int:
        """How many connections the server holds."""
        return len(self.server.server_state.connections)

    def connect(self, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None) -> Wire:
        sock = socket.socket(self.listener.family)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        wire = Wire(sock)
        self.wires.append(wire)
        sock.connect(self.address)
        if tls:
            wire.sock = tls.wrap_socket(sock, server_hostname="localhost")
        return wire

    def ask(self, data: bytes) -> Response:
        return self.connect().exchange(data)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The event loop stands still meanwhile. There must be a connection."""
        connection: Any = next(iter(self.server.server_state.connections))
        standing, go_on = threading.Event(), threading.Event()

        def stand() -> None:
            standing.set()
            go_on.wait(5)

        connection.loop.call_soon_threadsafe(stand)
        standing.wait(5)
        yield
        go_on.set()

    def terminate(self) -> None:
        """What uvicorn's handler of SIGTERM does."""
        self.server.should_exit = True

    def stop(self) -> None:
        for wire in self.wires:
            wire.close()
        self.terminate()
        self.thread.join(15)
        assert not self.thread.is_alive(), "the server did not stop"


#: The fixture ``serve``: a server with limits of its own.
Serve = Callable[..., Running]


def post(body: bytes = b"", *headers: bytes, target: bytes = b"/") -> bytes:
    lines = b"".join(header + b"\r\n" for header in (b"Host: localhost", *headers))
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (target, lines, len(body), body)


def get(path: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    lines = b"".join(header + b"\r\n" for header in (b"Host: localhost", *headers))
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, lines)


def wait_until(condition: Callable[[], bool]) -> None:
    """Fails if ``condition`` does not come true within seconds."""
    end = time.monotonic() + 8
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
