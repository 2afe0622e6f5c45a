# SPDX-License-Identifier: Apache-2.0
"""What was aimed at, what was measured, and whether it is met; and what a signature costs in its library alone."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import coincurve
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

import contestants
from results import Results, Sample
from workload import ENCRYPT, SHARE, SIGNING, THREE

CONSTANT: Final = "constant ASGI app"
#: Peer -> how many times as fast keyquorum is to be, at its slowest of Encrypt, Decrypt and GenerateDataKey.
RATIOS: Final = {CONSTANT: 1.0, "nginx": 0.22, "moto_server": 90.0, "local-kms": 1.0, "OpenBao transit": 1.5}
_MIB: Final = 1024 * 1024


class Target(NamedTuple):
    """``met`` is None for what was not measured. ``ratio`` goes into the history: more is better."""

    words: str
    measured: str
    met: bool | None
    name: str
    ratio: float | None


def bare_signatures(count: int) -> dict[str, float]:
    """Seconds of CPU that signing 32 bytes takes, by measure, on the core of the servers and with a warm key."""
    p256, rsa2048 = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    edwards, lattice, koblitz = (
        ed25519.Ed25519PrivateKey.generate(),
        mldsa.MLDSA65PrivateKey.generate(),
        coincurve.PrivateKey(),
    )
    calls: dict[str, Callable[[bytes], object]] = {
        "Sign, P-256": lambda message: p256.sign(message, ec.ECDSA(hashes.SHA256())),
        "Sign, Ed25519": edwards.sign,
        "Sign, secp256k1": koblitz.sign,
        "Sign, RSA-2048": lambda message: rsa2048.sign(message, padding.PKCS1v15(), hashes.SHA256()),
        "Sign, ML-DSA-65": lattice.sign,
    }
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {contestants.SERVER_CORE})
    try:
        return {measure: _seconds(call, max(5, int(count * SHARE.get(measure, 1)))) for measure, call in calls.items()}
    finally:
        os.sched_setaffinity(0, cores)


def _seconds(call: Callable[[bytes], object], count: int) -> float:
    messages = [os.urandom(32) for _ in range(count + 5)]
    for message in messages[count:]:
        call(message)
    begun = time.process_time()
    for message in messages[:count]:
        call(message)
    return (time.process_time() - begun) / count


# -- the targets


def of(results: Results) -> list[Target]:
    return [*_beside_peers(results), *_scale(results), *_latency(results), *_start(results), *_signing(results)]


def rate(results: Results, name: str, measure: str) -> float | None:
    """Requests a second over 32 connections. For nginx, of which our load generator may not see all, it is what wrk
    sees if that is more."""
    sample = results.table.get(name, measure)
    if sample is None:
        return None
    if name == "nginx" and name in results.generators:
        return max(sample.rate, results.generators[name][1].rate)
    return sample.rate


def _beside_peers(results: Results) -> Iterator[Target]:
    for peer, least in RATIOS.items():
        words = f"requests/s: at least {least:g} times {peer}'s"
        pairs = {measure: (rate(results, "keyquorum", measure), rate(results, peer, measure)) for measure in THREE}
        ratios = {measure: own / other for measure, (own, other) in pairs.items() if own and other}
        if not ratios:
            yield Target(words, "not measured", None, peer, None)
            continue
        digits = 2 if least < 2 else 0
        told = ", ".join(f"{measure} {ratio:.{digits}f}" for measure, ratio in ratios.items())
        worst = min(ratios.values())
        if peer == "nginx":
            words += " (aim: 0.28)"
        yield Target(words, told, worst >= least, peer, worst)


def _scale(results: Results) -> Iterator[Target]:
    one = results.cpu["one worker"]
    for many in ("two workers", "two nodes on PostgreSQL"):
        words = f"CPU a request with {many}: within 10% of one"
        if (taken := results.cpu.get(many)) is None:
            yield Target(words, "not measured", None, many, None)
            continue
        told = f"{taken / one - 1:+.0%} ({one * 1e6:.0f} µs, {taken * 1e6:.0f} µs)"
        yield Target(words, told, taken <= 1.1 * one, many, one / taken)


def _latency(results: Results) -> Iterator[Target]:
    samples = [_there(results, measure) for measure in THREE]
    worst = max(sample.p99 / sample.p50 for sample in samples)
    told = ", ".join(f"{measure} {s.p99 / s.p50:.1f}" for measure, s in zip(THREE, samples, strict=True))
    yield Target("p99 at 32 connections: at most 3 times p50", told, worst <= 3, "p50/p99", 1 / worst)
    quiet, few = results.beside.p99["nothing else"], results.beside.p99.get("1,000 keys used")
    for name, p99 in results.beside.p99.items():
        if name in ("nothing else", "1,000 keys used"):
            continue
        base = few if few is not None and name.startswith("1,000 keys used of") else quiet
        words = f"p99 of Encrypt, {name}: less than 20% more"
        told = f"{p99 / base - 1:+.0%} ({base * 1e3:.2f} ms, {p99 * 1e3:.2f} ms)"
        yield Target(words, told, p99 < 1.2 * base, name, base / p99)


def _start(results: Results) -> Iterator[Target]:
    slowest, resident = max(results.starts), results.beside.resident
    told = f"{results.starts[0]:.2f} s with keys, {results.starts[1]:.2f} s without"
    yield Target("from start to first answer: less than 0.5 s", told, slowest < 0.5, "start", 0.5 / slowest)
    words = f"resident with {results.beside.cached:,} keys in the cache: at most 80 MiB"
    yield Target(
        words,
        f"{resident / _MIB:.0f} MiB (before the first request {results.beside.empty / _MIB:.0f} MiB)",
        resident <= 80 * _MIB,
        "resident",
        80 * _MIB / resident,
    )


def _signing(results: Results) -> Iterator[Target]:
    http = _there(results, ENCRYPT, CONSTANT).cpu
    for measure in SIGNING:
        bare, taken = results.bare[measure], _there(results, measure).cpu
        ratio = taken / (bare + http)
        words = f"CPU of {measure}: at most 1.3 times library and constant app"
        told = f"{ratio:.2f} ({taken * 1e6:.0f} µs; {bare * 1e6:.0f} µs and {http * 1e6:.0f} µs)"
        yield Target(words, told, ratio <= 1.3, measure, 1 / ratio)


def _there(results: Results, measure: str, name: str = "keyquorum") -> Sample:
    sample = results.table.get(name, measure)
    assert sample is not None
    return sample
