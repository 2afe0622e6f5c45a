# SPDX-License-Identifier: Apache-2.0
"""Templates to pages, and the headers that every page bears. What is shown is escaped; no page runs a script or a style
that is not a file of ours, is framed by anybody, or stays in a cache."""

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from keyquorum.console.outcome import Outcome
from keyquorum.console.visitors import Visitor

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"

#: Of every answer under /console (OWASP, "HTTP Security Response Headers Cheat Sheet").
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAID: Final = "said"
_CSRF: Final = '<input type="hidden" name="csrf" value="{}">'


def render(
    request: Request, visitor: Visitor | None, template: str, /, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page. Templates know ``visitor``, ``path`` (of this page), ``url(path, **query)`` (a link that keeps the
    Region), ``csrf()`` (the hidden field that every form needs), ``static(name)`` and ``said`` (what the page before
    has to say)."""

    def url(path: str, **query: object) -> str:
        asked = {name: str(value) for name, value in query.items() if value not in (None, "")}
        region = request.query_params.get("region")
        if region and "region" not in asked:
            asked["region"] = region
        return f"{path}?{urlencode(asked)}" if asked else path

    text = (
        _environment()
        .get_template(template)
        .render(
            visitor=visitor,
            path=request.url.path,
            query=request.query_params,
            url=url,
            said=_take_said(request),
            csrf=lambda: "" if visitor is None else Markup(_CSRF).format(visitor.csrf),  # noqa: S704 - a constant
            **context,
        )
    )
    response = HTMLResponse(text, status)
    if _SAID in request.cookies:
        response.delete_cookie(_SAID, path="/console")
    return response


def see_other(request: Request, path: str, said: str = "") -> Response:
    """Go on with another page (after a form, RFC 9110, section 15.4.4), which tells what was ``said``. The Region
    stays."""
    region = request.query_params.get("region")
    if region:
        path = f"{path}{'&' if '?' in path else '?'}{urlencode({'region': region})}"
    response = RedirectResponse(path, 303)
    if said:
        kept = said.encode()[:1000].hex()
        response.set_cookie(_SAID, kept, max_age=60, path="/console", httponly=True, samesite="strict")
    return response


def refused(request: Request, visitor: Visitor | None, outcome: Outcome, *, back: str = "/console") -> HTMLResponse:
    """The page of a request that was refused, which leads on to why."""
    status = outcome.status if outcome.status in (400, 403, 404) else 502
    return render(request, visitor, "refused.html", status=status, outcome=outcome, back=back)


def _take_said(request: Request) -> str:
    try:
        return bytes.fromhex(request.cookies.get(_SAID, "")).decode()
    except ValueError:
        return ""


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static
    environment.filters.update(date=date, day=day, size=size)
    return environment


@cache
def static(name: str) -> str:
    """The address of a file, which changes with it."""
    return f"/console/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def date(seconds: float | None) -> str:
    """``2027-01-31 12:00:00 UTC``; empty for None. Seconds since the epoch."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def size(count: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
