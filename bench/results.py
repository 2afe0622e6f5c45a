# SPDX-License-Identifier: Apache-2.0
"""What a run of ``full`` finds, for those who report it and hold it against the targets."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import load
import scale
import wrk
from contestants import Contestant
from run import Failed


class Asking(Protocol):
    """What makes a contestant's requests, and looks at its answers."""

    server: Contestant

    @property
    def measures(self) -> Sequence[str]: ...
    def prepare(self, measure: str, count: int) -> list[bytes]: ...
    def note(self, measure: str, answers: list[bytes]) -> None: ...


class Sample(NamedTuple):
    """One measure in one round. Seconds. ``busy``: the share of its core that the load generator took."""

    rate: float
    p50: float
    p99: float
    p999: float
    cpu: float
    busy: float


class Table:
    """The samples of all contestants, by contestant, measure and connections. ``sent``: requests, by contestant."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._samples: dict[tuple[str, str, int], list[Sample]] = {}

    def take(self, name: str, asking: Asking, measure: str, connections: int, count: int) -> None:
        requests = asking.prepare(measure, count)
        before = asking.server.cpu_seconds()
        outcome = load.run(asking.server.address, requests, connections)
        cpu = (asking.server.cpu_seconds() - before) / count
        if outcome.failures:
            raise Failed(f"{name}, {measure}: {len(outcome.failures)} of {count}: {outcome.failures[0]}")
        self.sent[name] += count
        asking.note(measure, outcome.answers)
        taken = sorted(outcome.latencies)
        p50, p99, p999 = (taken[int(count * part)] for part in (0.5, 0.99, 0.999))
        sample = Sample(count / outcome.elapsed, p50, p99, p999, cpu, outcome.busy)
        self._samples.setdefault((name, measure, connections), []).append(sample)

    def get(self, name: str, measure: str, connections: int = load.CONNECTIONS) -> Sample | None:
        """The median over rounds; None for what was not measured."""
        found = self._samples.get((name, measure, connections))
        return None if found is None else Sample(*map(statistics.median, zip(*found, strict=True)))


class Results(NamedTuple):
    """What one run found. ``born``: seconds until a server took connections. ``peaks``: the most memory that it had.
    ``generators``: (ours, wrk) on Encrypt. ``starts``: seconds to the first answer, with keys and without.
    ``bare``: seconds of CPU that a signature takes in its library. ``absent``: peers that were left out."""

    table: Table
    names: list[str]
    versions: dict[str, str]
    born: dict[str, float]
    peaks: dict[str, int]
    generators: dict[str, tuple[Sample, wrk.Seen]]
    starts: tuple[float, float]
    bare: dict[str, float]
    cpu: dict[str, float]
    beside: scale.Beside
    tried: dict[str, dict[str, str]]
    absent: list[str]
