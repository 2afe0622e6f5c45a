# SPDX-License-Identifier: Apache-2.0
"""``make bench-http``: what HTTP costs, by server: the same signed requests, answered with a constant, and beside them
keyquorum's Encrypt. For docs/adr/0002-answer-inside-the-protocol.md."""

import argparse
import statistics
import sys
from pathlib import Path

import contestants
import load
import run
from contestants import HERE, Contestant

_NAMES = {
    "asgi": "uvicorn, an ASGI app that answers a constant",
    "protocol": "keyquorum's protocol in uvicorn, a core that answers a constant",
    "bare": "asyncio protocol over httptools, no limits or deadlines",
    "keyquorum": "keyquorum, Encrypt",
}


def measure(work: Path, rounds: int, count: int) -> dict[str, list[tuple[float, float]]]:
    """Requests a second and CPU a request, in seconds, of each server in each round."""
    keys = contestants.new_key_ids(run.KEYS)
    contestants.seed(work / "keys.toml", keys)
    servers: dict[str, Contestant] = {}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in _NAMES}
    try:
        servers["keyquorum"] = mine = contestants.keyquorum(work / "data", seeded=work / "keys.toml")
        one = load.run(mine.address, mine.sign("Encrypt", run.encrypts(keys, run.KEYS).bodies))
        size = len(one.answers[0])
        servers["asgi"] = contestants.constant(size, work / "asgi.log")
        for kind in ("protocol", "bare"):
            command = [sys.executable, str(HERE / "constant_http.py"), str(size), kind]
            servers[kind] = Contestant(command, work / f"{kind}.log")
        for _ in range(rounds):
            for name, server in servers.items():
                requests = server.sign("Encrypt", run.encrypts(keys, count).bodies)
                before = server.cpu_seconds()
                outcome = load.run(server.address, requests)
                if outcome.failures:
                    raise run.Failed(f"{name}: {outcome.failures[0]}")
                taken[name].append((count / outcome.elapsed, (server.cpu_seconds() - before) / count))
    finally:
        for server in servers.values():
            server.stop()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    taken, _ = run.done(lambda work: measure(work, options.rounds, options.requests))
    print("| | requests/s | CPU a request |\n| --- | ---: | ---: |")
    for name, samples in taken.items():
        rate, cpu = map(statistics.median, zip(*samples, strict=True))
        print(f"| {_NAMES[name]} | {rate:,.0f} | {cpu * 1e6:.1f} µs |")
    print(f"\n{run.machine()}. Medians of {options.rounds} rounds of {options.requests:,} requests.")


if __name__ == "__main__":
    main()
