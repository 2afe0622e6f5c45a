# SPDX-License-Identifier: Apache-2.0
"""The console's routes. Each page is behind ``get`` or ``post``, which see to it that somebody is signed in, and that a
form was sent by a page of ours."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyquorum.authn.refusals import Rate
from keyquorum.console.gateway import Gateway
from keyquorum.console.rendering import HEADERS, STATIC, render
from keyquorum.console.visitors import Visitor, forget, is_from_here, is_of_session, visitor_of
from keyquorum.errors import KMSError, ValidationException

Page = Callable[[Request, Visitor], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
#: Of one form. Anybody may send one, and it is read on the event loop.
_FIELDS: Final = 1000
#: Tracebacks in the log, a minute: what makes a page fail may be sent by anybody, and again.
_TRACEBACKS: Final = Rate(10, 60, "pages of the console failed")
_A_YEAR: Final = "public, max-age=31536000, immutable"
_log = logging.getLogger(__name__)


def get(path: str, page: Page) -> Route:
    """A page, for whoever is signed in. ``path`` is below /console."""

    async def endpoint(request: Request) -> Response:
        visitor = await run_in_threadpool(visitor_of, gateway_of(request), request)
        if visitor is None:
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/console/sign-in?next={quote(asked)}", 303)
        return await page(request, visitor)

    return Route(path, _guarded(endpoint), methods=["GET"])


def post(path: str, action: Page) -> Route:
    """What a form does, for whoever is signed in and sent it from a page of ours."""

    async def endpoint(request: Request) -> Response:
        visitor = await run_in_threadpool(visitor_of, gateway_of(request), request)
        if visitor is None:
            return RedirectResponse("/console/sign-in", 303)
        form = await form_of(request)
        if not is_from_here(request) or not is_of_session(visitor, str(form.get("csrf", ""))):
            return render(request, visitor, "problem.html", status=403, title="Not from here", text=_FORGED)
        return await action(request, visitor)

    return Route(path, _guarded(endpoint), methods=["POST"])


def open_to_all(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
    """A page for whoever comes: signing in."""
    return Route(path, _guarded(endpoint), methods=[method])


async def form_of(request: Request) -> FormData:
    """The fields of a form, in their order; read once, and kept with the request."""
    form: FormData | None = getattr(request.state, "form", None)
    if form is None:
        text = (await request.body()).decode("utf-8", "replace")
        try:
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS)
        except ValueError:
            raise ValidationException("This form has more fields than any form of this console.") from None
        form = FormData([(name, value) for name, value in fields])
        request.state.form = form
    return form


def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


_FORGED: Final = "This form was not sent by a page of this console, or its session has ended. Nothing was done."


def _guarded(endpoint: Endpoint) -> Endpoint:
    """With nothing of what went wrong inside."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except KMSError as error:
            status, text = 400 if error.status < 500 else 503, error.message or error.code
            return render(request, None, "problem.html", status=status, title="Not now", text=text)
        except Exception:
            if _TRACEBACKS.admits(time.time()):
                _log.exception("a page of the console failed")
            return render(request, None, "problem.html", status=500, title="This page failed", text=_FAILED)

    return guarded


_FAILED: Final = "The server's log says why. What you asked for before is as it was."


@cache
def _files() -> frozenset[str]:
    """The names that there are: what else somebody asks for reaches no file system."""
    return frozenset(path.name for path in STATIC.iterdir())


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None or name not in _files():
        return render(request, None, "problem.html", status=404, title="Not here", text=_NOT_HERE)
    headers = {"Cache-Control": _A_YEAR} if "v" in request.query_params else {}
    return FileResponse(STATIC / name, media_type=kind, headers=headers)


_NOT_HERE: Final = "There is no such page."


async def _not_here(request: Request) -> Response:
    return render(request, None, "problem.html", status=404, title="Not here", text=_NOT_HERE)


async def _unrouted(request: Request, error: Exception) -> Response:
    """What no route of ours takes, which is all that Starlette refuses by itself."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
    title, text = ("Not like this", _NOT_SO) if status == 405 else ("Not here", _NOT_HERE)
    response = render(request, None, "problem.html", status=status, title=title, text=text)
    response.headers.update(headers or {})
    return response


_NOT_SO: Final = "There is nothing here that a request of this kind could be sent to. Nothing was done."


class _Headed:
    """Whatever is answered under /console bears the headers of its pages, whoever answers it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, headed)


def app_of(gateway: Gateway, pages: Sequence[BaseRoute]) -> ASGIApp:
    """The console, to be mounted at /console: ``pages``, and the files that they use."""
    routes = [*pages, open_to_all("/static/{name}", _file), open_to_all("/{path:path}", _not_here)]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _unrouted})
    app.state.gateway = gateway
    return _Headed(app)


def signed_out(request: Request) -> Response:
    response = RedirectResponse("/console/sign-in", 303)
    forget(request, response)
    return response
