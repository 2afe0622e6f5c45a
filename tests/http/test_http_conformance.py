# SPDX-License-Identifier: Apache-2.0
"""What keyquorum.server leans on in uvicorn and httptools beyond their public API. A failure here after an upgrade
says what to read again before the pin moves."""

import asyncio
import inspect
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


async def _made() -> HttpToolsProtocol:
    config = uvicorn.Config(_app, ws="none", log_config=None, interface="asgi3")
    return HttpToolsProtocol(config, ServerState(), {}, asyncio.get_running_loop())


def test_uvicorn_is_the_version_that_was_read() -> None:
    assert uvicorn.__version__ == "0.54.0"


def test_the_protocol_is_made_with_these_arguments() -> None:
    assert list(inspect.signature(HttpToolsProtocol.__init__).parameters) == [
        "self", "config", "server_state", "app_state", "_loop",
    ]  # fmt: skip


def test_the_protocol_has_the_attributes_that_are_used() -> None:
    protocol = asyncio.run(_made())
    for name in (
        "access_log", "access_logger", "app", "app_state", "asgi_version", "client", "config", "connections", "cycle",
        "flow", "headers", "logger", "loop", "parser", "root_path", "scheme", "scope", "server", "server_state",
        "tasks", "transport",
    ):  # fmt: skip
        assert name in vars(protocol), name


def test_every_method_that_is_overridden_or_called_exists() -> None:
    for name in (
        "connection_made", "connection_lost", "eof_received", "data_received", "pause_writing", "resume_writing",
        "shutdown", "on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body",
        "on_message_complete", "on_response_complete", "_start_asgi_task",
    ):  # fmt: skip
        assert callable(HttpToolsProtocol.__dict__[name]), name


def test_no_callback_of_uvicorns_is_left_that_the_subclass_does_not_override() -> None:
    from keyquorum.server.protocol import KMSProtocol

    callbacks = {name for name in vars(HttpToolsProtocol) if name.startswith("on_")}
    assert callbacks <= set(vars(KMSProtocol))


def test_the_cycle_is_made_with_these_arguments_and_fed_through_these_attributes() -> None:
    assert set(inspect.signature(RequestResponseCycle.__init__).parameters) == {
        "self", "scope", "transport", "flow", "logger", "access_logger", "access_log", "default_headers",
        "message_event", "expect_100_continue", "keep_alive", "on_response",
    }  # fmt: skip
    source = inspect.getsource(RequestResponseCycle)
    for name in ("body", "more_body", "message_event", "keep_alive", "disconnected", "response_complete"):
        assert f"self.{name} = " in source, name


def test_flow_control_has_the_two_methods_that_are_silenced() -> None:
    assert {"pause_reading", "resume_reading", "pause_writing", "resume_writing", "drain"} <= set(vars(FlowControl))
    assert "write_paused" in inspect.getsource(FlowControl.__init__)


def test_the_server_state_is_one_weakly_referable_object_per_server() -> None:
    state = ServerState()
    assert set(vars(state)) == {"total_requests", "connections", "tasks", "default_headers"}
    assert "__weakref__" in dir(state)


def test_the_default_headers_are_a_new_list_each_time() -> None:
    """The header lines are cached by the list's identity."""
    assert "self.server_state.default_headers = date_header + " in inspect.getsource(uvicorn.Server.on_tick)


def test_shutdown_tells_each_connection_and_waits_for_them() -> None:
    source = inspect.getsource(uvicorn.Server)
    assert "connection.shutdown()" in source
    assert "while self.server_state.connections" in source


def test_the_status_lines_are_complete() -> None:
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    assert set(range(200, 600)) <= set(STATUS_LINE)


class _Callbacks:
    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def on_url(self, url: bytes) -> None:
        self.seen.append(url)
        if url == b"/raise":
            raise LookupError

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.append(name)

    def on_headers_complete(self) -> None:
        if b"Late" in self.seen:
            raise LookupError


@pytest.mark.parametrize("data", [b"GET /raise HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nLate: x\r\n\r\n"])
def test_httptools_hands_on_what_a_callback_raised(data: bytes) -> None:
    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        _Callbacks().parser.feed_data(data)
    assert isinstance(caught.value.__context__, LookupError)


def test_httptools_looks_at_nothing_after_connection_close() -> None:
    callbacks = _Callbacks()
    callbacks.parser.feed_data(b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    callbacks.parser.feed_data(b"GET /c HTTP/1.1\r\n\r\n")
    assert callbacks.seen == [b"/a", b"Connection"]
