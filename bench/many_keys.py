# SPDX-License-Identifier: Apache-2.0
"""``make bench-keys``: what a million keys cost. How fast keys are made, how long an Encrypt takes under a key that no
cache knows, how long a page of a list takes wherever it begins, and how much memory a process comes to.

The database is filled through the store that CreateKey uses, a thousand keys in a transaction; the rate of CreateKey
itself is measured once it is full. Everything is asked of the request path in this process: no HTTP, no signature.
"""

import argparse
import gc
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from keyquorum import lifecycle
from keyquorum.app import Service
from keyquorum.authz.policy import default_key_policy
from keyquorum.config import Settings
from keyquorum.model import ROOT, Caller, HttpRequest, Key, ResourcePolicy
from keyquorum.quotas import Quotas

ACCOUNT: Final = "111122223333"
REGION: Final = "us-east-1"
_AT_ONCE: Final = 1000
_ROOT: Final = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT)


def fill(service: Service, count: int) -> list[str]:
    """The IDs of ``count`` new keys."""
    store, keyring, now = service.store, service.keyring, time.time()
    policy = ResourcePolicy(default_key_policy(ACCOUNT), {})
    ids = [str(uuid.uuid4()) for _ in range(count)]
    for start in range(0, count, _AT_ONCE):
        with store.database.write() as txn:
            for key_id in ids[start : start + _AT_ONCE]:
                material = keyring.wrap_material(key_id, REGION, keyring.generate("SYMMETRIC_DEFAULT"), now)
                key = Key(
                    key_id=key_id,
                    account=ACCOUNT,
                    region=REGION,
                    spec="SYMMETRIC_DEFAULT",
                    usage="ENCRYPT_DECRYPT",
                    origin="AWS_KMS",
                    state=lifecycle.ENABLED,
                    description="",
                    created_at=now,
                    material_id=material.material_id,
                )
                store.keys.insert(txn, key, [material], policy)
    return ids


def ask(service: Service, operation: str, **body: Any) -> dict[str, Any]:
    """The answer to a request of the account's root, its record written."""
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"x-amz-target", b"TrentService." + operation.encode()),
    ]
    answer = service.pipeline.answer_as(
        _ROOT, HttpRequest(b"POST", b"/", headers, json.dumps(body).encode(), "127.0.0.1")
    )
    if answer.status != 200:
        raise RuntimeError(f"{operation}: status {answer.status}: {answer.body.decode()}")
    if answer.record is not None:
        service.pipeline.write_records([answer.record])
    found: dict[str, Any] = json.loads(answer.body) if answer.body else {}
    return found


def seconds(calls: Iterable[Callable[[], object]]) -> list[float]:
    """How long each took."""
    taken = []
    for call in calls:
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)


def memory() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def statements(call: Callable[[], object]) -> int:
    """How many statements a call sends to the database, but for those that begin and end a transaction."""
    sent: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return len([statement for statement in sent if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))])


def pages(service: Service) -> list[float]:
    """How long each page of a thousand took, in order, through all keys."""
    taken: list[float] = []
    position: dict[str, str] = {}
    while True:
        begun = time.perf_counter()
        answer = ask(service, "ListKeys", Limit=1000, **position)
        taken.append(time.perf_counter() - begun)
        if not answer["Truncated"]:
            return taken
        position = {"Marker": answer["NextMarker"]}


def measure(settings: Settings, count: int, asked: int) -> list[tuple[str, str]]:
    """What is measured, and the figure."""
    rows: list[tuple[str, str]] = []
    service = Service(settings)
    begun = time.perf_counter()
    ids = fill(service, count)
    rows.append(("keys a second, filled in by the store", f"{count / (time.perf_counter() - begun):,.0f}"))
    made = seconds([lambda: ask(service, "CreateKey")] * 500)
    rows.append(("CreateKey, one client", f"{len(made) / sum(made):,.0f}/s, p50 {_ms(made, 0.5)}"))
    service.close()

    service = Service(settings)
    rows.append(("memory before the first request", _mib(memory())))
    some = random.sample(ids, min(asked, count))
    plaintext = "c2VjcmV0"
    sent = statements(lambda: ask(service, "Encrypt", KeyId=some[0], Plaintext=plaintext))
    calls = [lambda key=key: ask(service, "Encrypt", KeyId=key, Plaintext=plaintext) for key in some[1:]]
    cold = seconds(calls)
    rows.append(("Encrypt under a key that is in no cache", f"p50 {_ms(cold, 0.5)}, p99 {_ms(cold, 0.99)}"))
    rows.append(("statements that it sends", str(sent)))
    rows.append((f"memory after {asked:,} keys were used", _mib(memory())))
    warm = seconds([calls[-1]] * 1000)
    rows.append(("Encrypt under one that is", f"p50 {_ms(warm, 0.5)}, p99 {_ms(warm, 0.99)}"))
    taken = pages(service)
    part = max(1, len(taken) // 20)
    first, last = statistics.median(taken[:part]), statistics.median(taken[-part - 1 : -1] or taken)
    rows.append(("a page of 1,000 of ListKeys: the first, the last", f"{first * 1e3:.1f} ms, {last * 1e3:.1f} ms"))
    service.close()
    return rows


def _ms(taken: list[float], part: float) -> str:
    return f"{taken[int(len(taken) * part)] * 1e3:.2f} ms"


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=50_000, help="keys that are used, each once")
    parser.add_argument(
        "--data", type=Path, default=None, help="on which file system; by default a temporary directory"
    )
    parser.add_argument("--database", default=None, help="postgresql://...; by default SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as directory:
        chosen: dict[str, Any] = {} if options.database is None else {"database": options.database}
        quotas = Quotas(keys_per_region=2 * options.keys + 1000)
        settings = Settings(data=Path(directory) / "data", quotas=quotas, **chosen)
        rows = measure(settings, options.keys, options.asked)
    print(f"| {options.keys:,} keys | |\n| --- | ---: |")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
