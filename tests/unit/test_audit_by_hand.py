# SPDX-License-Identifier: Apache-2.0
"""The documentation says how to verify the log by hand; that is what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from audit_lines import made
from audit_logs import SIGNER

from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.log import AuditLog

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"
SCRIPT = "\n".join(re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
TOOLS = ("jq", "sha256sum", "openssl", "sh")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    if not all(map(shutil.which, TOOLS)):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"one of {TOOLS} is not installed")
    for _ in range(2):
        log = AuditLog.open(tmp_path)
        log.write([made(f"{n} \\u0000 \\ \u2028 %s", user_agent=' "a\\" ') for n in range(3)])
        Checkpoints(tmp_path, SIGNER).make(log, 0.0)
        log.close()
    return tmp_path


def by_hand(directory: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "-c", SCRIPT],
        cwd=directory,
        env={**os.environ, "KEY": SIGNER.public_key()},
        capture_output=True,
        text=True,
    )


def test_a_log_that_is_whole(directory: Path) -> None:
    ended = by_hand(directory)
    assert (ended.returncode, ended.stderr) == (0, "")
    end, stated, verified = ended.stdout.splitlines()
    assert end == f"ends in {stated}"
    assert verified == "Signature Verified Successfully"


def test_a_log_that_was_changed(directory: Path) -> None:
    log = (directory / "0.jsonl").read_bytes()
    (directory / "0.jsonl").write_bytes(log.replace(b"alice", b"mallo", 1))
    assert "does not follow: " in by_hand(directory).stdout


def test_a_checkpoint_that_was_changed(directory: Path) -> None:
    checkpoints = directory / "checkpoints.jsonl"
    checkpoints.write_bytes(checkpoints.read_bytes().replace(b'"writer":0', b'"writer":1'))
    ended = by_hand(directory)
    assert ended.returncode != 0
    assert "Signature Verification Failure" in ended.stdout + ended.stderr
