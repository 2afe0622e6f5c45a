# SPDX-License-Identifier: Apache-2.0
"""``make bench``: signed requests against keyquorum, a constant ASGI app and moto, and how soon keyquorum answers.

Servers run on one core and the load on another. Contestants take turns within a round, and figures are medians over
rounds, so that a machine that slows down slows all. All requests of a measurement are made and signed just before it.
Every status must be 200, and of the answers a sample is decrypted and compared: anything wrong is exit code 1.
Needs Linux, for /proc and CPU affinity.
"""

import argparse
import base64
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import authorization
import contestants
import load
import signing
from contestants import Contestant

OPERATIONS = ("Encrypt", "Decrypt", "GenerateDataKey")
KEYS = 1000
MOTO_KEYS = 100  # it takes 40 ms to make one
PLAINTEXT_BYTES = 32
_EACH = 50  # one answer of so many is checked
_SATURATED = 0.85
_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")


class Failed(Exception):
    """The measurement is void; the text says why."""


class Sample(NamedTuple):
    """One operation in one round. Times in seconds."""

    rate: float
    p50: float
    p99: float
    cpu: float


class Exchange(NamedTuple):
    """Request bodies and, where the answer can be told beforehand, what must come of them."""

    bodies: list[bytes]
    key_ids: list[str]
    plaintexts: list[bytes]


