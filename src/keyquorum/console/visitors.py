# SPDX-License-Identifier: Apache-2.0
"""Who is signed in: the session of a cookie, and the requests that are made in its name.

The cookie is all that the browser has: no script of a page can read it, no other site's page has it sent along, and it
is good until the session expires, is ended, or its principal is gone. A form is taken only from a page of ours: the
browser says where it comes from, and a token of the session says so too.
"""

import hmac
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.arns import is_region
from keyquorum.authn.signing import Credentials
from keyquorum.console.gateway import Asker, Gateway
from keyquorum.console.outcome import Outcome
from keyquorum.sessions import Temporary

#: Browsers keep cookies up to this length, in bytes.
LONGEST: Final = 4000
_AGENT: Final = 512


class Visitor:
    """A signed-in person, for one request of theirs. ``region`` is where their pages look."""

    def __init__(self, gateway: Gateway, request: Request, temporary: Temporary, token: str) -> None:
        self._gateway = gateway
        self._temporary = temporary
        self._credentials = Credentials(temporary.access_key_id, temporary.secret, token)
        self._asker = asker_of(request)
        region = request.query_params.get("region", "")
        self.region = region if is_region(region) else gateway.region
        self.account = temporary.account
        self.endpoint = f"{'https' if self._asker.secure else 'http'}://{self._asker.host}"
        self.csrf = hmac.digest(temporary.secret.encode(), b"console form", "sha256").hex()

    def __repr__(self) -> str:
        return f"Visitor({self._temporary.access_key_id!r})"

    @property
    def now(self) -> float:
        """Seconds since the epoch, as keys have it."""
        return self._gateway.now()

    async def call(self, operation: str, members: dict[str, Any], *, region: str | None = None) -> Outcome:
        """Ask for an operation of KMS; ``members`` by AWS's names, blobs in Base64."""
        return await self._gateway.json(self._credentials, region or self.region, self._asker, operation, members)

    async def own(self, operation: str, members: dict[str, Any], *, region: str | None = None) -> Outcome:
        """Ask for an operation of our own."""
        where = region or self.region
        return await self._gateway.json(self._credentials, where, self._asker, operation, members, own=True)

    async def query(self, service: str, operation: str, members: dict[str, str]) -> Outcome:
        """Ask for an operation of ``iam`` or ``sts``; ``members`` are the form's parameters."""
        return await self._gateway.query(self._credentials, self.region, self._asker, service, operation, members)

    async def end(self) -> Outcome:
        """End the session."""
        return await self.own("ConsoleLogout", {}, region=self._gateway.region)


def asker_of(request: Request) -> Asker:
    """Raises nothing: what a browser does not say is empty."""
    scheme, client = request.url.scheme, request.client
    agent = request.headers.get("user-agent", "").encode("latin-1", "replace")[:_AGENT]
    return Asker("" if client is None else client.host, scheme == "https", request.headers.get("host", ""), agent)


def visitor_of(gateway: Gateway, request: Request) -> Visitor | None:
    """Who is signed in; None for nobody. Raises KMSError if that cannot be found out."""
    cookie = request.cookies.get(_name(request))
    opened = None if not cookie else gateway.opened(cookie)
    return None if opened is None else Visitor(gateway, request, *opened)


def keep(request: Request, response: Response, cookie: str) -> None:
    """Let the browser have the session. It forgets it when it is closed."""
    response.set_cookie(
        _name(request), cookie, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def forget(request: Request, response: Response) -> None:
    response.delete_cookie(
        _name(request), path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def _name(request: Request) -> str:
    # RFC 6265bis, section 4.1.3.2: no other host of the domain, and nobody without TLS, can set such a cookie.
    return "__Host-keyquorum" if request.url.scheme == "https" else "keyquorum"


def is_from_here(request: Request) -> bool:
    """Whether the browser says that one of our pages sent this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    return origin == f"{request.url.scheme}://{request.headers.get('host', '')}" or (
        origin is None and site is not None
    )


def is_of_session(visitor: Visitor, given: str) -> bool:
    return hmac.compare_digest(visitor.csrf.encode(), given.encode("utf-8", "replace"))
