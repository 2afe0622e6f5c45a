# SPDX-License-Identifier: Apache-2.0
"""What is a request, and what is refused as none. Raw bytes over a socket."""

import pytest
from http_wire import Running, Serve, get, post

from keyquorum.server.protocol import KMSProtocol

MALFORMED = (400, "MalformedHttpRequestException")
TOO_LARGE = (413, "RequestEntityTooLargeException")


def test_a_request_reaches_the_core_as_it_was_sent(shared: Running) -> None:
    data = post(b'{"a":1}', b"X-Amz-Target: TrentService.Encrypt", b"X-Two: 1", b"X-Two: 2")
    answer = shared.ask(data)
    assert answer.status == 200
    assert answer.json["method"] == "POST"
    assert answer.json["target"] == "/"
    assert answer.json["body"] == '{"a":1}'
    assert answer.json["peer"] == "127.0.0.1"
    assert answer.json["headers"] == [
        ["host", "localhost"],
        ["x-amz-target", "TrentService.Encrypt"],
        ["x-two", "1"],
        ["x-two", "2"],
        ["content-length", "7"],
    ]


def test_the_answers_headers(shared: Running) -> None:
    answer = shared.ask(post(b"{}"))
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"] == "id-echo"
    assert answer.headers["date"].endswith("GMT")
    assert answer.headers["cache-control"] == "no-cache, no-store, must-revalidate, private"
    assert not answer.closes
    assert "server" not in answer.headers


def test_a_query_on_the_root_is_the_cores_to_refuse(shared: Running) -> None:
    assert shared.ask(post(b"", target=b"/?Action=x")).json["target"] == "/?Action=x"


def test_a_request_in_single_bytes(shared: Running) -> None:
    wire = shared.connect()
    for byte in post(b"hello", b"X-Empty:"):
        wire.send(bytes([byte]))
    answer = wire.response()
    assert answer.json["body"] == "hello"
    assert ["x-empty", ""] in answer.json["headers"]


