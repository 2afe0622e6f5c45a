# SPDX-License-Identifier: Apache-2.0
"""``GET /metrics``, and the probes once more, on a port of their own. Any process of a server answers for all of them:
each tells the others once a second what it counts, and goes on with what its predecessor counted.

The port speaks plain HTTP and asks nobody who he is: it tells no secret, and is on loopback unless the operator says
otherwise. It takes few connections at once and none for long.
"""

import json
import logging
import operator
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any, Final, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.samples import Sample

from keyquorum.observability.readiness import State
from keyquorum.observability.sharing import Shared

_log = logging.getLogger(__name__)

_INTERVAL: Final = 1.0
#: Seconds after which a process that tells nothing is taken for dead: what it counted stays, what it measured does not.
_DEAD: Final = 5.0
_CONNECTIONS: Final = 16
_SECONDS: Final = 5.0
_TOTALS: Final = ("counter", "histogram")

#: How what several processes measure becomes one number; the sum, if it is not here.
_MERGED: Final[dict[str, Callable[[float, float], float]]] = {
    "keyquorum_sealed": max,
    "keyquorum_build_info": max,
    "keyquorum_lease_age_seconds": max,
    "keyquorum_audit_checkpoint_timestamp_seconds": max,
    "keyquorum_jobs_last_run_timestamp_seconds": max,
    "keyquorum_jobs_due": max,
    "keyquorum_jobs_leader": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
}


class Told(msgspec.Struct, array_like=True):
    """A metric family, as it is told between processes."""

    name: str
    text: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_decoder = msgspec.msgpack.Decoder(list[Told])


class Collects(Protocol):
    def collect(self) -> Iterable[Metric]: ...


class Everybody:
    """The metrics of all processes of the server. ``shared`` is None if there is but one."""

    def __init__(self, own: Collects, shared: Shared | None) -> None:
        self._own = own
        self._shared = shared
        self._before: list[Told] = []
        if shared is not None:
            left = shared.join()
            self._before = [told for told in _decoder.decode(left) if told.type in _TOTALS] if left else []

    def tell(self) -> None:
        """Tell the other processes."""
        if self._shared is not None:
            self._shared.write(msgspec.msgpack.encode(self._mine()))

    def collect(self) -> Iterator[Metric]:
        told = [self._mine()]
        for age, packed in () if self._shared is None else self._shared.others():
            families = _decoder.decode(packed)
            told.append([each for each in families if age < _DEAD or each.type in _TOTALS])
        for family in _merged(told):
            metric = Metric(family.name, family.text, family.type)
            metric.samples = [Sample(name, labels, value) for name, labels, value in family.samples]
            yield metric

    def _mine(self) -> list[Told]:
        families = [
            Told(m.name, m.documentation, m.type, [(s.name, s.labels, s.value) for s in m.samples])
            for m in self._own.collect()
        ]
        return _merged([families, self._before])


def _merged(told: list[list[Told]]) -> list[Told]:
    found: dict[str, Told] = {}
    values: dict[str, dict[tuple[Any, ...], float]] = {}
    for family in (each for families in told for each in families):
        found.setdefault(family.name, family)
        merge: Callable[[float, float], float] = _MERGED.get(family.name, operator.add)
        known = values.setdefault(family.name, {})
        for name, labels, value in family.samples:
            key = (name, *labels.items())
            known[key] = merge(known[key], value) if key in known else value
    return [
        Told(name, family.text, family.type, [(key[0], dict(key[1:]), value) for key, value in values[name].items()])
        for name, family in found.items()
    ]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self._room = threading.BoundedSemaphore(_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, _request: Any, client_address: Any) -> None:
        _log.info("a connection of %s to the metrics ended badly", client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        _log.debug(format, *args)


class Exposition:
    """Answers on ``listener``, which the processes of a server share, and tells what there is to tell, in a thread of
    its own. ``state``: whether this process is ready."""

    def __init__(self, listener: socket.socket, everybody: Everybody, state: Callable[[], State]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._everybody = everybody
        self._state = state
        registry = CollectorRegistry(auto_describe=False)
        registry.register(everybody)
        self._metrics = make_wsgi_app(registry)
        self._server = _Server(listener)
        self._server.set_app(self._answer)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keyquorum-metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The listener stays open: it is shared."""
        self._stopping.set()
        self._thread.join()
        self._everybody.tell()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._everybody.tell()
                if select.select([self._listener], [], [], _INTERVAL)[0]:
                    self._server.handle_request()
            except Exception:
                _log.exception("metrics could not be told")
                self._stopping.wait(_INTERVAL)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _plain(start_response, "405 Method Not Allowed", b"GET\n")
        if path == "/metrics":
            told: Iterable[bytes] = self._metrics(environ, start_response)
            return told
        if path == "/healthz":
            return _plain(start_response, "200 OK", b'{"status":"ok"}', "application/json")
        if path == "/readyz":
            state = self._state()
            status = "200 OK" if state.ready else "503 Service Unavailable"
            return _plain(start_response, status, json.dumps(state._asdict()).encode(), "application/json")
        return _plain(start_response, "404 Not Found", b"GET /metrics, /healthz or /readyz\n")


def _plain(start_response: Any, status: str, body: bytes, content_type: str = "text/plain") -> Iterable[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
