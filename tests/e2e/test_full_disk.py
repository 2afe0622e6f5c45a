# SPDX-License-Identifier: Apache-2.0
"""A full disk refuses changes before they commit, with a clear error, and loses no record."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_lines import written
from direct import ACCOUNT, Direct
from disks import fill, small_disk
from servers import Production, run

from keyquorum.app import Service
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify
from keyquorum.config import Settings
from keyquorum.errors import DependencyTimeoutException
from keyquorum.model import Answer

pytestmark = pytest.mark.slow

_STATEMENT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*"}
LONG = json.dumps({"Version": "2012-10-17", "Statement": [{**_STATEMENT, "Resource": "*"}] * 250})
SAID = "The audit log cannot be written, so the request is refused and nothing was changed."


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as disk:
        yield disk


class Server:
    """A service with the audit log on ``disk``, and the data on another if that is ``data``."""

    def __init__(self, disk: Path, data: Path) -> None:
        self.audit = data / "audit"
        if not self.audit.exists():
            data.mkdir(exist_ok=True)
            if data.parent != disk:
                (disk / "audit").mkdir(exist_ok=True)
                self.audit.symlink_to(disk / "audit")
        self.service = Service(Settings(data=data, development=True))
        self.kms = Direct(self.service)

    def keys(self) -> list[str]:
        found, page = [], self.kms("ListKeys", Limit=1000).body
        found += page["Keys"]
        while page["Truncated"]:
            page = self.kms("ListKeys", Limit=1000, Marker=page["NextMarker"]).body
            found += page["Keys"]
        return sorted(key["KeyId"] for key in found)

    def commit(self, answer: Answer) -> None:
        """What the server does before the answer leaves."""
        if answer.record is not None:
            self.service.pipeline.write_records([answer.record])

    def created(self) -> list[str]:
        """The keys whose creation is recorded."""
        return sorted(
            record["resources"][0]["ARN"].rpartition("/")[2]
            for record in written(self.audit)
            if record["eventName"] == "CreateKey" and "errorCode" not in record
        )

    def problems(self) -> list[Any]:
        self.service.audit.state()
        return verify(self.audit, Verifier(self.service.audit.public_key)).problems


@pytest.mark.parametrize("shared", [False, True], ids=["the log's alone", "the database's too"])
def test_a_full_disk(disk: Path, tmp_path: Path, shared: bool, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(disk, disk / "data" if shared else tmp_path / "data")
    before = [server.kms.key() for _ in range(3)]
    filler = fill(disk)
    refused = 0
    for _ in range(10_000):  # changes use up what was kept for them
        told = server.kms("CreateKey", Policy=LONG)
        if told.code is None:
            before.append(told.body["KeyMetadata"]["KeyId"])
            continue
        assert told.code == "DependencyTimeoutException"
        refused += 1
        if refused == 5:
            break
    assert refused == 5
    if not shared:
        assert told.message == SAID
        assert "the audit log cannot be written: [Errno 28] No space left on device" in caplog.text
    assert server.keys() == server.created() == sorted(before)
    if not shared:  # what changes nothing is refused as well: no record, no answer
        with pytest.raises(DependencyTimeoutException, match="The audit log cannot be written"):
            server.commit(server.kms("ListKeys").answer)
    filler.unlink()
    after = [server.kms.key() for _ in range(3)]
    server.commit(server.kms("ListKeys").answer)
    assert server.keys() == server.created() == sorted(before + after)
    assert server.problems() == []
    server.service.close()


def test_changes_that_have_committed_find_room_when_reads_find_none(disk: Path, tmp_path: Path) -> None:
    server = Server(disk, tmp_path / "data")
    key_id = server.kms.key()
    fill(disk)
    answer = server.kms("DescribeKey", KeyId=key_id).answer
    with pytest.raises(DependencyTimeoutException):
        any(map(server.commit, itertools.repeat(answer)))
    codes = [server.kms("CreateKey").code for _ in range(5)]
    assert codes[-4:] == ["DependencyTimeoutException"] * 4
    events = len(written(server.audit))
    # What the margin is for: changes that had passed before others took the last room.
    server.service.audit.log.write_reserved([answer.record or b""] * 1000)
    assert len(written(server.audit)) == events + 1000
    assert server.problems() == []
    server.service.close()


def test_clients_are_told_of_a_full_disk(disk: Path, tmp_path: Path) -> None:
    (disk / "audit").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "audit").symlink_to(disk / "audit")
    server = Production(tmp_path)
    key_id = server.signed("CreateKey", {}).json["KeyMetadata"]["KeyId"]
    encrypt = {"KeyId": key_id, "Plaintext": "YQ==", "EncryptionContext": {"long": "x" * 8000}}
    filler = fill(disk)
    answers = (server.signed("Encrypt", encrypt) for _ in range(5000))
    refused = next(answer for answer in answers if answer.status != 200)
    assert (refused.fault, refused.json["message"]) == ((500, "DependencyTimeoutException"), SAID)
    while (refused := server.signed("DisableKey", {"KeyId": key_id})).status == 200:
        pass
    assert (refused.fault, refused.json["message"]) == ((500, "DependencyTimeoutException"), SAID)
    filler.unlink()
    assert server.signed("EnableKey", {"KeyId": key_id}).status == 200
    assert server.signed("Encrypt", encrypt).status == 200
    server.stop()
    run("audit", "verify", "--data", str(server.data))
    # What is said of a full disk must not fill the one that the server's own log is on.
    said = server.stderr.read_text()
    assert "answers withheld: The audit log cannot be written" in said
    assert "Traceback" not in said
