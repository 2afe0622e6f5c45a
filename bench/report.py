# SPDX-License-Identifier: Apache-2.0
"""What ``make bench-full`` prints, and puts into docs/design/benchmarks.md and the plots beside it."""

import argparse
import importlib.metadata
import time
from pathlib import Path
from typing import Final

import history
import load
import peers
import plots
import run
import targets
import trials
from results import Results, Sample
from workload import ENCRYPT, MEASURES, MIX

PEERS: Final = ("nginx", "local-kms", "OpenBao transit", "fakecloud", "moto_server")
PAGE: Final = Path(__file__).parent.parent / "docs" / "design" / "benchmarks.md"
_BEGIN, _END = "<!-- bench-full -->", "<!-- /bench-full -->"
_MIB: Final = 1024 * 1024
_BUSY: Final = 0.9


def versions(options: argparse.Namespace, work: Path) -> dict[str, str]:
    """As the programs and packages say."""
    found = {
        name: importlib.metadata.version(name) for name in ("uvicorn", "uvloop", "httptools", "cryptography", "moto")
    }
    if options.nginx:
        found["nginx"] = peers.version([options.nginx, "-v"]).rpartition("/")[2]
    if options.openbao:
        found["OpenBao"] = peers.version([options.openbao, "version"]).removeprefix("OpenBao v").partition(" ")[0]
    if options.fakecloud:
        found["fakecloud"] = peers.version([options.fakecloud, "--version"]).rpartition(" ")[2]
    if options.local_kms:
        log = (work / "local-kms" / "log").read_text()
        found["local-kms"] = log.partition("Local KMS ")[2].partition(" (")[0]
    if options.skip_moto:
        del found["moto"]
    return found


def whole(results: Results, options: argparse.Namespace, kind: str) -> str:
    parts = [
        _about(results, options, kind),
        "### Targets\n\n" + _targets(results),
        "### Beside others\n\n" + _side_by_side(results),
        "### keyquorum by operation\n\n" + _operations(results, options),
        "### By connections\n\n" + _levels(results, options),
        "### Start and memory\n\n" + _standing(results),
        "### Several processes, and other work at the same time\n\n" + _scale(results),
        "### The load generator\n\n" + _generators(results),
        "### What each server does\n\n" + _tried(results),
    ]
    return "\n\n".join(parts)


def _about(results: Results, options: argparse.Namespace, kind: str) -> str:
    told = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    left_out = f" Left out, for their programs were not there: {', '.join(results.absent)}." if results.absent else ""
    moto = "" if options.skip_moto else f" (moto_server: one round of {options.moto_requests:,})"
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}. {run.machine()}. {told}. Medians of {options.rounds} rounds of "
        f"{options.requests:,} requests of a quick operation, fewer of slow ones and over one connection{moto}. "
        f"keyquorum has {options.keys:,} keys, 20 users and 50 policies with conditions; no two requests are alike, "
        "each is signed, a third carry three pairs of encryption context; database and audit log on "
        f"{kind}.{left_out}"
    )