class Bench:
    """The samples of all contestants. ``busy``: the largest share of its core that the load generator took."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, str], list[Sample]] = {}
        self.busy = 0.0
        self.sent = 0

    def round(self, name: str, server: Contestant, count: int, keys: list[str]) -> None:
        """Encrypt, decrypt what came of it, generate data keys. ``keys``: what a server without keys is asked for."""
        asked, data_keys = encrypts(keys, count), _data_keys(keys, count)
        answers = self._measure(name, server, "Encrypt", asked.bodies)
        if server.keys:
            ciphertexts = [str(json.loads(answer)["CiphertextBlob"]) for answer in answers]
            check(server, asked, answers)
        else:
            ciphertexts = [base64.b64encode(os.urandom(140)).decode() for _ in answers]
        decrypts = [signing.decrypt_body(ciphertext, number) for number, ciphertext in enumerate(ciphertexts)]
        answers = self._measure(name, server, "Decrypt", decrypts)
        if server.keys:
            check_decrypts(asked, answers)
        answers = self._measure(name, server, "GenerateDataKey", data_keys.bodies)
        if server.keys:
            check(server, data_keys, answers)

    def _measure(self, name: str, server: Contestant, operation: str, bodies: list[bytes]) -> list[bytes]:
        requests = server.sign(operation, bodies)
        before = server.cpu_seconds()
        outcome = load.run(server.address, requests)
        cpu = server.cpu_seconds() - before
        if outcome.failures:
            raise Failed(f"{name}, {operation}: {len(outcome.failures)} of {len(requests)}: {outcome.failures[0]}")
        latencies = sorted(outcome.latencies)
        count = len(latencies)
        self.samples.setdefault((name, operation), []).append(
            Sample(count / outcome.elapsed, latencies[count // 2], latencies[count * 99 // 100], cpu / count)
        )
        self.busy = max(self.busy, outcome.busy)
        self.sent += count
        return outcome.answers

    def median(self, name: str, operation: str) -> Sample:
        return Sample(*map(statistics.median, zip(*self.samples[name, operation], strict=True)))

    def saturation(self) -> float:
        """How much of its core keyquorum had, in the median: clearly less than all of it, and others were at work."""
        samples = [sample for operation in OPERATIONS for sample in self.samples["keyquorum", operation]]
        return statistics.median(sample.cpu * sample.rate for sample in samples)


def encrypts(keys: list[str], count: int) -> Exchange:
    used = [keys[number % len(keys)] for number in range(count)]
    plaintexts = [os.urandom(PLAINTEXT_BYTES) for _ in range(count)]
    bodies = [signing.encrypt_body(used[number], plaintexts[number], number) for number in range(count)]
    return Exchange(bodies, used, plaintexts)


def _data_keys(keys: list[str], count: int) -> Exchange:
    """A key is asked for another length each time, so that no two bodies are the same."""
    used = [keys[number % len(keys)] for number in range(count)]
    bodies = [signing.data_key_body(used[number], 16 + number // len(keys) % 32, number) for number in range(count)]
    return Exchange(bodies, used, [])


def check(server: Contestant, exchange: Exchange, answers: list[bytes]) -> None:
    """That a sample of ciphertexts decrypts to what was encrypted, or answered as the data key."""
    numbers = range(0, len(answers), _EACH)
    given: list[dict[str, Any]] = [json.loads(answers[number]) for number in numbers]
    bodies = [signing.decrypt_body(a["CiphertextBlob"], n) for n, a in zip(numbers, given, strict=True)]
    opened = load.run(server.address, server.sign("Decrypt", bodies))
    if opened.failures:
        raise Failed(f"what was encrypted cannot be decrypted: {opened.failures[0]}")
    for number, answer, raw in zip(numbers, given, opened.answers, strict=True):
        plain = exchange.plaintexts[number] if exchange.plaintexts else base64.b64decode(answer["Plaintext"])
        expect(answer, exchange.key_ids[number])
        expect(json.loads(raw), exchange.key_ids[number], plain)


def check_decrypts(exchange: Exchange, answers: list[bytes]) -> None:
    for number in range(0, len(answers), _EACH):
        expect(json.loads(answers[number]), exchange.key_ids[number], exchange.plaintexts[number])


def expect(answer: dict[str, Any], key_id: str, plaintext: bytes | None = None) -> None:
    if not answer["KeyId"].endswith(f"key/{key_id}"):
        raise Failed(f"the answer to a request about {key_id} is about {answer['KeyId']}")
    if plaintext is not None and base64.b64decode(answer["Plaintext"]) != plaintext:
        raise Failed(f"an answer about {key_id} holds another plaintext than it should")


# -- cold starts


def cold_start(data: Path, key_id: str, *, seeded: Path | None = None) -> float:
    """Seconds from starting the process to the first answered Encrypt."""
    begun = time.perf_counter()
    server = contestants.keyquorum(data, seeded=seeded)
    try:
        outcome = load.run(server.address, server.sign("Encrypt", [signing.encrypt_body(key_id, b"first", 0)]))
        elapsed = time.perf_counter() - begun
    finally:
        server.stop()
    if outcome.failures:
        raise Failed(f"the first request after a start: {outcome.failures[0]}")
    return elapsed


def cold_starts(work: Path, data: Path, key_id: str, times: int) -> tuple[float, float]:
    """Medians: on a data directory that is there, and on none (with a seed of one user and one key)."""
    seed = work / "one.toml"
    contestants.seed(seed, [key_id])
    there = [cold_start(data, key_id) for _ in range(times)]
    empty = [cold_start(work / f"empty-{number}", key_id, seeded=seed) for number in range(times)]
    return statistics.median(there), statistics.median(empty)


# -- where, and on what


@contextmanager
def work_directory() -> Iterator[tuple[Path, str]]:
    """A temporary directory on a disk, and the type of its file system."""
    for place in (Path(__file__).parent.parent / "build", Path("/var/tmp")):
        place.mkdir(exist_ok=True)
        kind = filesystem(place)
        if kind not in _IN_MEMORY:
            work = Path(tempfile.mkdtemp(prefix="bench-", dir=place))
            try:
                yield work, kind
            finally:
                shutil.rmtree(work)
            return
    raise Failed("neither build/ nor /var/tmp is on a disk")


def filesystem(path: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((mount for mount in mounts if path.is_relative_to(mount[0])), key=lambda mount: len(mount[0]))[1]


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(models, platform.machine())
    servers, mine = contestants.SERVER_CORE, contestants.LOAD_CORE
    placed = f"server on core {servers}, load on core {mine}"
    if servers == mine:
        placed = "server and load SHARE ONE CORE, so that the figures say little"
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}; {placed}"


def audited(data: Path) -> int:
    """How many audit records there are."""
    return sum(path.read_bytes().count(b"\n") for path in (data / "audit").glob("[0-9]*.jsonl"))


# -- the whole


def profile(work: Path, count: int) -> authorization.Cost:
    """What authorization and audit cost, measured in this process and on the server's core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {contestants.SERVER_CORE})
    try:
        return authorization.measure(work, count)
    finally:
        os.sched_setaffinity(0, cores)


