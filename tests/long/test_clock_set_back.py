# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set back an hour under a running server, and put right again: nothing that was answered is
lost, nothing happens before its date, and the server goes on by itself."""

import base64
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from processes import Serve, audit_records, complaints
from servers import Production, code_of, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

_LIBRARIES = (Path("/usr/lib/x86_64-linux-gnu/faketime"), Path("/usr/lib/aarch64-linux-gnu/faketime"))
_HOUR = timedelta(hours=1)
PLAINTEXT = b"before the clock was set back"


class SetClock:
    """The wall clock of the programs that are started from now on; other clocks stay what they are."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [library for at in _LIBRARIES if (library := at / "libfaketimeMT.so.1").exists()]
        if not found:
            assert not os.environ.get("CI"), "libfaketime is not there"
            pytest.skip("libfaketime is not there")
        self._file = file
        self.to("+0")
        for name, value in {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }.items():
            monkeypatch.setenv(name, value)

    def to(self, offset: str) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(offset)
        draft.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return SetClock(tmp_path / "clock", monkeypatch)


def test_an_hour_back_and_forth_again(serve: Serve, clock: SetClock) -> None:
    server = serve()
    kms = server.client()
    key, doomed = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    ciphertext = kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    date = kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)["DeletionDate"]
    used = kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]["Timestamp"]

    clock.to("-1h")
    # Signatures of the right time are of the future here, and those of this clock are of the past everywhere else.
    with pytest.raises(ClientError) as caught:
        kms.decrypt(CiphertextBlob=ciphertext)
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert "not yet current" in caught.value.response["Error"]["Message"]
    _wait_for_jobs()

    clock.to("+0")
    assert kms.decrypt(CiphertextBlob=ciphertext)["Plaintext"] == PLAINTEXT
    assert kms.describe_key(KeyId=doomed)["KeyMetadata"]["DeletionDate"] == date
    assert kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]["Timestamp"] >= used
    _is_whole(server)


def test_a_server_that_starts_an_hour_behind(serve: Serve, clock: SetClock) -> None:
    """It knows no better, and nothing that it does then is wrong once its clock is right."""
    first = serve()
    kms = first.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    ciphertext = kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key)
    due = kms.get_key_rotation_status(KeyId=key)["NextRotationDate"]
    first.stop()
    clock.to("-1h")
    behind = serve()
    assert code_of(behind.client().describe_key, KeyId=key) == "InvalidSignatureException"
    _wait_for_jobs()
    clock.to("+0")
    again = behind.client()
    assert again.decrypt(CiphertextBlob=ciphertext)["Plaintext"] == PLAINTEXT
    assert again.get_key_rotation_status(KeyId=key)["NextRotationDate"] == due
    assert due - datetime.now(UTC) > _HOUR
    _is_whole(behind)


def _wait_for_jobs() -> None:
    """They run each second."""
    time.sleep(2.5)


def _is_whole(server: Production) -> None:
    server.stop()
    # What was set back is set forward again, and that is what a server must not delete keys by.
    assert [line for line in complaints(server) if "the clock jumped" not in line] == []
    assert audit_records(server.data)
    told = run("audit", "verify", "--data", str(server.data))
    assert told.returncode == 0, told.stdout
    assert base64.b64encode(PLAINTEXT).decode() not in told.stdout
