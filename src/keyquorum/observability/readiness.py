# SPDX-License-Identifier: Apache-2.0
"""Whether this process can answer requests: ``/readyz``. ``/healthz`` says only that it lives.

What is asked costs at most one round of checks a second, however often it is asked, and no request waits longer than
``_PATIENCE`` for a check that hangs. Answers name what is not right and nothing more: anybody may ask.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keyquorum.errors import DependencyTimeoutException
from keyquorum.server.asgi import identified

_log = logging.getLogger(__name__)

OK: Final = "ok"
_KEPT: Final = 1.0
_PATIENCE: Final = 2.0

#: Raises whatever it likes, or gives a few words if something is not right, else "ok".
Check = Callable[[], str]


class State(NamedTuple):
    """``checks``: name -> "ok", or a few words on what is not right."""

    ready: bool
    checks: dict[str, str]


class Readiness:
    """``checks`` are made in their order, by one thread."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="keyquorum-ready")
        self._lock = threading.Lock()
        self._running: Future[State] | None = None
        self._found: State | None = None
        self._found_at = 0.0
        self._stopping = False

    def stop(self) -> None:
        """Be ready no more: the server is stopping."""
        self._stopping = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def state(self) -> State:
        """May wait."""
        future = self._begin()
        if isinstance(future, State):
            return future
        try:
            return future.result(_PATIENCE)
        except OutOfTime:
            return self._hanging()

    async def state_async(self) -> State:
        future = self._begin()
        if isinstance(future, State):
            return future
        done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=_PATIENCE)
        return next(iter(done)).result() if done else self._hanging()

    def _begin(self) -> "Future[State] | State":
        with self._lock:
            if self._stopping:
                return State(False, {"serving": "stopping"})
            if self._found is not None and time.monotonic() - self._found_at < _KEPT:
                return self._found
            if self._running is None:
                self._running = self._executor.submit(self._run)
            return self._running

    def _hanging(self) -> State:
        return State(False, dict.fromkeys(self._checks, f"no answer within {_PATIENCE:g} s"))

    def _run(self) -> State:
        said = {name: _said(name, check) for name, check in self._checks.items()}
        state = State(all(words == OK for words in said.values()), said)
        with self._lock:
            before, self._found, self._found_at, self._running = self._found, state, time.monotonic(), None
        if before is not None and before.ready != state.ready:
            _log.warning("%s: %s", "ready again" if state.ready else "not ready", said)
        return state


def _said(name: str, check: Check) -> str:
    try:
        return check()
    except DependencyTimeoutException:
        return "cannot be had"
    except OSError:
        return "cannot be written"
    except Exception:
        _log.exception("the check of readiness %s failed", name)
        return "failed"


def routes(readiness: Readiness) -> list[Route]:
    """``GET /healthz`` and ``GET /readyz``, which need no signature."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "sealed": False}, headers=identified())

    async def readyz(_request: Request) -> Response:
        state = await readiness.state_async()
        return JSONResponse(state._asdict(), 200 if state.ready else 503, identified())

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
