# SPDX-License-Identifier: Apache-2.0
"""How the console asks the server: as a client, by requests that are signed and take the request path from its first
step. This is the only way from a page to a key."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from keyquorum import iam_api, sessions, sts_api
from keyquorum.authn.signing import Credentials, signed_headers
from keyquorum.clock import Clock, uptime
from keyquorum.console.outcome import Outcome, read_json
from keyquorum.errors import KMSError, ThrottlingException, WouldBlock
from keyquorum.keyring import Keyring
from keyquorum.model import Answer, HttpRequest
from keyquorum.ops.console import Login, new_nonce, read_login
from keyquorum.server.front import Core
from keyquorum.server.workers import Workers
from keyquorum.sessions import Temporary
from keyquorum.store import spent
from keyquorum.store.lease import lapsed
from keyquorum.store.store import Store
from keyquorum.wire import query_client
from keyquorum.wire.protocols import IAM, JSON11, OWN, STS, Protocol

# RFC 6265, section 4.1.1: Base64 as RFC 4648, section 5, has it needs no quotes in a cookie.
_TO_COOKIE: Final = str.maketrans("+/", "-_")
_FROM_COOKIE: Final = str.maketrans("-_", "+/")
_FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"


class Asker(NamedTuple):
    """Where a browser's request came from: what records say of the requests that a page makes for it."""

    peer: str
    secure: bool
    host: str
    agent: bytes


class Gateway:
    """``region`` is the one that pages begin with. ``workers``: the server's, once it serves."""

    def __init__(
        self, core: Core, store: Store, keyring: Keyring, clock: Clock, region: str, workers: Callable[[], Workers]
    ) -> None:
        self.region = region
        self._workers = workers
        self._core = core
        self._store = store
        self._keyring = keyring
        self._clock = clock

    # -- sessions

    def now(self) -> float:
        """Seconds since the epoch, as keys and sessions have it."""
        return self._clock.now()

    def nonce(self) -> str:
        return new_nonce(self._keyring, self._clock.now())

    def read_login(self, token: str) -> Login | None:
        return read_login(self._keyring, token, self._clock.now())

    def new_session(self, login: Login) -> tuple[Credentials, str]:
        """The credentials of a new session, and its token as a cookie has it: for nobody, before ConsoleSession was
        asked for with them."""
        temporary, token = sessions.issue(self._keyring, login.account, login.identity_id, login.session)
        credentials = Credentials(temporary.access_key_id, temporary.secret, token)
        return credentials, token.translate(_TO_COOKIE).rstrip("=")

    def opened(self, cookie: str) -> tuple[Temporary, str] | None:
        """The session of a cookie, and its token; None for one that is none of the console's, has expired, was
        ended, or whose principal is gone. Raises KMSError."""
        token = cookie.translate(_FROM_COOKIE) + "=" * (-len(cookie) % 4)
        temporary = sessions.open_token(self._keyring, token.encode("latin-1", "replace"))
        if temporary is None or not temporary.session.console or self._clock.now() >= temporary.session.expires_at:
            return None
        with self._store.database.read() as connection:
            ended = spent.is_spent(connection, temporary.access_key_id)
            is_there = self._store.identities.by_id(connection, temporary.identity_id) is not None
        return (temporary, token) if is_there and not ended else None

    # -- requests

    async def json(
        self, credentials: Credentials, region: str, asker: Asker, operation: str, members: Any, *, own: bool = False
    ) -> Outcome:
        protocol = OWN if own else JSON11
        body = msgspec.json.encode(members)
        return await self._asked(protocol, credentials, region, asker, operation, body, protocol.target(operation))

    async def query(
        self, credentials: Credentials, region: str, asker: Asker, service: str, operation: str, members: dict[str, str]
    ) -> Outcome:
        protocol = IAM if service == "iam" else STS
        body = urlencode({"Action": operation, "Version": protocol.version, **members}).encode()
        return await self._asked(protocol, credentials, region, asker, operation, body, None)

    async def _asked(
        self,
        protocol: Protocol,
        credentials: Credentials,
        region: str,
        asker: Asker,
        operation: str,
        body: bytes,
        target: str | None,
    ) -> Outcome:
        content_type = _FORM if target is None else protocol.content_type.decode()
        service = protocol.service.decode()
        signed = signed_headers(credentials, service, region, asker.host, content_type, body, datetime.now(UTC), target)
        headers = [*[(name.encode(), value.encode()) for name, value in signed.items()], (b"user-agent", asker.agent)]
        received = time.perf_counter()
        http = HttpRequest(b"POST", b"/", headers, body, asker.peer, asker.secure, received=received)
        answer = await self._in_turn(http, protocol)
        seconds = time.perf_counter() - received
        members, code, message = _read(protocol, operation, answer)
        return Outcome(
            operation,
            [(name.decode(), value.decode("latin-1")) for name, value in headers],
            body,
            answer.status,
            [("content-type", answer.content_type.decode()), ("x-amzn-requestid", answer.request_id)],
            answer.body,
            members,
            code,
            message,
            answer.request_id,
            seconds,
        )

    async def _in_turn(self, http: HttpRequest, protocol: Protocol) -> Answer:
        """The answer, from the threads in which the API's own requests wait and compute, and behind those: a page gets
        nobody more of the processors than the API would."""
        try:
            try:
                answer = await self._in_pool("callers", partial(self._at_once_or_waiting, http, protocol))
            except WouldBlock:
                answer = await self._in_pool("computing", partial(self._answered, http, protocol, may_block=True))
        except ThrottlingException as refusal:
            answer = self._core.refuse(refusal, protocol.content_type)
        if answer.counted is not None:  # here, on the event loop, which alone changes these numbers
            answer.counted.note(time.perf_counter() - http.received)
        return answer

    def _at_once_or_waiting(self, http: HttpRequest, protocol: Protocol) -> Answer:
        """Raises WouldBlock for what computes."""
        try:
            return self._answered(http, protocol, may_block=False)
        except WouldBlock as block:
            if block.where == "computing":
                raise
        return self._answered(http, protocol, may_block=True)

    async def _in_pool(self, where: str, work: Callable[[], Answer]) -> Answer:
        """Raises ThrottlingException if too much waits there already."""
        done: Future[Answer] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return  # nobody waits for it any more
            try:
                done.set_result(work())
            except BaseException as failure:
                done.set_exception(failure)

        if not self._workers().submit(where, run):
            raise ThrottlingException("Rate exceeded")
        return await asyncio.wrap_future(done)

    def _answered(self, http: HttpRequest, protocol: Protocol, *, may_block: bool) -> Answer:
        """As the server's own connections have it: no record, no answer, and none after the lease. Raises
        WouldBlock."""
        answer = self._core.answer(http, may_block=may_block)
        try:
            if answer.record is not None:
                self._core.write_records([answer.record])
        except KMSError as error:
            return self._core.refuse(error, protocol.content_type)
        if uptime() >= answer.until:
            return self._core.refuse(lapsed("the answer came too late"), protocol.content_type)
        return answer


def _read(protocol: Protocol, operation: str, answer: Answer) -> tuple[dict[str, Any], str, str]:
    if protocol in (JSON11, OWN):
        return read_json(answer.body)
    shapes = iam_api.OPERATIONS if protocol is IAM else sts_api.OPERATIONS
    return query_client.read(shapes[operation].response, operation, answer.status, answer.body)