def measure(work: Path, options: argparse.Namespace) -> tuple[Bench, tuple[float, float]]:
    bench, data, seed = Bench(), work / "data", work / "keys.toml"
    keys = contestants.new_key_ids(KEYS)
    contestants.seed(seed, keys)
    running = [server := contestants.keyquorum(data, seeded=seed)]
    try:
        server.keys = keys
        warm = Bench()
        warm.round("keyquorum", server, 2 * KEYS, keys)
        size = len(load.run(server.address, server.sign("Encrypt", encrypts(keys, 1).bodies)).answers[0])
        running.append(yardstick := contestants.constant(size, work / "constant.log"))
        Bench().round("constant", yardstick, 2 * KEYS, keys)
        for number in range(options.rounds):
            progress(f"round {number + 1} of {options.rounds}")
            bench.round("keyquorum", server, options.requests, keys)
            bench.round("constant", yardstick, options.requests, keys)
        if audited(data) < warm.sent + options.rounds * len(OPERATIONS) * options.requests:
            raise Failed("there are fewer audit records than answers")
        if not options.skip_moto:
            progress("moto_server")
            running.append(moto := contestants.moto(MOTO_KEYS, work / "moto.log"))
            bench.round("moto_server", moto, options.moto_requests, moto.keys)
    finally:
        for started in running:
            started.stop()
    progress("cold starts")
    return bench, cold_starts(work, data, keys[0], options.starts)


def table(bench: Bench, starts: tuple[float, float]) -> str:
    rivals = {
        "constant": "constant ASGI app, same uvicorn",
        "moto_server": "moto_server",
    }
    present = {name: words for name, words in rivals.items() if (name, OPERATIONS[0]) in bench.samples}
    lines = [
        "| | requests/s | p50 | p99 | server CPU per request | keyquorum is |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for operation in OPERATIONS:
        own = bench.median("keyquorum", operation)
        lines.append(f"| **keyquorum, {operation}** {_cells(own)} | |")
        for name, words in present.items():
            sample = bench.median(name, operation)
            lines.append(f"| {words} {_cells(sample)} | {own.rate / sample.rate:.2f} times as fast |")
    there, empty = starts
    lines += [
        "",
        f"From starting `keyquorum serve` to the first answered Encrypt: {there:.2f} s on a data directory with "
        f"{KEYS:,} keys, {empty:.2f} s on none.",
    ]
    return "\n".join(lines)


def _cells(sample: Sample) -> str:
    return (
        f"| {sample.rate:,.0f} | {sample.p50 * 1e3:,.2f} ms | {sample.p99 * 1e3:,.2f} ms | {sample.cpu * 1e6:,.0f} µs"
    )


def notes(options: argparse.Namespace, bench: Bench, kind: str) -> str:
    return (
        f"{machine()}. Medians of {options.rounds} rounds of {options.requests:,} requests over {load.CONNECTIONS} "
        f"connections (moto_server: one of {options.moto_requests:,}); {KEYS:,} keys (moto_server: {MOTO_KEYS}); no "
        "two requests alike, each signed, three pairs of encryption context in a third of them; database and audit "
        f"log on {kind}. keyquorum had {bench.saturation():.0%} of its core, the load generator took at most "
        f"{bench.busy:.0%} of its own."
    )


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure keyquorum against a constant ASGI app and moto_server.")
    parser.add_argument("--requests", type=int, default=20_000, help="per operation, contestant and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--moto-requests", type=int, default=1_000, help="per operation, in its one round")
    parser.add_argument("--starts", type=int, default=5, help="cold starts of either kind")
    parser.add_argument("--skip-moto", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="print the table of the README and nothing else")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs: the figures mean nothing")
    options = parser.parse_args()
    if options.quick:
        options.requests, options.rounds, options.moto_requests, options.starts = 1_000, 1, 100, 1
    return options


T = TypeVar("T")


def done(measuring: Callable[[Path], T]) -> tuple[T, str]:
    """What ``measuring`` found in a directory to work in, and its file system. The program ends, and says why, if
    nothing can be measured."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("bench: needs Linux, for /proc and CPU affinity")
    try:
        with work_directory() as (work, kind):
            return measuring(work), kind
    except (Failed, OSError, RuntimeError) as error:
        sys.exit(f"bench: {error}")


def main() -> None:
    options = arguments()

    def measured(work: Path) -> tuple[Bench, tuple[float, float], authorization.Cost]:
        bench, starts = measure(work, options)
        progress("profile of the request path")
        return bench, starts, profile(work, options.requests)

    (bench, starts, cost), kind = done(measured)
    if bench.saturation() < _SATURATED:
        progress("bench: something else was using the server's core, so only its CPU per request means anything")
    print(f"{table(bench, starts)}\n\n{notes(options, bench, kind)}\n\n{authorization.table(cost)}")


if __name__ == "__main__":
    main()