def test_a_body_in_chunks(shared: Running) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
    wire = shared.connect()
    for _ in range(2):
        assert wire.exchange(head + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n").json["body"] == "abcdefg"


def test_blank_lines_before_a_request_are_skipped(shared: Running) -> None:
    assert shared.ask(b"\r\n\r\n" + post(b"x")).json["body"] == "x"


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"POST / HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(post(b"", b"Host: b"), id="two Hosts"),
        pytest.param(post(b"", b"A: b\r\n folded"), id="obs-fold"),
        pytest.param(post(b"", b"A: b\0c"), id="NUL"),
        pytest.param(post(b"", b"A: b\rc"), id="bare CR"),
        pytest.param(b"POST / HTTP/1.1\nHost: a\n\n", id="bare LF"),
        pytest.param(post(b"", b"A : b"), id="space before the colon"),
        pytest.param(post(b"", b"A\xff: b"), id="name not ASCII"),
        pytest.param(post(b"0\r\n\r\n", CHUNKED), id="chunked before a length"),
        pytest.param(get(b"/", b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n", id="length before chunked"),
        pytest.param(get(b"/", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", id="gzip, chunked"),
        pytest.param(get(b"/", b"Transfer-Encoding: gzip") + b"x", id="gzip"),
        pytest.param(get(b"/", CHUNKED, CHUNKED) + b"0\r\n\r\n", id="chunked twice"),
        pytest.param(get(b"/", CHUNKED) + b"zz\r\n", id="bad chunk size"),
        pytest.param(get(b"/", CHUNKED) + b"1\r\na\r\n0\r\nX-Trailer: x\r\n\r\n", id="trailer"),
        pytest.param(b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n", id="chunked in 1.0"),
        pytest.param(post(b"abc", b"Content-Length: 3"), id="two lengths"),
        pytest.param(get(b"/", b"Content-Length: +3") + b"abc", id="signed length"),
        pytest.param(get(b"/", b"Content-Length: 9" + b"9" * 30) + b"abc", id="length overflow"),
        pytest.param(b"GET /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", id="HTTP/2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
        pytest.param(b"GET / HTTP/1.7\r\nHost: a\r\n\r\n", id="HTTP/1.7"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", id="CONNECT"),
        pytest.param(get(b"/", b"Connection: upgrade", b"Upgrade: websocket"), id="websocket"),
        pytest.param(get(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"), id="h2c"),
        pytest.param(post(b"", target=b"http://localhost/"), id="absolute-form"),
        pytest.param(get(b"*", method=b"OPTIONS"), id="asterisk-form"),
        pytest.param(get(b"/a#b"), id="fragment"),
        pytest.param(post(b"", target=b"/\xff"), id="target not ASCII"),
        pytest.param(post(b"", b"Expect: tea"), id="other expectation"),
        pytest.param(post(b"", b"Expect: 100-continue", b"Expect: 100-continue"), id="two expectations"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS to a plain port"),
        pytest.param(b"nonsense\r\n\r\n", id="nonsense"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(shared: Running, data: bytes) -> None:
    wire = shared.connect()
    answer = wire.exchange(data)
    assert answer.fault == MALFORMED
    assert answer.headers["x-amzn-requestid"] == "id-refused"
    assert answer.closes
    wire.send(post(b"smuggled"))
    assert wire.ended()
    assert not any(b"smuggled" in record for record in shared.core.records)


def test_what_came_before_a_malformed_request_is_answered_first(shared: Running) -> None:
    wire = shared.connect()
    wire.send(post(b"sleep 0.1") + b"nonsense\r\n\r\n" + post(b"after"))
    assert wire.response().json["body"] == "sleep 0.1"
    assert wire.response().fault == MALFORMED
    assert wire.ended()


def test_a_host_is_optional_in_http_1_0_only(shared: Running) -> None:
    wire = shared.connect()
    answer = wire.exchange(b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
    assert answer.json["body"] == "hi"
    assert answer.closes
    assert wire.ended()


def test_a_bug_in_a_parser_callback_is_answered_and_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(KMSProtocol):
        def on_body(self, body: bytes) -> None:
            raise LookupError("a bug")

    wire = serve(protocol=Buggy).connect()
    assert wire.exchange(post(b"x")).fault == (500, "KMSInternalException")
    assert wire.ended()
    assert "LookupError" in caplog.text


@pytest.mark.slow
class TestSizes:
    """Within the limit passes, beyond it does not, in one piece or in many."""

    @pytest.mark.parametrize("piece", [10_000, 64])
    def test_the_head(self, serve: Serve, piece: int) -> None:
        server = serve(header_bytes=1024)
        for size, status in ((1024, 200), (1025, 413)):
            data = post(b"", b"X: ")
            data = data.replace(b"X: ", b"X: " + b"x" * (size - len(data)))
            wire = server.connect()
            for start in range(0, len(data), piece):
                wire.send(data[start : start + piece])
            assert wire.response().status == status

    def test_a_head_that_never_ends(self, serve: Serve) -> None:
        server = serve(header_bytes=1024)
        for endless in (b"x" * 100, b"x:y\r\n" * 20, b"x" * 100_000):
            wire = server.connect()
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\n")
            for _ in range(50):
                wire.send(endless)
            # What is sent on is thrown away for a while rather than reset, so that the answer arrives.
            assert wire.response().fault == TOO_LARGE

    def test_a_target_that_is_too_long(self, shared: Running) -> None:
        assert shared.ask(post(b"", target=b"/" + b"a" * 20_000)).fault == TOO_LARGE

    def test_the_number_of_headers(self, serve: Serve) -> None:
        server = serve(header_count=5)
        assert server.ask(post(b"", *[b"X: y"] * 3)).status == 200
        assert server.ask(post(b"", *[b"X: y"] * 4)).fault == TOO_LARGE

    def test_a_body_of_the_largest_size(self, serve: Serve) -> None:
        server = serve(body_bytes=100_000)
        assert len(server.ask(post(b"x" * 100_000)).json["body"]) == 100_000

    def test_a_body_that_says_it_is_too_large_is_not_read(self, serve: Serve) -> None:
        server = serve(body_bytes=100_000)
        assert server.ask(get(b"/", b"Content-Length: 100001")).fault == TOO_LARGE

    def test_a_refusal_is_in_the_protocol_of_the_request(self, serve: Serve) -> None:
        """As far as that is known: what its headers say, if they have come, and nothing that an earlier one's said."""
        server = serve(body_bytes=100, header_count=5)
        form = b"Content-Type: application/x-www-form-urlencoded"
        assert server.ask(post(b"x" * 101, form)).json["for"] == "application/x-www-form-urlencoded"
        assert server.ask(post(b"x" * 101)).json["for"] == ""
        assert server.ask(post(b"", form, *[b"X: y"] * 5)).json["for"] == "application/x-www-form-urlencoded"
        wire = server.connect()
        assert wire.exchange(post(b"x", form)).status == 200
        assert wire.exchange(post(b"x" * 101)).json["for"] == ""

    def test_a_chunked_body_that_grows_too_large(self, serve: Serve) -> None:
        wire = serve(body_bytes=100_000).connect()
        wire.send(get(b"/", CHUNKED, method=b"POST"))
        for _ in range(11):
            wire.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        assert wire.response().fault == TOO_LARGE

    def test_a_trailer_that_never_ends(self, serve: Serve) -> None:
        wire = serve(header_bytes=1024).connect()
        wire.send(get(b"/", CHUNKED, method=b"POST") + b"1\r\nx\r\n0\r\nX-Trailer: ")
        for _ in range(4):
            wire.send(b"x" * 500)
        assert wire.response().status in (400, 413)

    def test_a_large_body_to_the_app_is_refused_as_well(self, serve: Serve) -> None:
        server = serve(body_bytes=1000)
        assert server.ask(post(b"x" * 1001, target=b"/other")).fault == TOO_LARGE


class TestContinue:
    HEAD = b"POST %b HTTP/1.%d\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n"

    @pytest.mark.parametrize("target", [b"/", b"/other"])
    def test_it_is_sent_before_the_body_is_read(self, shared: Running, target: bytes) -> None:
        wire = shared.connect()
        for _ in range(2):
            assert wire.exchange(self.HEAD % (target, 1)).status == 100
            assert wire.exchange(b"hi").json["body"] == "hi"

    def test_it_is_not_sent_when_the_body_is_there(self, shared: Running) -> None:
        assert shared.ask(self.HEAD % (b"/", 1) + b"hi").json["body"] == "hi"

    def test_it_is_not_sent_to_http_1_0(self, shared: Running) -> None:
        wire = shared.connect()
        wire.send(self.HEAD % (b"/", 0))
        assert wire.exchange(b"hi").json["body"] == "hi"

    def test_it_is_not_sent_for_a_body_that_is_refused(self, serve: Serve) -> None:
        assert serve(body_bytes=1).ask(self.HEAD % (b"/", 1)).fault == TOO_LARGE

    def test_it_waits_for_the_answers_before_it(self, shared: Running) -> None:
        wire = shared.connect()
        wire.send(post(b"sleep 0.1") + self.HEAD % (b"/", 1))
        assert wire.response().json["body"] == "sleep 0.1"
        assert wire.response().status == 100
        assert wire.exchange(b"hi").json["body"] == "hi"
