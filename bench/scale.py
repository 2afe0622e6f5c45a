# SPDX-License-Identifier: Apache-2.0
"""What should change nothing, or little: several workers, several nodes, a keyring key that is being replaced, keys
that are being deleted, very many keys. Each is measured in turn with the quiet case, in one run.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import authorization
import contestants
import load
import many_keys
import workload
from contestants import Contestant
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.quotas import Quotas
from run import Failed
from workload import SYMMETRIC, THREE, Keys, Workload

USERS: Final = [authorization.access_of(number) for number in range(authorization.USERS)]
UNLIMITED: Final = ("--request-quota", "all=1000000/s")  # counted, and never refused
_MANY_QUOTA: Final = ("--quota", "keys_per_region=2000000")
_DUE: Final = 100


class Beside(NamedTuple):
    """``p99``: seconds, by what went on at the same time. ``empty``, ``resident``: bytes, before the first request and
    with so many keys ``cached``. ``rotation``: how many seconds the keyring key took to be replaced."""

    p99: dict[str, float]
    empty: int
    resident: int
    cached: int
    rotation: float


def keyquorum(data: Path, seed: Path | None = None, options: Sequence[str] = ()) -> Contestant:
    return contestants.keyquorum(data, seeded=seed, options=(*UNLIMITED, *options))


# -- workers and nodes


def cpu(work: Path, postgresql: str | None, count: int, rounds: int) -> dict[str, float]:
    """Seconds of CPU a request, in the median over rounds and the three operations. All servers are on one core; the
    database is not, and what it uses is not counted."""
    keys, seed = Keys.new(200), work / "scale.toml"
    workload.seed(seed, keys)
    with ExitStack() as stack:

        def started(name: str, *options: str, seed: Path | None = seed) -> Contestant:
            server = keyquorum(work / name, seed, options)
            stack.callback(server.stop)
            return server

        groups = {"one worker": [started("single")], "two workers": [started("pair", "--workers", "2")]}
        if postgresql is not None:
            one = started("node-one", "--database", postgresql)
            (work / "node-two").mkdir(mode=0o700)
            shutil.copy(work / "node-one" / "seal.key", work / "node-two")
            two = started("node-two", "--database", postgresql, seed=None)
            groups["one node on PostgreSQL"] = [one]
            groups["two nodes on PostgreSQL"] = [one, two]
        works = {name: Workload(servers[0], keys, USERS, THREE, silent=False) for name, servers in groups.items()}
        found: dict[str, list[float]] = {name: [] for name in groups}
        for number in range(rounds + 1):  # the first fills caches
            for name, servers in groups.items():
                for measure in THREE:
                    taken = _cpu(servers, works[name], measure, count)
                    if number:
                        found[name].append(taken)
    return {name: statistics.median(taken) for name, taken in found.items()}


def _cpu(servers: list[Contestant], asking: Workload, measure: str, count: int) -> float:
    requests = asking.prepare(measure, count)
    before = sum(server.cpu_seconds() for server in servers)
    outcome = load.run(servers[0].address, requests, load.CONNECTIONS, *(server.address for server in servers[1:]))
    taken = sum(server.cpu_seconds() for server in servers) - before
    if outcome.failures:
        raise Failed(f"{measure}: {outcome.failures[0]}")
    asking.note(measure, outcome.answers)
    return taken / count


# -- beside other work


def _filled(data: Path, count: int) -> list[str]:
    """IDs of keys in a new data directory."""
    service = Service(Settings(data=data, quotas=Quotas(keys_per_region=2 * count + 1000)))
    try:
        return many_keys.fill(service, count)
    finally:
        service.close()


def _due(path: Path, times: Sequence[datetime]) -> None:
    """A seed of keys of which ``_DUE`` are to be deleted at each time, and of the users."""
    workload.seed(path, Keys({}))
    lines = [
        f'[[key]]\nid = "{key}"\nstate = "PendingDeletion"\ndeletion_date = {when.isoformat()}'
        for when in times
        for key in contestants.new_key_ids(_DUE)
    ]
    path.write_text("\n".join([path.read_text(), *lines]))


def beside(work: Path, count: int, rounds: int, cached: int, million: int, ahead: float) -> Beside:
    """p99 of Encrypt, in the median over rounds. ``million``: so many keys are stored for one more case; 0: none.
    ``ahead``: how many seconds are enough for one measurement, so that keys come due within the next."""
    data, seed = work / "many", work / "due.toml"
    ids = _filled(data, cached)
    workload.seed(seed, Keys({}))
    server = keyquorum(data, seed, _MANY_QUOTA)
    try:
        asking = Workload(server, Keys({SYMMETRIC: ids}), USERS, THREE, silent=False)
        empty = server.memory("VmRSS")
        _p99(asking, cached)
        _p99(asking, cached)
        resident = server.memory("VmRSS")
    finally:
        server.stop()
    found: dict[str, list[float]] = {}
    # Whatever goes on, it is on the core of the load: what is measured is what it does to the server.
    step = timedelta(seconds=2 * ahead)
    first = datetime.now(UTC).replace(microsecond=0) + step
    _due(seed, [first + step * number for number in range(rounds)])
    server = keyquorum(data, seed, _MANY_QUOTA)
    rotated = []
    try:
        asking = Workload(server, Keys({SYMMETRIC: ids}), USERS, THREE, silent=False)
        _p99(asking, cached)
        for number in range(rounds):
            found.setdefault("nothing else", []).append(_p99(asking, count))
            requests = asking.prepare(THREE[0], count)
            time.sleep(max(0.0, (first + step * number - datetime.now(UTC)).total_seconds() - 0.1))
            found.setdefault(f"{_DUE} keys being deleted", []).append(_sent(asking, requests))
        for _ in range(rounds):
            found["nothing else"].append(_p99(asking, count))
            requests = asking.prepare(THREE[0], count)
            with _rotation(data) as seconds:
                found.setdefault("the keyring key being replaced", []).append(_sent(asking, requests))
            rotated.append(seconds())
        _expect_deletions(data, _DUE * rounds)
        if million:
            found |= _million(work, asking, million, count, rounds)
    finally:
        server.stop()
    p99 = {name: statistics.median(taken) for name, taken in found.items()}
    return Beside(p99, empty, resident, cached, statistics.median(rotated))


def _expect_deletions(data: Path, count: int) -> None:
    """That as many keys were deleted. Raises Failed if they are not, in a while."""
    deadline = time.monotonic() + 60
    while sum(path.read_bytes().count(b'"eventName":"DeleteKey"') for path in data.glob("audit/[0-9]*.jsonl")) < count:
        if time.monotonic() > deadline:
            raise Failed("the keys that were due were not deleted")
        time.sleep(0.2)


def _million(work: Path, few: Workload, stored: int, count: int, rounds: int) -> dict[str, list[float]]:
    """A thousand keys in use, of few and of very many."""
    ids = _filled(work / "million", stored)
    seed = work / "users.toml"
    workload.seed(seed, Keys({}))
    server = keyquorum(work / "million", seed, _MANY_QUOTA)
    found: dict[str, list[float]] = {}
    try:
        cases = {
            "1,000 keys used": Workload(
                few.server, Keys({SYMMETRIC: few.keys.by_spec[SYMMETRIC][:1000]}), USERS, THREE, silent=False
            ),
            f"1,000 keys used of {stored:,}": Workload(
                server, Keys({SYMMETRIC: ids[:: max(1, stored // 1000)]}), USERS, THREE, silent=False
            ),
        }
        for number in range(rounds + 1):
            for name, asking in cases.items():
                taken = _p99(asking, count)
                if number:
                    found.setdefault(name, []).append(taken)
    finally:
        server.stop()
    return found


@contextmanager
def _rotation(data: Path) -> Iterator[Callable[[], float]]:
    """While the keyring key is replaced; what is yielded says how many seconds it took, once that is over."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "keyquorum", "keyring", "rotate", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ended: list[float] = []
    yield lambda: ended[0]
    output, _ = process.communicate(timeout=120)
    ended.append(time.perf_counter() - begun)
    if process.returncode:
        raise Failed(f"keyring rotate: {output}")


def _p99(asking: Workload, count: int) -> float:
    return _sent(asking, asking.prepare(THREE[0], count))


def _sent(asking: Workload, requests: list[bytes]) -> float:
    outcome = load.run(asking.server.address, requests)
    if outcome.failures:
        raise Failed(f"Encrypt: {outcome.failures[0]}")
    return sorted(outcome.latencies)[len(requests) * 99 // 100]


# -- the database


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of an empty database on a PostgreSQL of its own, durable; None where its programs are not there."""
    sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))
    import postgres

    if not list(Path("/usr/lib/postgresql").glob("*/bin")):
        yield None
        return
    os.sched_setaffinity(0, {contestants.LOAD_CORE})
    with postgres.own_server() as server:
        yield server.url(server.create())
