# SPDX-License-Identifier: Apache-2.0
"""``kill -9`` before each system call by which a seal is exchanged: the root key is sealed by the old seal or by the
new one, whole, and doing it again succeeds."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from seals import secret_file
from servers import run
from stores import environment

from keyquorum.app import open_data
from keyquorum.config import Settings
from keyquorum.custody.seal import SealError

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CALLS = ("fsync", "fdatasync", "pwrite64", "write", "ftruncate", "rename", "link", "unlink")
MOST = 120
STRACE = ("strace", "-f", "-qq", "-o", "/dev/null")


def killed(call: str, step: int, *arguments: str) -> int:
    """The program under strace, killed as it makes this system call for this time: how it ended."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")
    injection = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={step}")
    return subprocess.run(
        (*STRACE, *injection, sys.executable, "-m", "keyquorum", *arguments),
        env=environment(),
        stdout=subprocess.DEVNULL,
        timeout=60,
    ).returncode


def root_of(settings: Settings) -> bytes | None:
    try:
        opened = open_data(settings, create=False)
    except SealError:
        return None
    opened.database.close()
    return opened.root.derive("test")


CHANGES = {
    "rotate": ("rotate",),
    "to file": ("migrate", "--to", "file"),
    "from file for good": ("migrate", "--to", "environment", "--remove-old"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_killed_at_each_step(change: str, tmp_path: Path) -> None:
    key = secret_file(tmp_path / "key", base64.b64encode(bytes(32)).decode())
    file = Settings(data=tmp_path / "data")
    environ = Settings(data=tmp_path / "data", seal=frozenset({"environment"}), seal_environment=key)
    data = ("--data", str(tmp_path / "data"), "--seal", "file,environment", "--seal-environment", key)
    run("seal", "init", *data[:2])
    root = root_of(file)
    assert root is not None
    found: set[str] = set()
    deaths = 0
    for call in CALLS:
        for step in range(1, MOST):
            if change == "to file" and root_of(environ) is None:
                run("seal", "migrate", *data, "--to", "environment")
            elif change == "from file for good" and root_of(file) is None:
                run("seal", "migrate", *data, "--to", "file")
            ended = killed(call, step, "seal", *CHANGES[change], *data)
            opened = {name: root_of(settings) for name, settings in (("file", file), ("environment", environ))}
            assert [value for value in opened.values() if value is not None] == [root]
            found.add(next(name for name, value in opened.items() if value is not None))
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            deaths += 1
        else:
            pytest.fail(f"the change makes more calls of {call} than were tried")
    assert deaths > 8
    run("seal", "migrate", *data, "--to", "passphrase", "--new-seal-passphrase", key)
    records = [json.loads(line) for line in (tmp_path / "data/audit/0.jsonl").read_text().splitlines()]
    changes = [record["serviceEventDetails"] for record in records if record["eventName"] != "InitializeSeal"]
    assert all(later["sealBefore"] == earlier["seal"] for earlier, later in pairwise(changes))  # none is missing
    assert found == ({"file"} if change == "rotate" else {"file", "environment"})