def _rows(heads: list[str], rows: list[list[str]], align: str = "---:") -> str:
    lines = [f"| {' | '.join(heads)} |", "| --- |" + f" {align} |" * (len(heads) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _targets(results: Results) -> str:
    words = {True: "met", False: "**not met**", None: ""}
    rows = [[target.words, target.measured, words[target.met]] for target in targets.of(results)]
    return _rows(["target", "measured", ""], rows, "---")


def _cells(sample: Sample) -> list[str]:
    mark = " †" if sample.busy > _BUSY else ""
    latencies = [f"{seconds * 1e3:,.2f} ms" for seconds in (sample.p50, sample.p99, sample.p999)]
    return [f"{sample.rate:,.0f}{mark}", *latencies, f"{sample.cpu * 1e6:,.0f} µs"]


_COLUMNS: Final = ["requests/s", "p50", "p99", "p99.9", "CPU a request"]


def _side_by_side(results: Results) -> str:
    rows = []
    for measure in MEASURES:
        own = results.table.get("keyquorum", measure)
        assert own is not None
        others = [(name, results.table.get(name, measure)) for name in results.names if name != "keyquorum"]
        if not any(sample for _, sample in others):
            continue
        rows.append([f"**keyquorum, {measure}**", *_cells(own), ""])
        for name, sample in others:
            if sample is not None:
                seen = targets.rate(results, name, measure)
                assert seen is not None
                cells = _cells(sample)
                if seen > sample.rate:
                    cells[0] = f"{seen:,.0f} ‡"
                rows.append([name, *cells, f"{own.rate / seen:,.2f}"])
    note = (
        "32 connections. The last column is keyquorum's requests/s by the other's. †: the load generator had more than "
        "90% of its core. ‡: as wrk saw it, since ours sees less."
    )
    return f"{_rows(['', *_COLUMNS, 'keyquorum is'], rows)}\n\n{note}"


def _operations(results: Results, options: argparse.Namespace) -> str:
    rows = []
    for connections in options.levels:
        for measure in MEASURES:
            sample = results.table.get("keyquorum", measure, connections)
            assert sample is not None
            rows.append([measure, str(connections), *_cells(sample)])
    note = (
        f"{MIX}: 80% GenerateDataKey and Decrypt, 15% Sign and Verify, 5% ListKeys, DescribeKey, TagResource, "
        "CreateAlias and UpdateAlias. The last three are written to disk before they are answered."
    )
    return f"{_rows(['', 'connections', *_COLUMNS], rows)}\n\n{note}"


def _levels(results: Results, options: argparse.Namespace) -> str:
    rows = []
    for measure in (ENCRYPT, MIX):
        for name in results.names:
            for connections in options.levels:
                sample = results.table.get(name, measure, connections)
                if sample is not None and name != "moto_server":
                    rows.append([f"{name}, {measure}", str(connections), *_cells(sample)])
    return _rows(["", "connections", *_COLUMNS], rows)


def _standing(results: Results) -> str:
    rows = [[name, f"{results.born[name]:.2f} s", f"{results.peaks[name] / _MIB:,.0f} MiB"] for name in results.names]
    note = (
        f"From starting `keyquorum serve` to the first answered Encrypt: {results.starts[0]:.2f} s on a data directory "
        f"with keys, {results.starts[1]:.2f} s on none. (The table's first start of keyquorum made all keys.)"
    )
    return f"{_rows(['', 'until it takes connections', 'most memory in the run'], rows)}\n\n{note}"


def _scale(results: Results) -> str:
    processes = [[name, f"{seconds * 1e6:.1f} µs"] for name, seconds in results.cpu.items()]
    beside = [[name, f"{seconds * 1e3:.2f} ms"] for name, seconds in results.beside.p99.items()]
    note = (
        "All on one core, so that what is compared is CPU and not throughput; PostgreSQL is on the other, and not "
        f"counted. Replacing the keyring key of {results.beside.cached:,} keys took {results.beside.rotation:.1f} s."
    )
    tables = [_rows(["", "CPU a request"], processes), _rows(["p99 of Encrypt, beside", ""], beside), note]
    return "\n\n".join(tables)


def _generators(results: Results) -> str:
    if not results.generators:
        return "wrk was not there to compare with."
    rows = []
    for name, (ours, seen) in results.generators.items():
        rows.append([name, f"{ours.rate:,.0f}", f"{ours.busy:.0%}", f"{seen.rate:,.0f}", f"{seen.cpu * 1e6:,.1f} µs"])
    heads = ["Encrypt, 32 connections", "bench/load.py", "of its core", "wrk", "server's CPU a request, by wrk"]
    return _rows(heads, rows)


def _tried(results: Results) -> str:
    rows = [[name, *(found[question] for question in trials.QUESTIONS)] for name, found in results.tried.items()]
    note = (
        f"Tried on {time.strftime('%Y-%m-%d', time.gmtime())}, with the versions above, each as it comes: requests "
        "with a forged signature, a key policy that denies Encrypt, files before and after fifty uses of a key, a "
        "process killed and started anew, and a known key looked for in its files. OpenBao is in its development mode; "
        "in production it has durable storage, a seal and audit devices, which cost time that is not counted here."
    )
    return f"{_rows(['', *trials.QUESTIONS], rows, '---')}\n\n{note}"


# -- files


def write(text: str, results: Results) -> None:
    """Into the page, and the plots beside it."""
    page = PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}")
    images = PAGE.parent / "images"
    images.mkdir(exist_ok=True)
    for name, plot in _plots(results).items():
        (images / f"{name}.svg").write_text(plot)


def compare(results: Results, *, keep: bool) -> None:
    """Say what is worse than in the last run that was kept, and perhaps keep this one."""
    ratios = {target.name: target.ratio for target in targets.of(results) if target.ratio is not None}
    now = history.line(run.machine(), ratios)
    for loss in history.losses(now):
        run.progress(f"bench: more than 10% worse: {loss}")
    if keep:
        history.append(now)


def _plots(results: Results) -> dict[str, str]:
    rates = {name: targets.rate(results, name, ENCRYPT) or 0.0 for name in results.names}
    beside = [
        (name, each, f"{each:,.0f}", name == "keyquorum") for name, each in sorted(rates.items(), key=lambda r: -r[1])
    ]
    operations, latencies = [], []
    for measure in MEASURES:
        sample = results.table.get("keyquorum", measure)
        assert sample is not None
        operations.append((measure, sample.rate, f"{sample.rate:,.0f}", True))
    for name in results.names:
        sample = results.table.get(name, ENCRYPT)
        if sample is not None:
            values = [sample.p50 * 1e3, sample.p99 * 1e3, sample.p999 * 1e3]
            latencies.append((name, values, name == "keyquorum"))
    connections = load.CONNECTIONS
    return {
        "beside": plots.bars(f"Encrypt, requests/s on one core, {connections} connections", beside),
        "operations": plots.bars(f"keyquorum, requests/s on one core, {connections} connections", operations),
        "latency": plots.ranges(f"Encrypt, p50, p99 and p99.9, {connections} connections", "ms", latencies),
    }
