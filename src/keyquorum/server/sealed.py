# SPDX-License-Identifier: Apache-2.0
"""A server whose root key is still sealed: it listens, answers every AWS request with DependencyTimeoutException, and
takes what opens the seal at ``POST /v1/unseal``, or waits for an HSM or another KMS to come back.

Nobody who unseals has an identity yet, so those requests are unsigned. They are small, few at a time and few a minute,
and what they bring is looked at one by one: a wrong share is refused by its number and spoils nothing. Shares and
passphrases are in no log, and in memory no longer than ``custody.attempt`` says.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keyquorum import recording
from keyquorum.authn.refusals import Rate
from keyquorum.custody import shamir
from keyquorum.custody.attempt import Attempt
from keyquorum.custody.passphrase import PassphraseSeal
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import SealAway, SealError, SealWaits, kind_of
from keyquorum.errors import (
    DependencyTimeoutException,
    IntegrityError,
    KMSError,
    MalformedHttpRequestException,
    ThrottlingException,
    ValidationException,
)
from keyquorum.model import Answer, HttpRequest, SealedRoot
from keyquorum.server.asgi import fault, identified
from keyquorum.wire.protocols import spoken

_log = logging.getLogger(__name__)

_MESSAGE: Final = "The server is sealed: its root key has to be opened first. You can retry the request."
#: A minute, whoever they are from.
_ATTEMPTS: Final = 60
_BODY: Final = 8 * 1024
#: Seconds until an HSM or a KMS is asked again: doubled each time, up to the last.
_FIRST, _LAST = 1.0, 30.0


class Brought(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is posted: a share, or the passphrase."""

    share: str = ""
    passphrase: str = ""


