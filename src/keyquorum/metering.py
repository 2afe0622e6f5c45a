# SPDX-License-Identifier: Apache-2.0
"""What the request path counts: plain integers, for a collector to read. It knows no metrics format, takes no lock, and
keeps nothing that a client chose: labels are names of the registry's operations and of our own exceptions.

Each number is changed by one thread alone, that of the event loop, unless its docstring says otherwise; it may be read
by any.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, Self

from keyquorum.errors import DependencyTimeoutException

#: Upper bounds of the latency buckets, in seconds.
SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Upper bounds of the buckets for how many records one write took.
RECORDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
#: The outcome of a request that was answered and not refused.
SUCCESS: Final = "Success"


class Histogram:
    """How many values fell below each of ``bounds``, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Requests(Histogram):
    """Requests of one operation with one outcome, by latency in seconds."""

    __slots__ = ("operation", "outcome", "service")

    def __init__(self, service: str, operation: str, outcome: str) -> None:
        super().__init__(SECONDS)
        self.service = service
        self.operation = operation
        self.outcome = outcome


class Meter:
    """``requests``: (service, operation, outcome) -> what was answered so; service and operation are empty for what
    never was a request that the server knows. ``batches``: sizes of the writes of audit records."""

    def __init__(self) -> None:
        self.requests: dict[tuple[bytes, str, str], Requests] = {}
        self.batches = Histogram(RECORDS)

    def of(self, service: bytes, operation: str, outcome: str) -> Requests:
        """Where a request is to be counted once it is answered. Any thread may ask."""
        found = self.requests.get((service, operation, outcome))
        if found is None:
            made = Requests(service.decode(), operation, outcome)
            found = self.requests.setdefault((service, operation, outcome), made)
        return found


class Transactions:
    """Transactions of one kind, changed by any thread under a lock. ``waited``: seconds until each had its connection
    and its lock; ``failed``: those that were not had, or not committed, for want of the database."""

    def __init__(self) -> None:
        self.waited = Histogram(SECONDS)
        self.open = 0
        self.failed = 0
        self._lock = threading.Lock()

    def begun(self, seconds: float) -> None:
        with self._lock:
            self.waited.note(seconds)
            self.open += 1

    def ended(self, *, was_open: bool, failed: bool) -> None:
        with self._lock:
            self.open -= was_open
            self.failed += failed


Span = Callable[[str], AbstractContextManager[object]]


class Watched:
    """A transaction being watched; ``begun`` is to be called when it has what it waits for."""

    def __init__(self, figures: Transactions, span: AbstractContextManager[object]) -> None:
        self._figures = figures
        self._span = span
        self._started = 0.0
        self._open = False

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._span.__enter__()
        return self

    def begun(self) -> None:
        self._open = True
        self._figures.begun(time.perf_counter() - self._started)
        self._span.__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._figures.ended(was_open=self._open, failed=isinstance(error, DependencyTimeoutException))
        if not self._open:
            self._span.__exit__(kind, error, traceback)


class Watch:
    """What is known of a database's transactions, by kind. ``span``: makes a trace's span of a wait."""

    def __init__(self) -> None:
        self.kinds = {"read": Transactions(), "write": Transactions()}
        self.span: Span = _no_span

    def __call__(self, kind: str) -> Watched:
        return Watched(self.kinds[kind], self.span(kind))


def _no_span(_kind: str) -> AbstractContextManager[object]:
    return nullcontext()
