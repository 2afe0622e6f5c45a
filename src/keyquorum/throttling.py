# SPDX-License-Identifier: Apache-2.0
"""Request quotas: how many requests a second one account may send, by family of operations (AWS KMS Developer Guide,
"Request quotas").

Only requests whose sender is known are counted, on the account that sent them, so that nobody uses up another's quota.
Regions are not told apart, unlike AWS's: here clients name what Region they like.

A bucket is one number: the time at which it will be full again (the "theoretical arrival time" of the generic cell rate
algorithm, ITU-T I.371). It lies in memory that the processes of a server share. None of them locks it; two that take
from one bucket in the same moment may count one request for both.
"""

import math
import mmap
import re
import time
from collections.abc import Callable, Container, Iterable, Mapping
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final

from keyquorum.errors import ThrottlingException

_MESSAGE: Final = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
_SECOND: Final = 1_000_000_000

#: How many buckets are in use at once at most: accounts x families that sent something in the last seconds.
BUCKETS: Final = 16_384
_ITEMS: Final = 2  # of 8 bytes: whose it is, and when it is full again
BYTES: Final = BUCKETS * _ITEMS * 8
_PROBES: Final = 16

SYMMETRIC: Final = "symmetric"
RSA: Final = "rsa"
ECC: Final = "ecc"
ML_DSA: Final = "ml-dsa"
RSA_PAIRS: Final = "rsa-key-pairs"
OTHER_PAIRS: Final = "key-pairs"
IDENTITIES: Final = "identities"
MANAGEMENT: Final = "management"
FAMILIES: Final = {
    SYMMETRIC: "Encrypt, Decrypt and ReEncrypt with symmetric keys, GenerateDataKey, GenerateDataKeyWithoutPlaintext, "
    "GenerateMac, VerifyMac, GenerateRandom",
    RSA: "Encrypt, Decrypt, ReEncrypt, Sign and Verify with RSA keys",
    ECC: "Sign and Verify with elliptic curve keys, DeriveSharedSecret",
    ML_DSA: "Sign and Verify with ML-DSA keys",
    RSA_PAIRS: "GenerateDataKeyPair and GenerateDataKeyPairWithoutPlaintext, of RSA",
    OTHER_PAIRS: "the same, of elliptic curves and the rest",
    IDENTITIES: "all of IAM and STS",
    MANAGEMENT: "all else of KMS",
}

# Of a second; the most is beyond what a node answers.
_LEAST, _MOST = 0.01, 1_000_000.0
_ALL: Final = "all"  # families
_UNITS: Final = {"": 1, "s": 1, "m": 60}
_OPERATION: Final = re.compile(r"[A-Z][A-Za-z]{3,63}")


_PREFIXES: Final = (("RSA", RSA), ("ML_DSA", ML_DSA), ("E", ECC))  # of algorithms: ECDSA_SHA_256, ED25519_SHA_512

