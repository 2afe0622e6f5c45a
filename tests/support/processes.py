# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of a server's processes, and what the server left on the disk."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servers import Production, Program

Serve = Callable[..., Production]


def processes(server: Program) -> list[int]:
    """The server's process and those that it started, by ID."""
    found = [server._process.pid]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def kill_all(server: Program) -> None:
    """``kill -9`` of all its processes, if they still run: the first one first, which would replace the others."""
    if server._process.poll() is None:
        for pid in processes(server):
            os.kill(pid, signal.SIGKILL)
    server.kill()


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def status(pid: int, name: str) -> int:
    """A number of /proc/PID/status: ``VmRSS`` in KiB, ``Threads``."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def open_files(pid: int) -> list[str]:
    """What its file descriptors lead to."""
    shown = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            shown.append(os.readlink(entry))
        except FileNotFoundError:
            continue  # closed meanwhile
    return shown


def connections(server: Program) -> int:
    """Those that the server has not closed, in whichever process. Source: proc(5), /proc/net/tcp."""
    established, close_wait = "01", "08"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{server.port:04X}") and row[3] in (established, close_wait) for row in rows)


def audit_records(data: Path) -> list[dict[str, Any]]:
    """All audit records in a data directory; fails on a line that is not a whole record."""
    records = []
    for file in sorted((data / "audit").glob("[0-9]*.jsonl")):
        content = file.read_bytes()
        assert content == b"" or content.endswith(b"\n"), f"{file.name} ends in a torn line"
        records += [json.loads(line) for line in content.splitlines()]
    return records


def complaints(server: Program) -> list[str]:
    """The lines of the server's log that tell of a fault of its own."""
    return [line for line in server.stderr.read_text().splitlines() if re.search(r"Traceback| (ERROR|CRITICAL) ", line)]
