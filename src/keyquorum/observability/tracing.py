# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry traces, when an endpoint for them is configured: a span for each request, and in it one for each wait
for the database. Otherwise nothing of this is imported, and nothing wraps the request path.

A span tells the operation, the outcome and the request ID: no key, no caller, no address, nothing of a body. A client's
``traceparent`` (W3C Trace Context) is honoured; whether a trace is kept is then its say, unless OTEL_TRACES_SAMPLER
says otherwise.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Any, Final

from keyquorum.config import ConfigError
from keyquorum.errors import KMSError
from keyquorum.model import Answer, HttpRequest
from keyquorum.server.front import Core
from keyquorum.store.engine import Database

_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PATH: Final = "v1/traces"


def is_configured(endpoint: str | None) -> bool:
    return endpoint is not None or any(os.environ.get(name) for name in _VARIABLES)


class Tracing:
    """``endpoint``: the base URL of an OTLP/HTTP collector; None for what OTEL_EXPORTER_OTLP_ENDPOINT says."""

    def __init__(self, endpoint: str | None) -> None:
        """Raises ConfigError if the extra is not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise ConfigError("--otlp-endpoint needs more: pip install keyquorum[otel]") from error
        url = None if endpoint is None else f"{endpoint.rstrip('/')}/{_PATH}"
        resource = Resource.create({"service.version": version("keyquorum"), **_named()})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self.tracer = self._provider.get_tracer("keyquorum", version("keyquorum"))

    def watch(self, database: Database) -> None:
        database.watch.span = self._wait

    def core(self, core: Core) -> Core:
        """``core``, with a span around each answer."""
        return _Traced(core, self.tracer)

    def stop(self) -> None:
        """Send what is left, for as long as OTEL_BSP_EXPORT_TIMEOUT says."""
        self._provider.shutdown()

    def _wait(self, kind: str) -> AbstractContextManager[Any]:
        return self._waiting(kind)

    @contextmanager
    def _waiting(self, kind: str) -> Iterator[None]:
        from opentelemetry import trace

        # What the server does by itself belongs to no request's trace.
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        with self.tracer.start_as_current_span(f"database {kind}", record_exception=False):
            yield


def _named() -> dict[str, str]:
    """Unless the environment names it, which the SDK reads itself."""
    told = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if told else {"service.name": "keyquorum"}


class _Traced:
    """A core whose answers are traced. What would block is not: its span is that of the second try, and begins when the
    request had come."""

    def __init__(self, core: Core, tracer: Any) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._core = core
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._error = Status(StatusCode.ERROR)
        self.write_records = core.write_records

    def refuse(self, error: KMSError, content_type: bytes = b"") -> Answer:
        return self._core.refuse(error, content_type)

    def answer(self, request: HttpRequest, *, may_block: bool) -> Answer:
        from opentelemetry import trace

        begun = time.time_ns() - int((time.perf_counter() - request.received) * 1e9)
        carrier = {
            name: request.by_name[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in request.by_name
        }
        span = self._tracer.start_span(
            "request", context=self._propagator.extract(carrier), kind=self._kind, start_time=begun
        )
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            answer = self._core.answer(request, may_block=may_block)
        counted = answer.counted
        if counted is not None and counted.operation:
            span.update_name(f"{counted.service} {counted.operation}")
            span.set_attribute("rpc.system", "aws-api")
            span.set_attribute("rpc.service", counted.service)
            span.set_attribute("rpc.method", counted.operation)
        if counted is not None:
            span.set_attribute("keyquorum.outcome", counted.outcome)
        span.set_attribute("aws.request_id", answer.request_id)
        span.set_attribute("http.response.status_code", answer.status)
        if answer.status >= 500:
            span.set_status(self._error)
        span.end()
        return answer
