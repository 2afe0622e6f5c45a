# SPDX-License-Identifier: Apache-2.0
"""Signing in and out. A page signs a nonce of the server with an access key, in the browser, and sends the signature;
or somebody follows a link that ``keyquorum console login`` made. Either way ConsoleLogin was asked by a signed request,
and its answer is exchanged for a cookie, once, which is an operation of its own in the log. So is signing out.
"""

import time
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keyquorum.console.rendering import refused, render, see_other
from keyquorum.console.site import form_of, gateway_of, open_to_all, post, signed_out
from keyquorum.console.visitors import LONGEST, Visitor, asker_of, is_from_here, keep

_EXPIRED: Final = "This link was used already, or has expired. Ask for another."
_TOO_LONG: Final = "The policies and tags of this session take more room than a browser's cookie has."


async def _page(request: Request) -> Response:
    # Browsers sign only in a secure context: by TLS, or on the machine itself (W3C, "Secure Contexts").
    return render(request, None, "sign-in.html", next=_inside(request.query_params.get("next", "")))


async def _nonce(request: Request) -> Response:
    gateway = gateway_of(request)
    nonce = await run_in_threadpool(gateway.nonce)
    return JSONResponse({"nonce": nonce, "region": gateway.region, "now": time.time()})


async def _link(request: Request) -> Response:
    """A link by itself begins nothing: what looks at links for safety would use it up."""
    token = request.path_params["token"]
    login = await run_in_threadpool(gateway_of(request).read_login, token)
    if login is None:
        return render(request, None, "problem.html", status=403, title="Not signed in", text=_EXPIRED)
    return render(request, None, "link.html", token=token, login=login)


async def _begin(request: Request) -> Response:
    form, gateway = await form_of(request), gateway_of(request)
    token = str(form.get("token", ""))
    # Nobody is to be signed in by another's page, as somebody whom that page chose.
    login = await run_in_threadpool(gateway.read_login, token) if is_from_here(request) else None
    if login is None:
        return render(request, None, "problem.html", status=403, title="Not signed in", text=_EXPIRED)
    credentials, cookie = await run_in_threadpool(gateway.new_session, login)
    if len(cookie) > LONGEST:
        return render(request, None, "problem.html", status=403, title="Not signed in", text=_TOO_LONG)
    members, asker = {"Token": token}, asker_of(request)
    begun = await gateway.json(credentials, gateway.region, asker, "ConsoleSession", members, own=True)
    if begun.code == "ValidationException":
        return render(request, None, "problem.html", status=403, title="Not signed in", text=_EXPIRED)
    if not begun.ok:
        return refused(request, None, begun, back="/console/sign-in")
    response = see_other(request, _inside(str(form.get("next", ""))))
    keep(request, response, cookie)
    return response


async def _end(request: Request, visitor: Visitor) -> Response:
    ended = await visitor.end()
    return signed_out(request) if ended.ok else refused(request, visitor, ended)


def _inside(path: str) -> str:
    """A page of the console, whatever a link says."""
    inside = path.startswith("/console/") and "\\" not in path
    return path if inside and ".." not in path.partition("?")[0] else "/console/"


ROUTES: Final = [
    open_to_all("/sign-in", _page),
    open_to_all("/nonce", _nonce),
    open_to_all("/link/{token}", _link),
    open_to_all("/session", _begin, "POST"),
    post("/sign-out", _end),
]
