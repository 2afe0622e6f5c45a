# SPDX-License-Identifier: Apache-2.0
"""Time travel and reset: for a test on this machine, and for no web page; nowhere without development mode."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from direct import Direct, development
from servers import Production
from starlette.applications import Starlette

from keyquorum.server import development as routes
from keyquorum.testing import Server


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def fault(self) -> tuple[int, str]:
        return self.status, json.loads(self.body)["__type"]


class Dev:
    """The routes, called as the server calls them."""

    def __init__(self, kms: Direct) -> None:
        self.kms = kms
        self._app = Starlette(routes=list(routes.routes(kms.service, frozenset({"kms.test"}))))

    def send(self, method: str, path: str, body: bytes = b"{}", **headers: str) -> Answered:
        """Underscores in a header's name stand for hyphens."""
        sent = {"host": "localhost", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
        }
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        asyncio.run(self._app(scope, receive, send))
        received = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        return Answered(messages[0]["status"], received, b"".join(m.get("body", b"") for m in messages[1:]))

    def post(self, path: str, body: bytes = b"{}", **headers: str) -> Answered:
        return self.send("POST", path, body, x_keyquorum_dev="1", **headers)

    def unmoved(self) -> bool:
        return self.kms.service.clock.offset == 0


@pytest.fixture
def dev() -> Iterator[Dev]:
    with development() as kms:
        yield Dev(kms)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8085", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8085", "kms.test", "KMS.test:80"],
)
def test_a_host_that_is_on_the_list(dev: Dev, host: str) -> None:
    before = dev.kms.service.clock.now()
    answer = dev.post("/_dev/clock", b'{"advance_seconds": 60}', host=host)
    assert answer.status == 200
    assert json.loads(answer.body)["now"] >= before + 60
    assert 0 < dev.kms.service.clock.offset <= 60  # what passed meanwhile is part of it


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8085",
        "localhost:8085:80",
        "localhost@evil.example",
        "127.0.0.1.nip.io",
        "[::1",
        "::1",
        "localhost:",
        " localhost.",
        "0.0.0.0",
        "127.0.0.2",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/_dev/clock", "/_dev/reset"])
def test_a_host_that_is_not(dev: Dev, path: str, host: str) -> None:
    """A name that was made to resolve to this machine (DNS rebinding)."""
    key_id = dev.kms.key()
    assert dev.post(path, b'{"advance_seconds": 60}', host=host).fault == (400, "AccessDeniedException")
    assert dev.unmoved()
    assert dev.kms("DescribeKey", KeyId=key_id).code is None


@pytest.mark.parametrize("value", [None, "", "0", "11", "true", "1,1"])
@pytest.mark.parametrize("path", ["/_dev/clock", "/_dev/reset"])
def test_without_the_header(dev: Dev, path: str, value: str | None) -> None:
    headers = {} if value is None else {"x_keyquorum_dev": value}
    assert dev.send("POST", path, b'{"advance_seconds": 60}', **headers).fault == (400, "AccessDeniedException")
    assert dev.unmoved()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_web_page_can_send_unasked_is_refused(dev: Dev, content_type: str) -> None:
    """A form or a simple fetch has no header of ours; a preflight is asked for it and finds nobody that grants it."""
    page = {"origin": "https://evil.example", "sec_fetch_site": "cross-site", "content_type": content_type}
    assert dev.send("POST", "/_dev/reset", b"", **page).fault == (400, "AccessDeniedException")
    preflight = {"access_control_request_method": "POST", "access_control_request_headers": "x-keyquorum-dev"}
    answer = dev.send("OPTIONS", "/_dev/reset", b"", **page, **preflight)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"60",
        b"{}",
        b'{"advance_seconds": "60"}',
        b'{"advance_seconds": null}',
        b'{"advance_seconds": true}',
        b'{"advance_seconds": NaN}',
        b'{"advance_seconds": 1e999}',
        b'{"advance_seconds": -1}',
        b'{"advance_seconds": 1e11}',
        b'{"advance_seconds": 60, "more": 1}',
        b'{"advance_seconds": 60}x',
        b'\xff{"advance_seconds": 60}',
        b"[" * 10_000,
    ],
)
def test_a_body_that_moves_nothing(dev: Dev, body: bytes) -> None:
    assert dev.post("/_dev/clock", body).fault == (400, "ValidationException")
    assert dev.unmoved()


def test_the_clock_goes_a_hundred_years_ahead_in_all_and_no_further(dev: Dev) -> None:
    for _ in range(10):
        assert dev.post("/_dev/clock", b'{"advance_seconds": 3e8}').status == 200
    assert dev.post("/_dev/clock", b'{"advance_seconds": 3e8}').fault == (400, "ValidationException")
    assert dev.kms("CreateKey").code is None


def test_only_posts_are_taken(dev: Dev) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        assert dev.send(method, "/_dev/clock", x_keyquorum_dev="1").status == 405


def test_the_jobs_that_came_due_have_run_when_the_clock_has_moved(dev: Dev) -> None:
    key_id = dev.kms.key()
    dev.kms("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    dev.post("/_dev/clock", b'{"advance_seconds": %d}' % (7 * 86_400 - 60))
    assert dev.kms("DescribeKey", KeyId=key_id).code is None
    dev.post("/_dev/clock", b'{"advance_seconds": 61.5}')
    assert dev.kms("DescribeKey", KeyId=key_id).code == "NotFoundException"
    dev.post("/_dev/reset")
    assert dev.unmoved()


def test_a_development_server_has_them(keyquorum: Server) -> None:
    keyquorum.advance(timedelta(seconds=1))
    assert urlsplit(keyquorum.endpoint_url).hostname == "127.0.0.1"


@pytest.mark.slow
def test_no_other_server_does(tmp_path: Path) -> None:
    server = Production(tmp_path)
    try:
        for path in (b"/_dev/clock", b"/_dev/reset"):
            answer = server.raw(
                b"POST %b HTTP/1.1\r\nHost: localhost\r\nX-Keyquorum-Dev: 1\r\nContent-Length: 22\r\n\r\n"
                b'{"advance_seconds": 1}' % path
            )
            assert (answer.status, answer.json["__type"]) == (404, "UnknownOperationException")
    finally:
        server.stop()
