# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 for the KMS endpoint: uvicorn's httptools protocol with ``POST /`` answered in place.

uvicorn keeps the sockets, TLS, the workers and every other path, which go to the ASGI app with their body already
collected. What its protocol lacks is done here: limits on the head, its header count, the body and the connections;
deadlines for the head, the body, an idle connection and a client that does not read; one Host; one request in flight
per connection, answered in the order of arrival; back-pressure; answers after their audit records.

It refuses, and closes the connection after: anything that could be framed in two ways (Transfer-Encoding beside
Content-Length, any coding but ``chunked``, a repeated Host, Content-Length, Transfer-Encoding or Expect, obs-fold, NUL,
bare CR or LF, trailers), versions other than 1.0 and 1.1, CONNECT, upgrades, absolute-form and ``*`` targets, and any
expectation but ``100-continue``. It never keeps an HTTP/1.0 connection, though it may: nobody needs it to.

It leans on uvicorn's private names; tests/http/test_http_conformance.py holds the pinned version to them.
"""

import asyncio
import logging
from collections import deque
from math import inf
from time import perf_counter
from typing import Any, Final
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from keyquorum.clock import uptime
from keyquorum.errors import (
    KMSError,
    KMSInternalException,
    MalformedHttpRequestException,
    RequestEntityTooLargeException,
    RequestTimeoutException,
    ThrottlingException,
    WouldBlock,
)
from keyquorum.model import Answer, HttpRequest
from keyquorum.server.front import Core, Front, Limits
from keyquorum.server.proxies import client_address, is_trusted, was_secure
from keyquorum.server.scope import scope_of
from keyquorum.store.lease import lapsed

__all__ = ["Core", "KMSProtocol", "Limits", "uvicorn_options"]

_log = logging.getLogger(__name__)


def uvicorn_options(limits: Limits) -> dict[str, Any]:
    """The ``uvicorn.Config`` arguments that ``KMSProtocol`` needs. With ``proxy_headers`` or at log level trace
    uvicorn would wrap the app, hiding its core; forwarded addresses are the business of ``proxies``."""
    return {
        "http": KMSProtocol,
        "ws": "none",
        "interface": "asgi3",
        "proxy_headers": False,
        "server_header": False,
        "date_header": True,
        "timeout_graceful_shutdown": limits.graceful_seconds,
    }


# A connection's stages. Within one request they only grow, which _wait relies on.
_IDLE, _HEAD, _BODY, _LINGER = range(4)
_ANSWERED: Final = -1

# RFC 9112, section 9.6: closing at once would reset the connection under a client that is still sending, and the
# reset can overtake the refusal. So the writing side is closed, and what still comes is thrown away for so long.
_LINGER_SECONDS: Final = 1.0

# Each decides on framing, routing or waiting, so none may be given twice.
_SINGLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class _Flow(FlowControl):
    """uvicorn's cycle resumes reading as soon as an app asks for the body; here that is the protocol's to decide."""

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


# Keyed by what uvicorn makes once per server process. A front must not hold its key, or it would never go.
fronts: Final[WeakKeyDictionary[ServerState, Front]] = WeakKeyDictionary()


class _Refused(Exception):
    """Raised in a parser callback to stop the parser; ``error`` is the answer."""

    def __init__(self, error: KMSError) -> None:
        super().__init__(error.code)
        self.error = error


def _malformed(message: str) -> _Refused:
    return _Refused(MalformedHttpRequestException(message))


def _body_too_large(limits: Limits) -> _Refused:
    return _Refused(RequestEntityTooLargeException(f"The body exceeds {limits.body_bytes} bytes"))


class KMSProtocol(HttpToolsProtocol):
    """One connection.

    Bytes become requests in the parser's callbacks, which only collect. ``_proceed`` starts the next request when
    nothing else is in flight, and ``deliver`` (or uvicorn's cycle, for ASGI) ends it and calls ``_proceed`` again.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        front = fronts.get(server_state)
        if front is None:
            front = fronts[server_state] = Front(config.loaded_app, self.loop, server_state.connections)
        self.front = front
        self.limits = front.limits
        self.peer = ""
        self.via_proxy = False

        # The connection
        self.queue: deque[tuple[HttpRequest | Answer, str, bool]] = deque()  # with HTTP version and keep-alive
        self.unparsed: deque[bytes | memoryview] = deque()
        self.busy = False  # a request is in flight
        self.keep_alive = True  # after the one in flight
        self.final = False  # nothing that comes from now on is looked at
        self.eof = False  # nothing comes from now on
        self.draining = False  # the server is shutting down
        self.reading = True
        self.deadline = inf
        self.write_deadline = inf
        self.held = 0  # bytes of requests that are kept here, as far as they are counted
        self.started = 0.0  # when the request in flight had been received

        # The request being received
        self.stage = _IDLE
        self.waiting = _HEAD  # the stage that the deadline is for
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.singles: dict[bytes, bytes] = {}
        self.body: bytes | bytearray = b""
        self.method = b""
        self.version = ""
        self.spanning = False  # its head began in an earlier read
        self.silent = 0  # bytes received of which no callback has told

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self.flow = _Flow(transport)
        if len(self.connections) > self.limits.connections and not self.front.make_room():
            # Not lingering: the point is to hold no more sockets than that.
            self.final = True
            self.front.refused += 1
            refusal = self.front.core.refuse(ThrottlingException("Too many connections"))
            transport.write(self.front.wire(refusal, self.server_state.default_headers, close=True))
            transport.close()
        else:
            peer = self.client[0] if self.client else ""
            self.peer = client_address(peer, ())
            self.via_proxy = is_trusted(peer, self.front.trusted)
            self.deadline = self.loop.time() + self.limits.header_seconds
            self.front.strangers[self] = None
        self.front.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        # A request in a worker thread goes on and its record is written; deliver() drops the answer.
        self.final = True
        self.queue.clear()
        self.unparsed.clear()
        self.front.leave(self)
        super().connection_lost(exc)

    def abandon(self) -> None:
        """Called to make room for others."""
        self.final = True
        self.front.leave(self)
        self.transport.abort()

    def is_idle(self) -> bool:
        """Whether its client is owed nothing, and has begun nothing."""
        return not (self.busy or self.queue or self.unparsed or self.final) and self.stage == _IDLE

    def _hold(self, size: int) -> None:
        if not self.front.hold(self, size):
            self._refuse(ThrottlingException("Rate exceeded"))

    def eof_received(self) -> bool | None:  # type: ignore[override] # uvicorn never keeps a half-closed connection
        """A client may close its writing side and still read; TLS has no such thing."""
        self.eof = True
        return (self.busy or bool(self.queue or self.unparsed)) and self.scheme == "http"

    def shutdown(self) -> None:
        """Called once by uvicorn on SIGTERM. A request whose head has come is in flight; less is cut off."""
        self.draining = True
        if self.busy:
            if self.cycle is not None:
                self.cycle.keep_alive = False
        elif self.stage != _BODY:
            self.transport.close()

    def check_deadlines(self, now: float) -> None:
        """Called by the sweep; ``now`` is the loop's time."""
        if now >= self.write_deadline:
            self.transport.abort()
        elif self.transport.is_closing():
            if self.write_deadline == inf:  # close() waits for a client that need never read
                self.write_deadline = now + self.limits.write_seconds
        elif now >= self.deadline and not (self.busy or self.queue or self.flow.write_paused):
            if self.stage in (_HEAD, _BODY):
                self._refuse(RequestTimeoutException("The request was not received in time"))
                self._proceed()
            else:
                self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_deadline = self.loop.time() + self.limits.write_seconds

    def resume_writing(self) -> None:
        super().resume_writing()
        self.write_deadline = inf
        self._proceed()

    # -- from bytes to requests

    def data_received(self, data: bytes) -> None:
        if self.final:
            return
        if self.busy or self.flow.write_paused:
            # Parsing now would make requests without bound out of it. One read is put by, the rest stays in the socket.
            self.unparsed.append(data)
            self._read(False)
            self._hold(self.held + len(data))
        else:
            self._feed(data)
            self._proceed()

    def _read(self, reading: bool) -> None:
        if reading is not self.reading:
            self.reading = reading
            if reading:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _feed(self, data: bytes | memoryview) -> None:
        limit = self.limits.header_bytes
        if len(data) > limit:
            # So that a read becomes only so many requests, and a head within one piece needs no counting.
            view = memoryview(data)
            self.unparsed.appendleft(view[limit:])
            data = view[:limit]
        self.spanning = self.stage == _HEAD
        received = len(self.body)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, _Refused):
                self._refuse(cause.error)
            else:
                _log.error("a parser callback failed", exc_info=cause)
                self._refuse(KMSInternalException())
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(MalformedHttpRequestException("The request is not valid HTTP/1.1"))
        else:
            if self.stage == _IDLE:
                return
            if self.queue or (self.stage == _BODY and len(self.body) != received):
                self.silent = 0
                return
            # The parser holds a header's name and value until the next begins, and trailers have no other limit.
            self.silent += len(data)
            if self.silent > limit:
                self._refuse(RequestEntityTooLargeException(f"The headers exceed {limit} bytes"))

    def _refuse(self, error: KMSError) -> None:
        """Answer ``error`` once what came before is answered, then close."""
        if not self.final:
            self.final = True
            content_type = dict(self.headers).get(b"content-type", b"")
            self.queue.append((self.front.core.refuse(error, content_type), "1.1", False))

    def on_message_begin(self) -> None:
        self.stage = _HEAD
        self.silent = 0
        self.url = b""
        self.headers = []
        self.singles = {}
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage != _HEAD:
            raise _malformed("Trailers are not supported")
        name = name.lower()
        if name in _SINGLE:
            if name in self.singles:
                raise _malformed(f"More than one {name.decode()} header")
            self.singles[name] = value
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, limits, singles = self.parser, self.limits, self.singles
        self.method = parser.get_method()
        self.version = version = parser.get_http_version()
        if version == "1.1":
            if b"host" not in singles:
                raise _malformed("The Host header is missing")
        elif version != "1.0" or b"transfer-encoding" in singles:
            raise _malformed("The request is not valid HTTP/1.1")
        if parser.should_upgrade():  # CONNECT included
            raise _malformed("Upgrades are not supported")
        if self.url != b"/" and (self.url[:1] != b"/" or b"#" in self.url or not self.url.isascii()):
            raise _malformed("The request target is not a path")
        if len(self.headers) > limits.header_count:
            raise _Refused(RequestEntityTooLargeException(f"More than {limits.header_count} headers"))
        if self.spanning:
            self.silent = 0
            line = len(self.method) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
            if line + sum(len(name) + len(value) + 4 for name, value in self.headers) > limits.header_bytes:
                raise _Refused(RequestEntityTooLargeException(f"The headers exceed {limits.header_bytes} bytes"))
        if b"transfer-encoding" in singles:
            if b"content-length" in singles or singles[b"transfer-encoding"].lower() != b"chunked":
                raise _malformed("The only transfer coding is chunked, without Content-Length")
        elif int(singles.get(b"content-length", b"0")) > limits.body_bytes:  # the parser lets digits pass, no more
            raise _body_too_large(limits)
        if b"expect" in singles and singles[b"expect"].lower() != b"100-continue":
            raise _malformed("The only expectation is 100-continue")
        self.stage = _BODY

    def on_body(self, body: bytes) -> None:
        if not self.body:
            self.body = body
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += body
        if len(self.body) > self.limits.body_bytes:
            raise _body_too_large(self.limits)

    def on_message_complete(self) -> None:
        self.stage = _IDLE
        keep_alive = self.version == "1.1" and self.parser.should_keep_alive()
        if not keep_alive:
            self.final = True
        peer, secure, received = self.peer, self.scheme == "https", perf_counter()
        if self.via_proxy:
            peer = client_address(peer, self.headers, self.front.trusted)
            secure = secure or was_secure(self.headers)
        request = HttpRequest(self.method, self.url, self.headers, bytes(self.body), peer, secure, received=received)
        self.queue.append((request, self.version, keep_alive))

    # -- from requests to answers

    def _proceed(self) -> None:
        """Start the next request; if there is none, parse what was put by; if there is nothing, wait."""
        while not (self.busy or self.flow.write_paused or self.transport.is_closing()):
            if self.queue:
                self._start(*self.queue.popleft())
            elif self.final or not self.unparsed:
                self._wait()
                return
            else:
                self._feed(self.unparsed.popleft())

    def _wait(self) -> None:
        if self.stage == _BODY or self.held:
            self._hold(len(self.body) if self.stage == _BODY else 0)
            if self.queue:  # a refusal
                self._proceed()
                return
        if self.eof:
            self.transport.close()
            return
        self._read(True)
        if self.final:
            return
        if self.stage > self.waiting:
            self.waiting = self.stage
            self.deadline = self.loop.time() + self.front.seconds[self.stage]
        # RFC 9110, section 10.1.1: an HTTP/1.0 client knows no 100, one whose body has come needs none.
        if self.stage == _BODY and not self.body and self.version == "1.1" and self.singles.pop(b"expect", b""):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start(self, request: HttpRequest | Answer, version: str, keep_alive: bool) -> None:
        self.busy = True
        self.keep_alive = keep_alive
        if isinstance(request, Answer):
            self.stage = _LINGER
            self.started = perf_counter()
            self.front.commit.add(self, request)
            return
        self.started = request.received
        if len(request.body) > self.limits.header_bytes:
            self._hold(max(self.held, len(request.body)))
        if request.method == b"POST" and request.target[:2] in (b"/", b"/?"):
            try:
                self.front.commit.add(self, self._answer(request, may_block=False))
            except WouldBlock as block:
                if not self.front.workers.submit(block.where, self._work, request):
                    self.front.commit.add(self, self._refusal(ThrottlingException("Rate exceeded"), request))
        else:
            self._start_cycle(request, version)

    def _answer(self, request: HttpRequest, *, may_block: bool) -> Answer:
        try:
            return self.front.core.answer(request, may_block=may_block)
        except Exception as error:
            if isinstance(error, WouldBlock) and not may_block:
                raise
            _log.exception("the core raised")
            return self._refusal(KMSInternalException(), request)

    def _refusal(self, error: KMSError, request: HttpRequest) -> Answer:
        return self.front.core.refuse(error, request.by_name.get(b"content-type", b""))

    def _work(self, request: HttpRequest) -> None:
        """In a worker thread."""
        answer = self._answer(request, may_block=True)
        # A loop that is closed has no connection left: no record, but no answer either.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.front.commit.add, self, answer)

    def deliver(self, answer: Answer, now: float) -> None:
        """Send ``answer``, whose record is durable, to the request in flight."""
        transport = self.transport
        self.busy = False
        self.server_state.total_requests += 1
        if answer.counted is not None:
            answer.counted.note(perf_counter() - self.started)
        if transport.is_closing():
            return
        if answer.known:
            self.front.strangers.pop(self, None)
        close = self.draining or not self.keep_alive or (self.eof and not (self.queue or self.unparsed))
        sent = self.front.wire(answer, self.server_state.default_headers, close=close)
        # Last of all, since this process may have been stopped at any point before.
        if answer.until < inf and uptime() >= answer.until:
            refusal = self.front.core.refuse(lapsed("the answer came too late"), answer.content_type)
            sent = self.front.wire(refusal, self.server_state.default_headers, close=close)
        transport.write(sent)
        if not close:
            self.waiting = _IDLE
            self.deadline = now + self.limits.keep_alive_seconds
            if self.queue or self.unparsed or self.stage != _IDLE or self.held or not self.reading:
                self.waiting = _ANSWERED
                self._proceed()
        elif self.stage == _LINGER and not self.eof:
            self.deadline = now + _LINGER_SECONDS
            self._read(True)
            if transport.can_write_eof():
                transport.write_eof()
        else:
            transport.close()

    def _start_cycle(self, request: HttpRequest, version: str) -> None:
        """Give the ASGI app a request as uvicorn would, but whole."""
        self.scope = scope_of(self, request, version)
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=self.keep_alive and not self.draining,
            on_response=self.on_response_complete,
        )
        self.cycle.body += request.body
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._start_asgi_task(self.cycle, self.app)

    def on_response_complete(self) -> None:
        """Called by uvicorn's cycle after the last byte of its answer; it closes the transport itself if it must."""
        self.busy = False
        self.server_state.total_requests += 1
        self.waiting = _ANSWERED
        self._proceed()
