# SPDX-License-Identifier: Apache-2.0
"""The keyring key is rotated again and again, by programs that are killed at it, while servers work: every key keeps
its material, whoever asks and whichever keyring key it is under."""

import base64
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from direct import Direct
from postgres import fresh_database
from processes import kill_all
from promises import Ledger
from promises_load import Load, clients
from servers import Production, environment, run

from keyquorum.app import Service
from keyquorum.backup.creating import create
from keyquorum.config import Settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: Rotates once more, and kills itself after so many seconds, wherever it is then.
_ROTATE = """
import os, pathlib, signal, sys, threading
from keyquorum.app import Service
from keyquorum.config import Settings
service = Service(Settings(data=pathlib.Path(sys.argv[1]), development=True))
service.rewrapping.rotate(anew=True)
threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
service.rewrapping.run(lambda done: None)
os._exit(0)
"""
KEYS = 1500
KILLS = 25


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Inside batches, between them, before and after the retirement of the old key."""
    data = tmp_path / "data"
    where = Settings(data=data, development=True)
    kms = Direct(Service(where))
    keys = [kms.key() for _ in range(KEYS)]
    ciphertexts = [kms("Encrypt", KeyId=key_id, Plaintext=key_id.encode()).body["CiphertextBlob"] for key_id in keys]
    kms.service.close()
    dice = random.Random(7)
    killed = 0
    for number in range(KILLS):
        ended = subprocess.run([sys.executable, "-c", _ROTATE, str(data), str(dice.random() * 0.8)], timeout=120)
        assert ended.returncode in (0, -signal.SIGKILL)
        killed += ended.returncode != 0
        # Every row carries its MAC, and everything that is wrapped opens.
        assert create(where, tmp_path / f"{number}").damage.found == 0
    assert killed > KILLS // 2
    kms = Direct(Service(where))
    kms.service.rewrapping.run(lambda _: None)
    kms.service.close()
    assert _in_use(data) == [KILLS + 1]
    kms = Direct(Service(where))
    for key_id, ciphertext in zip(keys, ciphertexts, strict=True):
        answer = kms("Decrypt", CiphertextBlob=base64.b64decode(ciphertext))
        assert base64.b64decode(answer.body["Plaintext"]) == key_id.encode()
    kms.service.close()
    run("audit", "verify", "--data", str(data))


def _in_use(data: Path, *options: str) -> list[int]:
    """The keyring keys that are not retired."""
    found = json.loads(run("keyring", "status", "--json", "--data", str(data), *options).stdout)
    return [key["version"] for key in found if key["retired_at"] is None]


@contextmanager
def _two_nodes(tmp_path: Path, database: str) -> Iterator[list[Production]]:
    """On SQLite two servers of one data directory, on PostgreSQL two nodes."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    if database == "sqlite":
        nodes = [Production(first)]
        nodes.append(nodes[0].again())
        try:
            yield nodes
        finally:
            for node in nodes:
                kill_all(node)
        return
    with fresh_database() as url:
        options = ("--database", url)
        nodes = [Production(first, *options)]
        (second / "data").mkdir(mode=0o700)
        shutil.copy2(first / "data" / "seal.key", second / "data")
        nodes.append(Production(second, *options))
        try:
            yield nodes
        finally:
            for node in nodes:
                kill_all(node)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nobody_notices_under_load(tmp_path: Path, database: str) -> None:
    """Ten rotations, most of which are killed, with two servers that create, rotate, use and delete meanwhile."""
    with _two_nodes(tmp_path, database) as nodes:
        data, options = nodes[0].data, nodes[0]._options
        command = [sys.executable, "-m", "keyquorum", "keyring", "rotate", "--anew", "--data", str(data), *options]
        dice, ledger = random.Random(11), Ledger()
        # As SDKs are by default, a few more attempts apart: a node may be short of time.
        with Load(ledger, [node.url for node in nodes], nodes[0].root, attempts=8) as load:
            for _ in range(10):
                child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
                assert child.stdout is not None
                assert "wraps what is new" in child.stdout.readline()
                time.sleep(dice.random() * 0.5)
                child.kill()
                child.wait(30)
                child.stdout.close()
            time.sleep(2)
            rotated = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
            assert rotated.returncode == 0, rotated.stderr
        assert load.failures == []
        assert load.unanswered == 0
        newest = int(rotated.stdout.rstrip(".\n").rpartition(" ")[2])
        assert newest == 12
        assert _in_use(data, *options) == [newest]
        time.sleep(1)  # within which each node knows what was changed at the other
        first, *others = (clients(node.url, nodes[0].root, 8) for node in nodes)
        counted = ledger.check(first, sorted({node.data for node in nodes}), others)
        assert counted["ciphertexts"] > 50
        for node in nodes:
            node.stop()
            run("audit", "verify", "--data", str(node.data), *options)
