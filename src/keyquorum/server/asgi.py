# SPDX-License-Identifier: Apache-2.0
"""The ASGI app: every path that is not the KMS route, which the protocol answers itself.

``GET /`` is one line for whoever opens the endpoint in a browser; everything else is not here.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from keyquorum import recording
from keyquorum.errors import KMSError
from keyquorum.server.front import Core, Limits
from keyquorum.server.proxies import Network
from keyquorum.server.workers import Workers
from keyquorum.wire import json11

# From a worker thread's call to the loop, to the batch, to its write.
_TURNS = 3

_LINE = "This is a keyquorum endpoint: point an AWS SDK's KMS client at this URL.\n"


class App:
    """What uvicorn serves, with what ``KMSProtocol`` looks for on it. ``start`` and ``stop`` run around serving."""

    def __init__(
        self,
        core: Core,
        limits: Limits,
        trusted_proxies: tuple[Network, ...],
        start: Callable[[], None],
        stop: Callable[[], None],
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self.core = core
        self.limits = limits
        self.trusted_proxies = trusted_proxies
        self.workers = Workers(limits.threads, limits.connections)

        @asynccontextmanager
        async def lifespan(_app: Any) -> Any:
            start()
            yield
            # Requests whose clients have gone may still run. Nothing that they use is closed before they end, and the
            # records that they hand to the loop are written.
            await run_in_threadpool(self.workers.shutdown)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            stop()

        self._starlette = Starlette(
            routes=[Route("/", _greet, methods=["GET"]), *routes],
            lifespan=lifespan,
            exception_handlers={HTTPException: _refuse},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)


class OnDemand:
    """An ASGI app that is made when somebody first asks for it, in a worker thread: what it imports takes a while, and
    most servers are never asked. It is made once, however many ask first; if it cannot be made, whoever asks next
    tries again."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            async with self._making:
                if self._app is None:
                    self._app = await run_in_threadpool(self._make)
        await self._app(scope, receive, send)


async def _greet(_request: Request) -> Response:
    return PlainTextResponse(_LINE, headers=identified())


async def _refuse(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    body = {"__type": "UnknownOperationException"}
    return JSONResponse(body, status, identified(), media_type=json11.CONTENT_TYPE.decode())


def fault(error: KMSError) -> Response:
    """A fault in AWS's JSON."""
    return Response(json11.encode_fault(error), error.status, identified(), json11.CONTENT_TYPE.decode())


def identified() -> dict[str, str]:
    """Every answer bears a request ID, whoever gives it."""
    return {"x-amzn-RequestId": recording.new_id()}
