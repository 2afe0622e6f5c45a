# SPDX-License-Identifier: Apache-2.0
"""The ASGI app: every path that is not the KMS route, which the protocol answers itself.

``GET /`` is one line for whoever opens the endpoint in a browser; everything else is not here.
"""

from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from keyquorum.errors import KMSError
from keyquorum.server.front import Core, Limits
from keyquorum.server.proxies import Network
from keyquorum.wire import json11

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

        @asynccontextmanager
        async def lifespan(_app: Any) -> Any:
            start()
            yield
            stop()

        self._starlette = Starlette(
            routes=[Route("/", _greet, methods=["GET"]), *routes],
            lifespan=lifespan,
            exception_handlers={HTTPException: _refuse},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)


async def _greet(_request: Request) -> Response:
    return PlainTextResponse(_LINE)


async def _refuse(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"__type": "UnknownOperationException"}, status, media_type=json11.CONTENT_TYPE.decode())


def fault(error: KMSError) -> Response:
    """A fault in AWS's JSON."""
    return Response(json11.encode_fault(error), error.status, media_type=json11.CONTENT_TYPE.decode())
