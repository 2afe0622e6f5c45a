# SPDX-License-Identifier: Apache-2.0
"""What authorization and audit cost: a sampled profile of the request path, in CPU time for each request.

There is no switch that turns either off, so that there is nothing to subtract: the interpreter is interrupted many
thousand times while it answers requests, and each time the step is noted that it was in. One process answers signed
requests of 20 users on 50 keys. Each key has a policy with conditions of its own, and each user an identity policy with
a condition; records are written in batches as the server writes them.
"""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import signing
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.model import HttpRequest

USERS: Final = 20
POLICIES: Final = 50
_ACCOUNT: Final = "111122223333"
_REGION: Final = "us-east-1"
_BATCH: Final = 16
_EVERY: Final = 0.0002
_PACKAGE: Final = f"{os.sep}keyquorum{os.sep}"

#: A file of the package, or the start of its path -> the step that time in it, and in what it calls, belongs to.
STEPS: Final = {
    "authn": "signature",
    "wire": "decoding and encoding",
    "access.py": "authorization",
    "authz": "authorization",
    "recording.py": "audit",
    "journal.py": "audit",
    "audit": "audit",
    "ops": "the operation",
    "resolve.py": "the operation",
}


class Cost(NamedTuple):
    """Seconds of CPU a request: of the whole path, and of each step."""

    whole: float
    steps: dict[str, float]

    @property
    def decided_and_recorded(self) -> float:
        return self.steps.get("authorization", 0.0) + self.steps.get("audit", 0.0)


def user(number: int) -> str:
    return f"user-{number:02}"


def key_policy(number: int) -> str:
    """A user is let in by name on every other key, and by its own policy on the rest; all under conditions."""
    root = f"arn:aws:iam::{_ACCOUNT}:root"
    names = [f"arn:aws:iam::{_ACCOUNT}:user/{user(n)}" for n in range(number % 4, USERS, 4)]
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": root},
            "Action": "kms:*",
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:CallerAccount": _ACCOUNT}},
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": names},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": {
                "StringLikeIfExists": {"kms:EncryptionContext:tenant": "tenant-*"},
                "IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "127.0.0.0/8", f"10.{number}.0.0/16"]},
            },
        },
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "kms:*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalTag/quarantined": f"since-{number}"}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def identity_policy(number: int, *more: str) -> str:
    """``more``: actions that are allowed too, on keys, on aliases, and on what is neither."""
    since = {"DateGreaterThan": {"aws:CurrentTime": f"2020-01-{number % 28 + 1:02}T00:00:00Z"}}
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
            "Resource": f"arn:aws:kms:*:{_ACCOUNT}:key/*",
            "Condition": since,
        }
    ]
    if more:
        statements.append({"Effect": "Allow", "Action": more, "Resource": "*", "Condition": since})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def access_of(number: int) -> signing.Access:
    """The access key of a user."""
    return signing.Access(f"AKIABENCH{number:011}", f"secret-{number}", _REGION)


def write_seed(path: Path, key_ids: list[str]) -> None:
    lines = []
    for number in range(USERS):
        lines += ["[[user]]", f'name = "{user(number)}"', f'access_key_id = "AKIABENCH{number:011}"']
        lines += [f'secret_access_key = "secret-{number}"', f"policy = '{identity_policy(number)}'"]
    for number, key_id in enumerate(key_ids):
        lines += ["[[key]]", f'id = "{key_id}"', f"policy = '{key_policy(number)}'"]
    path.write_text("\n".join(lines))


def requests(key_ids: list[str], count: int) -> list[HttpRequest]:
    made: list[HttpRequest] = []
    each = count // USERS
    for number in range(USERS):
        access = access_of(number)
        keys = [key_ids[(number + n) % len(key_ids)] for n in range(each)]
        bodies = [signing.encrypt_body(key, os.urandom(32), n) for n, key in enumerate(keys)]
        made += [_parsed(raw) for raw in signing.sign(access, "localhost", "Encrypt", bodies)]
    # Users take turns, as they would.
    return [made[n * each + i] for i in range(each) for n in range(USERS)]


def _parsed(raw: bytes) -> HttpRequest:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    return HttpRequest(b"POST", b"/", [(name.lower(), value) for name, value in lines], body, "192.0.2.7")


def _answer(service: Service, asked: list[HttpRequest]) -> None:
    pipeline, records = service.pipeline, []
    for number, request in enumerate(asked, 1):
        answer = pipeline.answer(request, may_block=True)
        if answer.status != 200 or answer.record is None:
            raise RuntimeError(f"status {answer.status}: {answer.body.decode()}")
        records.append(answer.record)
        if number % _BATCH == 0:
            pipeline.write_records(records)
            records = []


def _step(frame: FrameType | None) -> str:
    """The outermost step that is on the stack."""
    found = "the rest of the path"
    while frame is not None:
        _, inside, name = frame.f_code.co_filename.rpartition(_PACKAGE)
        if inside:
            found = STEPS.get(name) or STEPS.get(name.split(os.sep)[0]) or found
        frame = frame.f_back
    return found


def measure(work: Path, count: int) -> Cost:
    """``count`` requests after some that warm the caches, counted in CPU time, and as many again under the profile."""
    key_ids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(POLICIES)]
    write_seed(work / "policies.toml", key_ids)
    service = Service(Settings(data=work / "policies", seed=work / "policies.toml"))
    try:
        _answer(service, requests(key_ids, max(2_000, POLICIES * USERS)))
        asked = requests(key_ids, count)
        begun = time.process_time()
        _answer(service, asked)
        whole = (time.process_time() - begun) / len(asked)
        sampled: Counter[str] = Counter()

        def sample(_signal: int, frame: FrameType | None) -> None:
            sampled[_step(frame)] += 1

        asked = requests(key_ids, count)
        signal.signal(signal.SIGALRM, sample)
        signal.setitimer(signal.ITIMER_REAL, _EVERY, _EVERY)
        try:
            _answer(service, asked)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        service.close()
    total = sum(sampled.values())
    return Cost(whole, {step: whole * taken / total for step, taken in sampled.most_common()})


def table(cost: Cost) -> str:
    lines = [
        f"A request's CPU by step, on the request path without HTTP ({POLICIES} key policies with conditions, {USERS} "
        "users):",
        "",
        "| step | µs |",
        "| --- | ---: |",
        *[f"| {step} | {seconds * 1e6:.1f} |" for step, seconds in cost.steps.items()],
        f"| **all** | {cost.whole * 1e6:.1f} |",
        f"| **authorization and audit** | {cost.decided_and_recorded * 1e6:.1f} |",
    ]
    return "\n".join(lines)
