# SPDX-License-Identifier: Apache-2.0
"""The metrics of one process, as they are when they are asked for. docs/operate/monitoring.md says what each means.

Labels are names of operations, of our exceptions and of our own parts: how many series there can be does not depend on
what clients send, and none tells of a key, an account or a caller.
"""

import platform
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import Any, Final, Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector

from keyquorum.metering import RECORDS, SECONDS, Meter
from keyquorum.server.front import Front
from keyquorum.server.workers import Workers
from keyquorum.store.cache import Cache
from keyquorum.store.engine import Database

_BUILD: Final = {"version": version("keyquorum"), "python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}

Rows = Iterable[tuple[tuple[str, ...], float]]


class Sink(Protocol):
    name: str
    dropped: int

    def waiting(self) -> int: ...


class Source(Protocol):
    """What is asked of a running service. ``last_checkpoint`` and ``last_jobs`` are seconds since the epoch, 0 before
    the first. ``backlog``: what is due and not done, by job. ``refused_strangers``: requests of senders who were not
    known, by code; ``throttled``: those beyond a quota, by family."""

    @property
    def meter(self) -> Meter: ...
    @property
    def database(self) -> Database: ...
    @property
    def caches(self) -> Mapping[str, Cache[Any]]: ...
    @property
    def sinks(self) -> Iterable[Sink]: ...
    @property
    def last_checkpoint(self) -> float: ...
    @property
    def last_jobs(self) -> float: ...
    @property
    def failed_jobs(self) -> int: ...
    @property
    def leads(self) -> bool: ...
    @property
    def backlog(self) -> Mapping[str, int]: ...
    @property
    def unwritten(self) -> int: ...
    @property
    def refused_strangers(self) -> Mapping[str, int]: ...
    @property
    def throttled(self) -> Mapping[str, int]: ...


class Collector:
    """``fronts``: of the servers in this process; ``workers``: their threads."""

    def __init__(self, source: Source, fronts: Callable[[], Iterable[Front]], workers: Workers) -> None:
        self._source = source
        self._fronts = fronts
        self._workers = workers
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        yield sealed(is_sealed=False)
        yield _gauge("build_info", "Versions; always 1.", tuple(_BUILD), [(tuple(_BUILD.values()), 1)])
        yield from self._requests()
        yield from self._connections()
        yield from self._database()
        yield from self._audit()
        yield from self._jobs()
        yield from self._process.collect()

    def _requests(self) -> Iterator[Metric]:
        source = self._source
        labels = ("service", "operation", "outcome")
        told = [((r.service, r.operation, r.outcome), list(r.counts), r.total) for r in _settled(source.meter.requests)]
        yield _counter("requests", "Requests answered.", labels, [(names, sum(counts)) for names, counts, _ in told])
        counts: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * (len(SECONDS) + 1))
        totals: dict[tuple[str, ...], float] = defaultdict(float)
        for (service, operation, _), found, total in told:
            counts[service, operation] = [a + b for a, b in zip(counts[service, operation], found, strict=True)]
            totals[service, operation] += total
        yield _histogram(
            "request_seconds",
            "From a request's last byte to its answer.",
            labels[:2],
            SECONDS,
            [(names, counts[names], totals[names]) for names in counts],
        )
        refused = source.refused_strangers
        yield _counter(
            "authentication_failures", "Requests of senders who were not known.", ("code",), _by_name(refused)
        )
        yield _counter("throttled", "Requests beyond a request quota.", ("family",), _by_name(source.throttled))
        caches = source.caches
        yield _counter("cache_hits", "Found in memory.", ("cache",), [((n,), c.hits) for n, c in caches.items()])
        yield _counter("cache_misses", "Loaded.", ("cache",), [((n,), c.misses) for n, c in caches.items()])
        yield _gauge("cache_entries", "In memory.", ("cache",), [((n,), len(c)) for n, c in caches.items()])

    def _connections(self) -> Iterator[Metric]:
        fronts = list(self._fronts())
        open_now = [connection for front in fronts for connection in list(front.connections)]
        yield _gauge("connections", "Open.", (), [((), len(open_now))])
        yield _gauge("connections_limit", "That may be open.", (), [((), sum(f.limits.connections for f in fronts))])
        strangers = sum(len(front.strangers) for front in fronts)
        yield _gauge("connections_unknown", "Open, and nobody has proved who he is.", (), [((), strangers)])
        yield _gauge("requests_in_flight", "Being answered.", (), [((), sum(c.busy for c in open_now))])
        yield _gauge(
            "held_bytes", "Kept of requests that are not whole, or long.", (), [((), sum(f.held for f in fronts))]
        )
        reasons = ("unknown", "idle", "memory")
        evicted = [((why,), sum(front.evicted[why] for front in fronts)) for why in reasons]
        yield _counter("connections_evicted", "Given up to make room.", ("reason",), evicted)
        refused = sum(front.refused for front in fronts)
        yield _counter("connections_refused", "Turned away, all others being at work.", (), [((), refused)])
        pools = self._workers.pools
        taken = [((name,), pool.taken) for name, pool in pools.items()]
        yield _gauge("worker_requests", "In a thread or waiting for one.", ("pool",), taken)
        turned = [((name,), pool.refused) for name, pool in pools.items()]
        yield _counter("worker_refused", "Refused, too many waiting for a thread.", ("pool",), turned)

    def _database(self) -> Iterator[Metric]:
        database = self._source.database
        kinds = database.watch.kinds
        rows = [((kind,), list(t.waited.counts), t.waited.total) for kind, t in kinds.items()]
        yield _histogram("database_wait_seconds", "For connection and lock.", ("kind",), SECONDS, rows)
        opened = [((kind,), t.open) for kind, t in kinds.items()]
        yield _gauge("database_transactions", "Open, each with a connection.", ("kind",), opened)
        failed = [((kind,), t.failed) for kind, t in kinds.items()]
        yield _counter("database_failures", "Transactions for which the database was not to be had.", ("kind",), failed)
        lease = database.generations.lease
        age = 0.0 if lease is None else max(0.0, lease.now() - lease.until + lease.seconds)
        yield _gauge("lease_age_seconds", "Since the last good check of the database began.", (), [((), age)])

    def _audit(self) -> Iterator[Metric]:
        source = self._source
        batches = source.meter.batches
        rows = [((), list(batches.counts), batches.total)]
        yield _histogram("audit_batch_records", "Audit records in one write.", (), RECORDS, rows)
        yield _gauge("audit_outbox_waiting", "Committed and not yet in the audit file.", (), [((), source.unwritten)])
        made = source.last_checkpoint
        yield _gauge("audit_checkpoint_timestamp_seconds", "The last checkpoint.", (), [((), made)])
        sinks = list(source.sinks)
        dropped = [((sink.name,), sink.dropped) for sink in sinks]
        yield _counter("audit_sink_dropped", "Lines that a sink did not take.", ("sink",), dropped)
        waiting = [((sink.name,), sink.waiting()) for sink in sinks]
        yield _gauge("audit_sink_waiting", "Lines that wait for a sink.", ("sink",), waiting)

    def _jobs(self) -> Iterator[Metric]:
        source = self._source
        yield _gauge("jobs_last_run_timestamp_seconds", "When they last ran to the end.", (), [((), source.last_jobs)])
        yield _counter("jobs_failures", "Runs that did not come to their end.", (), [((), source.failed_jobs)])
        yield _gauge("jobs_leader", "Whether the jobs are run here.", (), [((), source.leads)])
        yield _gauge("jobs_due", "Due and not done, 1000 at most.", ("job",), _by_name(source.backlog))


