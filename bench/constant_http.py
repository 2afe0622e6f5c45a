# SPDX-License-Identifier: Apache-2.0
"""Two more yardsticks of HTTP: ``python bench/constant_http.py BYTES KIND`` answers every request with a constant.

``protocol``: keyquorum's own protocol within uvicorn, over a core that knows one answer and writes no record; its
distance to the constant ASGI app is what answering in the protocol saves. ``bare``: an asyncio protocol over httptools
that has no limit, no deadline and no order; its distance to ``protocol`` is what those cost.
"""

import asyncio
import socket
import sys
from typing import cast

import httptools
import uvloop

from constant import HEADERS, listening, serve
from keyquorum.errors import KMSError
from keyquorum.model import Answer, HttpRequest
from keyquorum.server.asgi import App
from keyquorum.server.front import Limits
from keyquorum.server.protocol import KMSProtocol
from keyquorum.server.runner import LOOP

_ID = "00000000-0000-0000-0000-000000000000"


class Constant:
    """A core."""

    def __init__(self, body: bytes) -> None:
        self._answer = Answer(200, b"application/x-amz-json-1.1", body, _ID)

    def answer(self, _request: HttpRequest, *, may_block: bool) -> Answer:  # noqa: ARG002 - it never does
        return self._answer

    def write_records(self, records: list[bytes]) -> None:
        raise AssertionError(f"{len(records)} records")

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        return Answer(error.status, content_type, b"", _ID)


class Bare(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self._transport.write(self._answer)


def _nothing() -> None:
    return None


async def _bare(body: bytes, listener: socket.socket) -> None:
    lines = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
    answer = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (lines, body)
    server = await asyncio.get_running_loop().create_server(lambda: Bare(answer), sock=listener)
    await server.serve_forever()


def main() -> None:
    kind, body = sys.argv[2], bytes(int(sys.argv[1])).replace(b"\0", b"x")
    listener = listening()
    if kind == "bare":
        uvloop.run(_bare(body, listener))
    else:
        serve(App(Constant(body), Limits(), (), _nothing, _nothing), listener, KMSProtocol, LOOP)


if __name__ == "__main__":
    main()
