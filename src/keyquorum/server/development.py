# SPDX-License-Identifier: Apache-2.0
"""Time travel and reset, for tests; these routes do not exist without ``--dev``.

A web page must not be able to call them: both demand a header that no page can send across origins without being asked
first, and a Host on a list, so that a name which was made to resolve to this machine does not help (DNS rebinding).
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keyquorum.clock import Clock
from keyquorum.errors import AccessDeniedException, KMSError, ValidationException
from keyquorum.server.asgi import fault, identified

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FARTHEST: Final = 100 * 366 * 86_400.0


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance_seconds: float


class Resettable(Protocol):
    clock: Clock

    def advance(self, seconds: float) -> None: ...
    def reset(self) -> None: ...


def routes(service: Resettable, hosts: frozenset[str]) -> list[Route]:
    """``POST /_dev/clock`` and ``POST /_dev/reset``. ``hosts``: names beside the local ones, without port."""
    allowed = _LOCAL | hosts

    def guarded(action: Callable[[bytes], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            host = request.headers.get("host", "").lower()
            name = host[: host.rindex(":")] if host.rpartition(":")[2].isdigit() else host
            if request.headers.get("x-keyquorum-dev") != "1" or name not in allowed:
                return fault(AccessDeniedException("The header X-Keyquorum-Dev: 1 and an allowed Host are required."))
            try:
                return await run_in_threadpool(action, await request.body())
            except KMSError as error:
                return fault(error)

        return endpoint

    def advance(body: bytes) -> Response:
        try:
            seconds = msgspec.json.decode(body, type=Advance).advance_seconds
        except msgspec.DecodeError as error:
            raise ValidationException(str(error)) from error
        if not (seconds >= 0 and service.clock.offset + seconds <= _FARTHEST):
            raise ValidationException(f"advance_seconds must not be negative, nor add up to more than {_FARTHEST:.0f}")
        service.advance(seconds)
        return JSONResponse({"now": service.clock.now()}, headers=identified())

    def reset(_body: bytes) -> Response:
        service.reset()
        return JSONResponse({}, headers=identified())

    return [
        Route("/_dev/clock", guarded(advance), methods=["POST"]),
        Route("/_dev/reset", guarded(reset), methods=["POST"]),
    ]
