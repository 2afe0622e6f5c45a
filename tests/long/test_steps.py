# SPDX-License-Identifier: Apache-2.0
"""A change is interrupted before each of the system calls by which it is made: by ``kill -9``, by a disk that is full
for that one call, and by one that is full from then on. The change and its record are both there, or both not."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from audit_lines import written
from direct import Direct
from servers import environment

from keyquorum.app import Service
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify
from keyquorum.config import Settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CALLS = "write,pwrite64,fsync,fdatasync,ftruncate,fallocate"
MOST = 60

# Ends with 0 if the change was answered, with 3 if it was refused.
CHILD = """
import os, sys
from pathlib import Path
from direct import Direct
from keyquorum.app import Service
from keyquorum.config import Settings
service = Service(Settings(data=Path(sys.argv[1]), development=True))
kms = Direct(service)
kms("ListKeys")
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
told = kms("CreateKey")
os._exit(0 if told.code is None else 3)
"""

KINDS = {
    "killed": f"inject={CALLS}:signal=SIGKILL:when=%d",
    "full once": "inject=write,pwrite64,fallocate:error=ENOSPC:when=%d",
    "full from then on": "inject=write,pwrite64,fallocate:error=ENOSPC:when=%d+",
}


def change(data: Path, injection: str) -> int:
    """Make the change under strace: how the process ended."""
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), environment().get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment(), "PYTHONPATH": path},
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", injection, "-p", str(child.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    status = Path(f"/proc/{child.pid}/status")
    while "TracerPid:\t0" in status.read_text():
        if strace.poll() is not None:
            child.kill()
            assert strace.stderr is not None
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"strace may not attach: {strace.stderr.read()}")
    child.stdin.write("\n")
    child.stdin.close()
    ended = child.wait(60)
    strace.wait(60)
    child.stdout.close()
    assert strace.stderr is not None
    strace.stderr.close()
    return ended


def check(data: Path, answered: int, least: int) -> int:
    """As the next process finds it: how many keys there are."""
    service = Service(Settings(data=data, development=True))
    kms = Direct(service)
    keys = sorted(key["KeyId"] for key in kms("ListKeys", Limit=1000).body["Keys"])
    service.close()
    made = [r for r in written(data / "audit") if r["eventName"] == "CreateKey" and "errorCode" not in r]
    assert sorted(record["resources"][0]["ARN"].rpartition("/")[2] for record in made) == keys
    assert least <= len(keys) <= least + 1
    assert len(keys) == least + 1 or not answered
    report = verify(data / "audit", Verifier(service.audit.public_key))
    assert (report.problems, report.unfinished, report.uncovered) == ([], [], 0)
    return len(keys)


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_before_each_step(tmp_path: Path, kind: str) -> None:
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")
    data = tmp_path / "data"
    Service(Settings(data=data, development=True)).close()
    keys = 0
    for step in range(1, MOST):
        ended = change(data, KINDS[kind] % step)
        assert ended in (0, 3, -signal.SIGKILL)
        keys = check(data, ended == 0, keys)
        if ended == 0 and step > 8:
            break  # it was through before its step came
    else:
        pytest.fail("the change makes more calls than were tried")
    assert step > 8