_SYMMETRIC: Final = frozenset(
    {"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "VerifyMac", "GenerateRandom"}
)
_ENCRYPTION: Final = attrgetter("encryption_algorithm")
_SIGNING: Final = attrgetter("signing_algorithm")
_PAIR: Final = attrgetter("key_pair_spec")
#: What of a request tells its family, where the operation alone does not.
_VARIANTS: Final[dict[str, Callable[[Any], Any]]] = {
    "Encrypt": _ENCRYPTION,
    "Decrypt": _ENCRYPTION,
    "ReEncrypt": attrgetter("source_encryption_algorithm", "destination_encryption_algorithm"),
    "Sign": _SIGNING,
    "Verify": _SIGNING,
    "GenerateDataKeyPair": _PAIR,
    "GenerateDataKeyPairWithoutPlaintext": _PAIR,
}


def family_of(service: bytes, operation: str, variant: Any) -> str:
    """``variant``: an algorithm, a key pair's spec, or None. ReEncrypt has two algorithms; its dearer one counts."""
    if service != b"kms":
        return IDENTITIES
    if operation in _SYMMETRIC:
        return SYMMETRIC
    if operation == "DeriveSharedSecret":
        return ECC
    if operation not in _VARIANTS:
        return MANAGEMENT
    named = [str(each or "") for each in (variant if isinstance(variant, tuple) else (variant,))]
    if _VARIANTS[operation] is _PAIR:
        return RSA_PAIRS if named[0].startswith("RSA") else OTHER_PAIRS
    return next((family for prefix, family in _PREFIXES if any(n.startswith(prefix) for n in named)), SYMMETRIC)


#: What a production server starts with. One account cannot keep the others from the one lock that all changes take
#: turns at, nor from the processors: each is about what a small node does when it does nothing else.
DEFAULTS: Final[Mapping[str, float]] = {
    SYMMETRIC: 50_000,
    RSA: 5_000,
    ECC: 20_000,
    ML_DSA: 5_000,
    RSA_PAIRS: 50,
    OTHER_PAIRS: 2_000,
    IDENTITIES: 2_000,
    MANAGEMENT: 2_000,
}


def parse(texts: Iterable[str]) -> dict[str, float]:
    """Quotas a second, from ``FAMILY=N/s`` (or N/m for a minute; N alone is N/s), ``OPERATION=N/s`` for an operation
    that is to have one of its own, ``all=N/s`` for every family, and ``...=off`` for
    none. Raises ValueError, and says why."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in FAMILIES and name != _ALL and not _OPERATION.fullmatch(name):
            raise ValueError(f"{name!r} is neither a family of operations ({', '.join(FAMILIES)}) nor an operation")
        number, _, unit = value.partition("/")
        try:
            rate = 0.0 if value == "off" else float(number) / _UNITS[unit]
        except (KeyError, ValueError):
            rate = math.nan
        if not equals or not ((rate == 0.0 and value == "off") or _LEAST <= rate <= _MOST):
            raise ValueError(f"{name} must be like 100/s or 30/m, from {_LEAST:g} to {_MOST:,.0f} a second, or off")
        found |= dict.fromkeys(FAMILIES, rate) if name == _ALL else {name: rate}
    return found


def unknown(rates: Iterable[str], operations: Container[str]) -> list[str]:
    """Those that are neither families nor of ``operations``."""
    return [name for name in rates if name not in FAMILIES and name not in operations]


def shown(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={f'{rate:g}/s' if rate else 'off'}" for name, rate in rates.items())


#: A request that was counted, so that it can be taken back: where, and how much.
Ticket = tuple[int, int]


class Throttle:
    """``rates``: family or operation -> requests a second, for each account; what is absent or 0 is not counted.
    ``memory``: ``BYTES`` of it, zeros at first; None for a process that shares with nobody. ``refused``: family or
    operation -> how many were, in this process; changed by any thread, and so may miss a few."""

    def __init__(self, rates: Mapping[str, float], memory: memoryview | None = None) -> None:
        self._steps = {name: max(1, round(_SECOND / rate)) for name, rate in rates.items() if rate > 0}
        self._slots = (memoryview(mmap.mmap(-1, BYTES)) if memory is None else memory).cast("Q")
        self._known: dict[tuple[str, bytes, str, Any], tuple[str, int, int] | None] = {}
        self.refused = dict.fromkeys(self._steps, 0)

    def take(self, account: str, service: bytes, operation: str, request: Any) -> Ticket | None:
        """Count one request. ``request``: its struct, or None if it could not be read. Raises ThrottlingException."""
        if not self._steps:
            return None
        vary = None if request is None else _VARIANTS.get(operation)
        asked = account, service, operation, None if vary is None else vary(request)
        try:
            known = self._known[asked]
        except KeyError:
            known = self._learn(*asked)
        if known is None:
            return None
        name, step, mark = known
        slots, now = self._slots, time.monotonic_ns()
        place = (mark >> 1) % BUCKETS * _ITEMS
        if slots[place] != mark:
            place = self._place(mark, now)
        full = max(slots[place + 1], now) + step
        # A second's worth at once, and one request in any case.
        if full - now > max(_SECOND, step):
            self.refused[name] += 1
            raise ThrottlingException(_MESSAGE)
        slots[place + 1] = full
        return place, step

    def give_back(self, ticket: Ticket | None) -> None:
        """The request did not happen: it is to run again, and to be counted then."""
        if ticket is not None:
            place, step = ticket
            self._slots[place + 1] = max(0, self._slots[place + 1] - step)

    def _learn(self, account: str, service: bytes, operation: str, variant: Any) -> tuple[str, int, int] | None:
        """The quota's name, the nanoseconds that a request takes of it, and the mark of its bucket."""
        name = operation if operation in self._steps else family_of(service, operation, variant)
        known = None
        if name in self._steps:
            digest = blake2b(f"{account} {name}".encode(), digest_size=8).digest()
            known = name, self._steps[name], int.from_bytes(digest) | 1
        if len(self._known) >= BUCKETS:
            self._known.clear()
        self._known[account, service, operation, variant] = known
        return known

    def _place(self, mark: int, now: int) -> int:
        """Where the bucket is. One that is full again says nothing, and is anybody's to have. If none is free near by,
        two share one, which is only ever stricter."""
        slots, first = self._slots, (mark >> 1) % BUCKETS
        free = None
        for index in range(first, first + _PROBES):
            place = index % BUCKETS * _ITEMS
            if slots[place] == mark:
                return place
            if free is None and slots[place + 1] <= now:
                free = place
        if free is None:
            return first * _ITEMS
        slots[free], slots[free + 1] = mark, 0
        return free