class SealedState:
    """What is known of the seal, for probes and for those who unseal. ``reason``: a sentence. Thread-safe."""

    def __init__(self, waits: SealError, accept: Callable[[bytes], RootKey], ask: Callable[[], RootKey]) -> None:
        """``waits``: SealWaits, or SealAway. ``accept``: a root key, after a check that it is the database's; raises
        IntegrityError or KMSError. ``ask``: what holds the seal, once more; raises SealError or KMSError."""
        self.reason = str(waits)
        self.root: RootKey | None = None
        self.failure: Exception | None = None
        self._accept = accept
        self._ask = ask
        self._row: SealedRoot | None = waits.sealed if isinstance(waits, SealWaits) else None
        self._attempt: Attempt | None = None
        if self._row is not None and self._row.kind == shamir.KIND:
            self._attempt = Attempt(self._row, time.monotonic)
        self._turn = threading.Lock()
        self._rate = Rate(_ATTEMPTS, 60, "attempts to unseal were put off")
        self._ended = threading.Event()
        self._done: Callable[[], None] = lambda: None

    @property
    def sealed(self) -> bool:
        return self.root is None

    def status(self) -> dict[str, Any]:
        """As ``GET /v1/seal`` tells it. ``given``: numbers of the shares that are here."""
        if not self.sealed:
            return {**UNSEALED, "starting": True}  # this is still the sealed server, whose place the other takes
        told: dict[str, Any] = {"sealed": True, "reason": self.reason}
        if self._row is not None:
            told["kind"] = kind_of(self._row)
        attempt = self._attempt
        if attempt is not None:
            told["threshold"], told["shares"] = attempt.threshold, attempt.shares
            told["given"], told["nonce"] = attempt.given(), attempt.nonce
        return told

    def bring(self, body: bytes, now: float) -> dict[str, Any]:
        """Take a share or the passphrase. Raises KMSError, whose text names what is wrong and shows none of it."""
        if not self._rate.admits(now) or not self._turn.acquire(blocking=False):
            raise ThrottlingException("Rate exceeded")
        try:
            if not self.sealed:
                raise ValidationException("The server is not sealed.")
            key = self._opened(body)
            if key is not None:
                self.root = self._accept(key)
                _log.warning("the server is unsealed")
                self._done()
        except SealError as error:
            _log.warning("an attempt to unseal failed: %s", error)
            raise ValidationException(str(error)) from None
        except IntegrityError as error:
            _log.error("what was brought opens a root key that is not this database's: %s", error)
            raise ValidationException("this is the root key of another database") from None
        finally:
            self._turn.release()
        return self.status()

    def _opened(self, body: bytes) -> bytes | None:
        try:
            brought = msgspec.json.decode(body[: _BODY + 1], type=Brought) if len(body) <= _BODY else Brought()
        except msgspec.DecodeError:
            brought = Brought()
        if self._attempt is not None and brought.share:
            return self._attempt.give(brought.share)
        if self._attempt is None and self._row is not None and brought.passphrase:
            return PassphraseSeal(brought.passphrase.encode(errors="replace")).open(self._row)
        wanted = {"share": self._attempt is not None, "passphrase": self._attempt is None and self._row is not None}
        wants = [name for name, is_wanted in wanted.items() if is_wanted]
        if not wants:
            raise ValidationException("The server waits for what holds its seal, and for nobody.")
        raise ValidationException(f'The body must be a JSON object with one text, "{wants[0]}".')

    def start(self, done: Callable[[], None]) -> None:
        """``done`` is called, from some thread, when the seal is open or never will be."""
        self._done = done
        if self._row is None:
            threading.Thread(target=self._ask_again, name="keyquorum-seal", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        if self._attempt is not None:
            self._attempt.forget()

    def _ask_again(self) -> None:
        pause = _FIRST
        while not self._ended.wait(pause):
            pause = min(2 * pause, _LAST)
            try:
                self.root = self._ask()
            except (SealAway, KMSError) as error:
                self.reason = str(error)
                _log.warning("the seal cannot be opened yet: %s; asking again in %.0f s", error, pause)
            except Exception as error:  # whatever it is, the server must not stay sealed without a word
                self.failure = error
                self._done()
                return
            else:
                _log.warning("the server is unsealed")
                self._done()
                return


UNSEALED: Final[dict[str, Any]] = {"sealed": False}


class SealedCore:
    """In the place of the request path: no AWS request is looked at, and none leaves a record."""

    def answer(self, request: HttpRequest, *, may_block: bool) -> Answer:  # noqa: ARG002 - as a core has it
        return self.refuse(DependencyTimeoutException(_MESSAGE), request.by_name.get(b"content-type", b""))

    def write_records(self, records: list[bytes]) -> None:
        assert not any(records)

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        protocol, request_id = spoken(content_type), recording.new_id()
        status, body = protocol.encode_fault(error, request_id)
        return Answer(status, protocol.content_type, body, request_id)


def routes(state: SealedState | None) -> Sequence[Route]:
    """``GET /v1/seal`` and ``POST /v1/unseal``; ``state`` is None for a server that is open."""

    async def seal(_request: Request) -> Response:
        return JSONResponse(UNSEALED if state is None else state.status(), headers=identified())

    async def unseal(request: Request) -> Response:
        # A page in somebody's browser can send a form or a text here, and no JSON.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return fault(MalformedHttpRequestException("The body must be application/json."))
        try:
            if state is None:
                raise ValidationException("The server is not sealed.")
            told = await run_in_threadpool(state.bring, await request.body(), time.monotonic())
        except KMSError as error:
            return fault(error)
        return JSONResponse(told, headers=identified())

    return [Route("/v1/seal", seal, methods=["GET"]), Route("/v1/unseal", unseal, methods=["POST"])]


def probes(state: SealedState) -> Sequence[Route]:
    """What is asked whether to send requests here: not yet."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "sealed": state.sealed}, headers=identified())

    async def ready(_request: Request) -> Response:
        checks = {"seal": f"sealed: {state.reason}"}
        return JSONResponse({"ready": False, "checks": checks}, 503, identified())

    return [Route("/healthz", health, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]
