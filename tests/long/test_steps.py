# SPDX-License-Identifier: Apache-2.0
"""A change is interrupted before each of the system calls by which it is made: by ``kill -9``, on SQLite and, where
those are messages to the server, on PostgreSQL; by a disk that is full for that one call, and by one that is full from
then on. The change and its record are both there, or both not; and what is there is whole."""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from audit_lines import written
from direct import Direct, Told
from matrix import wrap
from postgres import fresh_database
from regions import ask
from servers import environment

from keyquorum.app import Service
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify
from keyquorum.config import Settings
from keyquorum.model import HttpRequest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: strace counts each of them by itself.
DISK: Final = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate")
ROOM: Final = ("write", "pwrite64", "fallocate")
MESSAGES: Final = ("sendto", "write", "fsync", "fdatasync", "fallocate")
MOST: Final = 60
AWAY: Final = "eu-west-1"
_ALGORITHM: Final = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}

# A process that has imported everything makes another for each change: that one says who it is, is told what to do once
# it is traced, and ends with 0 if the change was answered, with 3 if it was refused.
PARENT = """
import json, os, sys, time
from pathlib import Path
from direct import Direct
from keyquorum.app import Service
from keyquorum.config import Settings

def line():
    found = b""
    while not found.endswith(b"\\n"):
        piece = os.read(0, 1)
        if not piece:
            os._exit(0)
        found += piece
    return found

def change():
    service = Service(Settings(data=Path(sys.argv[1]), database=sys.argv[2] or None, development=True))
    if service.follower is not None:
        service.follower.start()
    kms = Direct(service)
    while kms("ListKeys").code is not None:
        time.sleep(0.01)
    print(os.getpid(), flush=True)
    operation, members = json.loads(line())
    os._exit(0 if kms(operation, **members).code is None else 3)

while line():
    pid = os.fork()
    if pid == 0:
        change()
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Subject(NamedTuple):
    """A key that waits for the change: what is asked for, and a ciphertext from before, if there is one."""

    key_id: str
    members: dict[str, Any]
    ciphertext: str = ""


def _use(kms: Direct, key_id: str, ciphertext: str = "") -> None:
    """It encrypts, and decrypts what was encrypted before."""
    made = ciphertext or kms("Encrypt", KeyId=key_id, Plaintext=b"x").body["CiphertextBlob"]
    assert kms("Decrypt", CiphertextBlob=made).body["Plaintext"] == "eA=="


def _encrypted(kms: Direct, key_id: str) -> str:
    return str(kms("Encrypt", KeyId=key_id, Plaintext=b"x").body["CiphertextBlob"])


def to_create(kms: Direct) -> Subject:
    return Subject("", {"Description": f"{len(kms('ListKeys', Limit=1000).body['Keys'])}"})


def created(kms: Direct, subject: Subject) -> bool:
    keys = [key["KeyId"] for key in kms("ListKeys", Limit=1000).body["Keys"]]
    found = [key_id for key_id in keys if _described(kms, key_id)["Description"] == subject.members["Description"]]
    for key_id in found:
        _use(kms, key_id)
        assert kms("GetKeyPolicy", KeyId=key_id).body["Policy"]
    assert len(found) <= 1
    return bool(found)


def to_rotate(kms: Direct) -> Subject:
    key_id = kms.key()
    return Subject(key_id, {"KeyId": key_id}, _encrypted(kms, key_id))


def rotated(kms: Direct, subject: Subject) -> bool:
    _use(kms, subject.key_id, subject.ciphertext)
    _use(kms, subject.key_id)
    rotations = kms("ListKeyRotations", KeyId=subject.key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL").body["Rotations"]
    assert len(rotations) in (1, 2)
    assert sum(rotation["KeyMaterialState"] == "CURRENT" for rotation in rotations) == 1
    return len(rotations) == 2


def to_import(kms: Direct) -> Subject:
    key_id = kms.key(Origin="EXTERNAL")
    parameters = kms("GetParametersForImport", KeyId=key_id, **_ALGORITHM).body
    public = base64.b64decode(parameters["PublicKey"])
    wrapped = base64.b64encode(wrap(public, _ALGORITHM["WrappingAlgorithm"], os.urandom(32))).decode()
    how = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", "ImportToken": parameters["ImportToken"]}
    return Subject(key_id, {"KeyId": key_id, "EncryptedKeyMaterial": wrapped, **how})


def imported(kms: Direct, subject: Subject) -> bool:
    if _described(kms, subject.key_id)["KeyState"] == "Enabled":
        _use(kms, subject.key_id)
        return True
    assert kms("Encrypt", KeyId=subject.key_id, Plaintext=b"x").code == "KMSInvalidStateException"
    assert _described(kms, subject.key_id)["KeyState"] == "PendingImport"
    return False


def to_replicate(kms: Direct) -> Subject:
    key_id = kms.key(MultiRegion=True)
    return Subject(key_id, {"KeyId": key_id, "ReplicaRegion": AWAY}, _encrypted(kms, key_id))


def replicated(kms: Direct, subject: Subject) -> bool:
    key_id = subject.key_id

    def there(operation: str, **members: Any) -> Told:
        return ask(kms, AWAY, operation, **members)

    replicas = _described(kms, key_id)["MultiRegionConfiguration"]["ReplicaKeys"]
    found = there("DescribeKey", KeyId=key_id)
    assert (found.code, len(replicas)) in ((None, 1), ("NotFoundException", 0))
    if found.code is None:
        opened = there("Decrypt", KeyId=key_id, CiphertextBlob=base64.b64decode(subject.ciphertext))
        assert opened.body["Plaintext"] == "eA=="
        assert there("GetKeyPolicy", KeyId=key_id).body["Policy"]
    return found.code is None


def _described(kms: Direct, key_id: str) -> dict[str, Any]:
    return dict(kms("DescribeKey", KeyId=key_id).body["KeyMetadata"])


class Change(NamedTuple):
    """``prepare`` makes a key that waits for it; ``made`` is whether it was made, and fails where that is not clear."""

    operation: str
    prepare: Callable[[Direct], Subject]
    made: Callable[[Direct, Subject], bool]


CHANGES: Final = {
    "creation": Change("CreateKey", to_create, created),
    "rotation": Change("RotateKeyOnDemand", to_rotate, rotated),
    "import": Change("ImportKeyMaterial", to_import, imported),
    "replication": Change("ReplicateKey", to_replicate, replicated),
}

INJECTED: Final = {
    "killed": "inject={call}:signal=SIGKILL:when={step}",
    "full once": "inject={call}:error=ENOSPC:when={step}",
    "full from then on": "inject={call}:error=ENOSPC:when={step}+",
}
CALLS: Final = {
    ("sqlite", "killed"): DISK,
    ("postgresql", "killed"): MESSAGES,
    ("sqlite", "full once"): ROOM,
    ("sqlite", "full from then on"): ROOM,
}
ROWS: Final = [
    *((change, "sqlite", "killed") for change in CHANGES),
    *((change, "postgresql", "killed") for change in CHANGES),
    *(("creation", "sqlite", kind) for kind in INJECTED if kind != "killed"),
]


class Forks:
    """What makes the processes that make a change."""

    def __init__(self, settings: Settings) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), environment().get("PYTHONPATH", "")])
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(settings.data), settings.database or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment(), "PYTHONPATH": path},
            bufsize=0,
        )
        assert settings.data is not None
        self._trace = settings.data.with_name("trace")
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._to, self._from = self._parent.stdin, self._parent.stdout

    def change(self, asked: bytes, call: str, injection: str) -> tuple[int, bool]:
        """Make the change under strace: how the process ended, as ``subprocess`` has it, and whether it was
        interrupted."""
        self._to.write(b"\n")
        pid = int(self._line())
        strace = subprocess.Popen(
            ["strace", "-qq", "-o", str(self._trace), "-e", f"trace={call}", "-e", injection, "-p", str(pid)],
            stderr=subprocess.PIPE,
            text=True,
        )
        status = Path(f"/proc/{pid}/status")
        while "TracerPid:\t0" in status.read_text():
            if strace.poll() is not None:
                os.kill(pid, signal.SIGKILL)
                assert strace.stderr is not None
                (pytest.fail if os.environ.get("CI") else pytest.skip)(f"strace may not attach: {strace.stderr.read()}")
        self._to.write(asked)
        ended = os.waitstatus_to_exitcode(int(self._line()))
        strace.wait(60)
        assert strace.stderr is not None
        strace.stderr.close()
        return ended, ended == -signal.SIGKILL or "(INJECTED)" in self._trace.read_text()

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            piece = self._from.read(1)
            assert piece, "the process that makes others has ended"
            line += piece
        return line

    def close(self) -> None:
        self._to.close()
        self._parent.wait(30)
        self._from.close()


class Patient(Direct):
    """It asks again while the machine is too slow for the lease on what is cached."""

    def send(self, http: HttpRequest) -> Told:
        deadline = time.monotonic() + 20
        while (told := super().send(http)).code == "DependencyTimeoutException":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return told


@contextmanager
def opened(settings: Settings) -> Iterator[Direct]:
    """Everything as the next process finds it."""
    service = Service(settings)
    try:
        if service.follower is not None:
            service.follower.start()
        yield Patient(service)
    finally:
        service.close()


def recorded(settings: Settings, change: Change, kms: Direct, made: list[str]) -> None:
    """There is one record of each change that was made, and none of another; and the log is whole."""
    assert settings.data is not None
    records = [each for each in written(settings.data / "audit") if each["eventName"] == change.operation]
    found = [each["resources"][0]["ARN"].rpartition("/")[2] for each in records if "errorCode" not in each]
    if change.operation == "CreateKey":
        made = [key["KeyId"] for key in kms("ListKeys", Limit=1000).body["Keys"]]
    assert sorted(found) == sorted(made)
    report = verify(settings.data / "audit", Verifier(kms.service.audit.public_key))
    assert (report.problems, report.unfinished, report.uncovered) == ([], [], 0)


@pytest.mark.parametrize(("change", "store", "kind"), ROWS)
def test_interrupted_before_each_step(tmp_path: Path, change: str, store: str, kind: str) -> None:
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")
    chosen = CHANGES[change]
    with fresh_database() if store == "postgresql" else nullcontext() as url:
        settings = Settings(data=tmp_path / "data", database=url, development=True)
        with opened(settings) as kms:
            subject = chosen.prepare(kms)
        forks = Forks(settings)
        made, interrupted, unnoticed = list[str](), 0, 0
        try:
            for call in CALLS[store, kind]:
                for step in itertools.count(1):
                    asked = json.dumps([chosen.operation, subject.members]).encode() + b"\n"
                    ended, injected = forks.change(asked, call, INJECTED[kind].format(call=call, step=step))
                    assert ended in (0, 3, -signal.SIGKILL)
                    with opened(settings) as kms:
                        is_made = chosen.made(kms, subject)
                        assert is_made or ended != 0
                        made += [subject.key_id] if is_made else []
                        recorded(settings, chosen, kms, made)
                        subject = chosen.prepare(kms)
                    if not injected:
                        break  # it makes no more calls of these
                    assert step < MOST, "the change makes more calls than were tried"
                    interrupted += 1
                    unnoticed += is_made and ended != 0
        finally:
            forks.close()
    print(f"\n{change} on {store}, {kind}: {interrupted} interruptions, after {unnoticed} of which it was made")
    assert interrupted > 8
    assert unnoticed > 0 or kind != "killed", "it was never interrupted between its commit and its answer"
