# SPDX-License-Identifier: Apache-2.0
"""The audit log of a server as its operator has it: several workers, files that are put aside, copies, verification."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import audit_records
from servers import ACCOUNT, Production, environment, run

pytestmark = pytest.mark.slow

ROUNDS = 300
THREADS = 4


def load(server: Production, key_id: str) -> None:
    """Requests of all kinds over several connections, so that every worker writes."""
    failures: list[BaseException] = []

    def send() -> None:
        kms = server.client()
        try:
            for number in range(ROUNDS):
                kms.encrypt(KeyId=key_id, Plaintext=b"x" * 100, EncryptionContext={"number": str(number) * 20})
                if number % 20 == 0:
                    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "number", "TagValue": str(number)}])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        verified = verify("--data", str(server.data))  # while they write
        assert verified.returncode == 0, verified.stdout
    for thread in threads:
        thread.join()
    assert failures == []


def verify(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "keyquorum", "audit", "verify", *options]
    return subprocess.run(command, env=environment(command), capture_output=True, text=True, timeout=60)


def test_two_workers_under_load_leave_a_log_that_is_whole(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    server = Production(tmp_path, "--workers", "2", "--audit-rotate-size", "1", "--audit-sink", f"file:{copy}")
    key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
    audit, loads = server.data / "audit", 0

    def is_enough() -> bool:
        """Which worker takes a connection is the system's choice: one may have them all, or each half of a file."""
        written = [sum(path.stat().st_size for path in audit.glob(f"{writer}.*jsonl")) for writer in (0, 1)]
        return min(written) > 20_000 and any(audit.glob("*.1.jsonl"))

    while loads < 12 and not is_enough():
        load(server, key_id)
        loads += 1
    server.stop()
    records = audit_records(server.data)
    told = Counter(record["eventName"] for record in records)
    assert (told["Encrypt"], told["TagResource"]) == (loads * THREADS * ROUNDS, loads * THREADS * ROUNDS // 20)
    chains = Counter(record["additionalEventData"]["chain"] for record in records)
    assert len(chains) >= 2
    assert list(audit.glob("*.*.jsonl"))
    # A third party has the public key, the files, and the copy that was exported.
    key = run("audit", "key", "--data", str(server.data)).stdout.strip()
    verified = verify("--audit-dir", str(audit), "--key", key, "--checkpoints", str(copy))
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "The log is whole.")
    assert f"{len(records)} records; " in verified.stdout
    assert "; 0 records come after it" in verified.stdout
    assert {json.loads(line)["eventID"] for line in copy.read_bytes().splitlines() if b'"eventID"' in line} == {
        record["eventID"] for record in records
    }
    # And finds what somebody changed since.
    file = next(audit.glob("*.1.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"readOnly":true', b'"readOnly":false', 1))
    verified = verify("--audit-dir", str(audit), "--key", key)
    assert verified.returncode == 1
    assert f"{file.name}:" in verified.stdout


def test_refused_and_allowed_requests_are_found(start: Callable[..., Production]) -> None:
    server = start()
    kms: Any = server.client()
    key = kms.create_key()["KeyMetadata"]
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    with pytest.raises(kms.exceptions.NotFoundException):
        kms.describe_key(KeyId="alias/absent")
    found = run("audit", "search", "--data", str(server.data), "--key", key["Arn"], "--operation", "Encrypt").stdout
    assert f" Encrypt allowed arn:aws:iam::{ACCOUNT}:root {key['Arn']} from 127.0.0.1" in found
    refused = run("audit", "search", "--data", str(server.data), "--outcome", "refused", "--json").stdout
    assert [json.loads(line)["errorCode"] for line in refused.splitlines()] == ["NotFoundException"]
    server.stop()


def test_records_are_seen_as_they_come(start: Callable[..., Production]) -> None:
    server = start()
    command = [sys.executable, "-m", "keyquorum", "audit", "tail", "-f", "-n", "0", "--data", str(server.data)]
    with subprocess.Popen(command, env=environment(command), stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        shown: list[str] = []
        reader = threading.Thread(target=lambda: shown.append(tail.stdout.readline()))  # type: ignore[union-attr] # piped
        reader.start()
        while reader.is_alive():
            server.signed("CreateKey", {})
            reader.join(0.2)
        tail.kill()
    assert " CreateKey allowed " in shown[0]
    server.stop()
