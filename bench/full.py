# SPDX-License-Identifier: Apache-2.0
"""``make bench-full``: keyquorum beside its peers and beside servers that answer a constant, in one run.

Servers run on one core and the load on another. Contestants take turns within a round, and figures are medians over
rounds. Requests are made and signed just before they are sent; every status must be 200, and a sample of the answers is
checked. A peer whose program is not there is left out, and the tables say so. Needs Linux, for /proc and CPU affinity.

keyquorum verifies, decides, records and stores; what each peer does of that is tried, and is a table too.
"""

import argparse
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Final

import contestants
import load
import peers
import report
import run
import scale
import targets
import transit
import trials
import workload
import wrk
from results import Asking, Results, Sample, Table
from run import Failed, progress
from workload import ENCRYPT, MEASURES, MIX, THREE, Keys, Workload

LEVELS: Final = (32, 1, 256)
_SLOWER: Final = {1: 0.25}  # one connection waits for each answer, and fewer requests tell as much


# -- contestants


def programs(options: argparse.Namespace) -> dict[str, Callable[[Path], Asking]]:
    """What starts each peer that is to be measured, in a directory of its own."""
    found: dict[str, Callable[[Path], Asking]] = {}
    if options.local_kms:
        found["local-kms"] = lambda work: peers.kms("local-kms", peers.local_kms(options.local_kms, work), options.keys)
    if options.openbao:
        found["OpenBao transit"] = lambda work: transit.Transit(transit.openbao(options.openbao, work), options.keys)
    if options.fakecloud:
        found["fakecloud"] = lambda work: peers.kms("fakecloud", peers.fakecloud(options.fakecloud, work), options.keys)
    if not options.skip_moto:
        found["moto_server"] = lambda work: peers.kms("moto_server", peers.moto(work), max(10, options.keys // 10))
    return found


def _round(table: Table, name: str, asking: Asking, options: argparse.Namespace, *, whole: bool) -> None:
    """``whole``: every measure with every number of connections; otherwise all at 32, and the rest for two of them."""
    for connections in options.levels:
        for measure in asking.measures:
            if whole or connections == load.CONNECTIONS or measure in (ENCRYPT, MIX):
                scaled = options.requests * workload.SHARE.get(measure, 1) * _SLOWER.get(connections, 1)
                table.take(name, asking, measure, connections, max(2 * connections, int(scaled)))


def _warm(name: str, asking: Asking, options: argparse.Namespace) -> None:
    """Each key is used once, so that what a server does at a first use is behind it."""
    for each in asking.measures:
        keys = options.keys // 50 if "Sign" in each or name == "moto_server" else options.keys
        Table().take(name, asking, each, load.CONNECTIONS, max(load.CONNECTIONS, keys))


class _Constant:
    """A server that answers a constant is asked for what decides ratios, and no more."""

    def __init__(self, asking: Workload) -> None:
        self.server = asking.server
        self.measures: Sequence[str] = THREE
        self.prepare, self.note = asking.prepare, asking.note


def measure(work: Path, options: argparse.Namespace) -> Results:
    table, keys, seed, data = Table(), Keys.new(options.keys), work / "keys.toml", work / "data"
    workload.seed(seed, keys)
    with ExitStack() as stack:
        askings: dict[str, Asking] = {}

        def enter(name: str, asking: Asking) -> None:
            stack.callback(asking.server.stop)
            askings[name] = asking

        progress("starting the servers")
        own = Workload(scale.keyquorum(data, seed), keys, scale.USERS, MEASURES, silent=False)
        enter("keyquorum", own)
        size = len(load.run(own.server.address, own.prepare(ENCRYPT, 1)).answers[0])
        constants = {"constant ASGI app": contestants.constant(size, work / "constant.log")}
        if options.nginx:
            constants["nginx"] = peers.nginx(options.nginx, size, work / "nginx")
        for name, server in constants.items():
            enter(name, _Constant(Workload(server, keys, scale.USERS, THREE, silent=True)))
        for name, start in programs(options).items():
            enter(name, start(work / name.partition(" ")[0]))
        for name, asking in askings.items():
            _warm(name, asking, options)
        for number in range(options.rounds):
            for name, asking in askings.items():
                if name != "moto_server":
                    progress(f"round {number + 1} of {options.rounds}: {name}")
                    _round(table, name, asking, options, whole=name == "keyquorum")
        if "moto_server" in askings:
            progress("moto_server")
            for each in askings["moto_server"].measures:
                table.take("moto_server", askings["moto_server"], each, load.CONNECTIONS, options.moto_requests)
        if run.audited(data) < table.sent["keyquorum"]:
            raise Failed("there are fewer audit records than answers")
        generators = _generators(work, {"keyquorum": own, **{n: askings[n] for n in constants}}, options)
        peaks = {name: asking.server.memory("VmHWM") for name, asking in askings.items()}
        born = {name: asking.server.born for name, asking in askings.items()}
    progress("cold starts")
    contestants.seed(work / "bench-user.toml", [])
    starts = _cold_starts(work, keys, options)
    progress("signatures in their libraries")
    bare = targets.bare_signatures(options.requests // 20)
    progress("workers and nodes")
    with nullcontext() if options.quick else scale.postgresql() as url:
        cpu = scale.cpu(work, url, options.requests, options.rounds)
    progress("beside other work")
    beside = scale.beside(
        work, 2 * options.requests, options.rounds, options.cached, options.million, 0.5 if options.quick else 4.0
    )
    progress("what peers do not do")
    tried = trials.all_of(work / "trials", options)
    return Results(
        table, list(askings), report.versions(options, work), born, peaks, generators, starts, bare, cpu, beside, tried,
        [name for name in report.PEERS if name not in askings],
    )  # fmt: skip


def _cold_starts(work: Path, keys: Keys, options: argparse.Namespace) -> tuple[float, float]:
    """As ``run.cold_starts``, on this data directory, in which that one's user is made first."""
    data, first = work / "data", keys.by_spec[workload.SYMMETRIC][0]
    contestants.keyquorum(data, seeded=work / "bench-user.toml").stop()
    return run.cold_starts(work, data, first, options.starts)


def _generators(
    work: Path, askings: dict[str, Asking], options: argparse.Namespace
) -> dict[str, tuple[Sample, wrk.Seen]]:
    """What two load generators see of the same servers."""
    if not options.wrk:
        return {}
    found = {}
    for name, asking in askings.items():
        progress(f"wrk: {name}")
        samples, seen = Table(), []
        for _ in range(options.rounds):
            samples.take(name, asking, ENCRYPT, load.CONNECTIONS, options.requests)
            requests = asking.prepare(ENCRYPT, options.requests)
            seen.append(wrk.run(options.wrk, asking.server, requests, work, options.wrk_seconds))
        ours = samples.get(name, ENCRYPT)
        assert ours is not None
        found[name] = ours, wrk.Seen(*map(statistics.median, zip(*seen, strict=True)))
    return found


# -- the whole


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="of a quick operation, a contestant and a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--moto-requests", type=int, default=1_000, help="of an operation, in its one round")
    parser.add_argument("--keys", type=int, default=run.KEYS)
    parser.add_argument("--cached", type=int, default=10_000, help="keys whose memory is measured")
    parser.add_argument("--million", type=int, default=0, help="measure beside so many stored keys, too: 1000000")
    parser.add_argument("--starts", type=int, default=5, help="cold starts of either kind")
    parser.add_argument("--nginx", default=shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"))
    parser.add_argument("--wrk", default=shutil.which("wrk"))
    parser.add_argument("--wrk-seconds", type=int, default=2)
    for peer in ("local-kms", "openbao", "fakecloud"):
        variable = f"BENCH_{peer.replace('-', '_').upper()}"
        parser.add_argument(f"--{peer}", default=os.environ.get(variable), help=f"its program; or ${variable}")
    parser.add_argument("--skip-moto", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the tables and plots into docs/, and the history")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs: the figures mean nothing")
    options = parser.parse_args()
    options.levels = LEVELS
    if options.quick:
        options.write = False
        options.requests, options.rounds, options.moto_requests, options.starts = 200, 1, 50, 1
        options.keys, options.cached, options.wrk_seconds, options.levels = 100, 200, 1, LEVELS[:2]
    return options


def main() -> None:
    options = arguments()
    results, kind = run.done(lambda work: measure(work, options))
    text = report.whole(results, options, kind)
    print(text)
    if not options.quick:
        report.compare(results, keep=options.write)
    if options.write:
        report.write(text, results)


if __name__ == "__main__":
    main()