def sealed(*, is_sealed: bool) -> Metric:
    return _gauge("sealed", "Whether the root key is still sealed.", (), [((), is_sealed)])


def _settled(requests: dict[Any, Any]) -> list[Any]:
    """The values, of a dict that another thread may be adding to: copying it is one operation."""
    return list(requests.copy().values())


def _by_name(numbers: Mapping[str, float]) -> Rows:
    return [((name,), number) for name, number in dict(numbers).items()]


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = GaugeMetricFamily(f"keyquorum_{name}", text, labels=labels)
    for names, value in rows:
        family.add_metric(names, float(value))
    return family


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = CounterMetricFamily(f"keyquorum_{name}", text, labels=labels)
    for names, value in rows:
        family.add_metric(names, float(value))
    return family


def _histogram(
    name: str,
    text: str,
    labels: tuple[str, ...],
    bounds: tuple[float, ...],
    rows: Iterable[tuple[tuple[str, ...], list[int], float]],
) -> Metric:
    family = HistogramMetricFamily(f"keyquorum_{name}", text, labels=labels)
    tops = [*map(str, bounds), "+Inf"]
    for names, counts, total in rows:
        buckets = list(zip(tops, map(float, accumulate(counts)), strict=True))
        family.add_metric(names, buckets, sum_value=total)
    return family
