# SPDX-License-Identifier: Apache-2.0
"""Traces, as a collector gets them: OTLP over HTTP, decoded from its protobuf."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from console_client import signed_in
from servers import Production, signed_request

collector_pb2 = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
Start = Callable[..., Production]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """A collector on loopback: ``spans`` are (resource attributes, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[dict[str, str], Any]] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.bodies.append(body)
        sent = collector_pb2.ExportTraceServiceRequest.FromString(body)
        for resource in sent.resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(named, span) for span in scope.spans]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


def _attributes(span: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@pytest.mark.slow
def test_requests_and_their_waits_are_spans(start: Start, collector: Collector) -> None:
    server = start("--otlp-endpoint", collector.url)
    kms = server.client()
    made = kms.create_key(Description="MARKED")
    key_id = made["KeyMetadata"]["KeyId"]
    extra = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    body = json.dumps({"KeyId": key_id, "Plaintext": "TUFSS0VE"}).encode()
    answer = server.raw(signed_request(server.url, server.root, "Encrypt", body, extra=extra))
    assert answer.status == 200
    again = server.raw(signed_request(server.url, server.root, "Encrypt", body, extra=extra))
    absent = server.signed("DescribeKey", {"KeyId": "alias/absent"})
    server.stop()  # what is left is sent

    spans = {_attributes(span).get("aws.request_id"): span for _, span in collector.spans}
    created = spans[made["ResponseMetadata"]["RequestId"]]
    encrypted = spans[answer.headers["x-amzn-requestid"]]
    cached = spans[again.headers["x-amzn-requestid"]]
    refused = spans[absent.headers["x-amzn-requestid"]]
    assert created.name == "kms CreateKey"
    assert created.end_time_unix_nano > created.start_time_unix_nano
    assert abs(created.start_time_unix_nano / 1e9 - time.time()) < 60
    # The client's trace goes on.
    assert encrypted.trace_id.hex() == cached.trace_id.hex() == TRACE
    assert encrypted.parent_span_id.hex() == "00f067aa0ba902b7"
    assert _attributes(encrypted)["keyquorum.outcome"] == "Success"
    assert _attributes(refused)["keyquorum.outcome"] == "NotFoundException"

    def waits(parent: Any) -> list[str]:
        return [span.name for _, span in collector.spans if span.parent_span_id == parent.span_id]

    assert "database write" in waits(created)
    assert "database read" in waits(encrypted)
    assert waits(cached) == []  # answered from memory
    assert {named["service.name"] for named, _ in collector.spans} == {"keyquorum"}
    # What the server does by itself makes no traces, and nothing of a request's content is told.
    assert {span.name.partition(" ")[0] for _, span in collector.spans} == {"kms", "database"}
    told = b"".join(collector.bodies)
    for secret in (b"MARKED", b"TUFSS0VE", key_id.encode(), server.root.key_id.encode(), server.root.secret.encode()):
        assert secret not in told


@pytest.mark.slow
def test_what_a_page_of_the_console_asks_for_is_traced_as_well(start: Start, collector: Collector) -> None:
    server = start("--otlp-endpoint", collector.url)
    page = signed_in(server, server.root).get("/console/keys/00000000-0000-4000-8000-000000000000")
    assert page.status == 400
    request_id = page.text.partition("Request ID <code>")[2].partition("<")[0]
    server.stop()
    spans = {_attributes(span).get("aws.request_id"): span for _, span in collector.spans}
    assert spans[request_id].name == "kms DescribeKey"
    assert _attributes(spans[request_id])["keyquorum.outcome"] == "NotFoundException"
    assert "database read" in {s.name for _, s in collector.spans if s.parent_span_id == spans[request_id].span_id}


@pytest.mark.slow
@pytest.mark.parametrize(
    "header", ["nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-" + "g" * 55, "x" * 4000]
)
def test_a_traceparent_that_is_none_begins_a_trace(start: Start, collector: Collector, header: str) -> None:
    server = start("--otlp-endpoint", collector.url)
    answer = server.raw(signed_request(server.url, server.root, "ListKeys", b"{}", extra={"traceparent": header}))
    assert answer.status == 200
    server.stop()
    (span,) = [
        s for _, s in collector.spans if _attributes(s).get("aws.request_id") == answer.headers["x-amzn-requestid"]
    ]
    assert span.parent_span_id == b""
    assert any(span.trace_id)


@pytest.mark.slow
def test_a_collector_that_is_gone_harms_nobody(start: Start) -> None:
    server = start("--otlp-endpoint", "http://127.0.0.1:9")
    for _ in range(20):
        server.client().list_keys()
    server.stop()


def test_without_an_endpoint_nothing_is_imported(start: Start) -> None:
    server = start()
    server.client().list_keys()
    maps = Path(f"/proc/{server._process.pid}/maps").read_text()
    assert "google/_upb" not in maps  # the extension of protobuf, which the exporter brings
