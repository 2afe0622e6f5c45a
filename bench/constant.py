# SPDX-License-Identifier: Apache-2.0
"""The yardstick: an ASGI app that answers a constant, on the uvicorn that keyquorum runs on and with its own protocol.

It reads no body, checks no signature and keeps nothing. Argument: how many bytes it answers.
"""

import logging
import socket
import sys
from typing import Any

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

_BODY = bytes(int(sys.argv[1])).replace(b"\0", b"x")
HEADERS = [
    (b"content-type", b"application/x-amz-json-1.1"),
    (b"x-amzn-requestid", b"00000000-0000-0000-0000-000000000000"),
    (b"cache-control", b"no-cache, no-store, must-revalidate, private"),
    (b"content-length", str(len(_BODY)).encode()),
]


async def app(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS, "trailers": False})
    await send({"type": "http.response.body", "body": _BODY, "more_body": False})


def listening() -> socket.socket:
    """A socket on the loopback address, whose URL is printed."""
    logging.basicConfig(level=logging.WARNING)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    return listener


def serve(served: Any, listener: socket.socket, http: Any = "httptools", loop: str = "uvloop") -> None:
    """With uvicorn, and with nothing that takes time by itself."""
    config = uvicorn.Config(
        served,
        http=http,
        loop=loop,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(app, listening())
