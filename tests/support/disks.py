# SPDX-License-Identifier: Apache-2.0
"""A small disk of its own, which a test can fill."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(at: Path, mebibytes: int) -> Iterator[Path]:
    """A tmpfs of this size, mounted for the test. Skips, and in CI fails, where nobody may mount."""
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,uid={os.getuid()},mode=0700", "tmpfs", str(at)]
    before = [] if os.getuid() == 0 else ["sudo", "-n"]
    mounted = subprocess.run([*before, *command], capture_output=True, text=True)
    if mounted.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"a tmpfs cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run([*before, "umount", "--lazy", str(at)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill the disk but for so many bytes: the file that does."""
    filler = disk / "filler"
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
    size = 0
    for block in (1 << 20, 1 << 12):
        while True:
            try:
                size += os.write(fd, bytes(block))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    os.ftruncate(fd, max(0, size - leave))
    os.close(fd)
    return filler
