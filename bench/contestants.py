# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured, each a process on the loopback address and on a core of its own; ended by its ID."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import load
import signing
from signing import Access

HERE = Path(__file__).parent
REGION = "us-east-1"
LOOPBACK = "127.0.0.1"
_CPU_CLOCK = 2  # of all threads of a process: clock_getcpuclockid(3)
# The core of the servers and that of the load; the same one if there is no other. Read before anything is pinned.
_ALLOWED = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _ALLOWED[0], _ALLOWED[1 % len(_ALLOWED)]
_URL = re.compile(r"http://([0-9.]+):(\d+)\b")
_ACCESS = Access("AKIABENCHBENCHBENCH1", "bench/not-a-secret/bench/not-a-secret/bc", REGION)
_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'


class Contestant:
    """A running server. ``keys``: IDs of its keys; empty for one that has none. ``born``: seconds from its start until
    it took a connection."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        access: Access = _ACCESS,
        *,
        address: tuple[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``address``: of a server that does not print where it listens. Raises RuntimeError if it does not start."""
        self.access = access
        self.keys: list[str] = []
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYQUORUM_")}
        begun = time.perf_counter()
        with log.open("wb") as output:
            # What starts on a core stays there, with every thread that it will start.
            os.sched_setaffinity(0, {SERVER_CORE})
            try:
                self._process = subprocess.Popen(
                    command, env={**inherited, **(environment or {})}, stdout=output, stderr=subprocess.STDOUT
                )
            finally:
                os.sched_setaffinity(0, {LOAD_CORE})
        while address is None or not _listens(address):
            if self._process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} did not start: {log.read_text()}")
            if address is None and (url := _URL.search(log.read_text())) is not None:
                address = (url[1], int(url[2]))
            else:
                time.sleep(0.001)
        self.born = time.perf_counter() - begun
        self.address = address
        self.host = f"{address[0]}:{address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def processes(self) -> list[int]:
        """Its ID, and those of what it started."""
        found = [self._process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """What its processes have used so far, in user and in system mode."""
        return sum(time.clock_gettime((~pid << 3) | _CPU_CLOCK) for pid in self.processes())

    def memory(self, field: str) -> int:
        """Bytes. ``field``: VmRSS for what is resident now, VmHWM for the most that ever was; pages that processes
        share count for each."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.processes()]
        return sum(int(status.partition(f"{field}:")[2].split()[0]) for status in statuses) * 1024

    def sign(self, operation: str, bodies: list[bytes]) -> list[bytes]:
        return signing.sign(self.access, self.host, operation, bodies)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=60)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def free_port() -> int:
    """One for a server that cannot choose for itself."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        return int(taken.getsockname()[1])


def seed(path: Path, keys: list[str]) -> None:
    """A seed file of the keys, and of the user whose access key signs the requests."""
    tables = [
        f"[[user]]\nname = 'bench'\naccess_key_id = '{_ACCESS.access_key_id}'\n"
        f"secret_access_key = '{_ACCESS.secret}'\npolicy = '{_POLICY}'\n",
        *(f"[[key]]\nid = '{key}'\n" for key in keys),
    ]
    path.write_text("\n".join(tables))


def keyquorum(data: Path, *, seeded: Path | None = None, options: Sequence[str] = ()) -> Contestant:
    """In production mode: the database in a file, verification and audit on. ``seeded``: keys made at the start.
    ``options``: more of ``keyquorum serve``."""
    command = [sys.executable, "-m", "keyquorum", "serve", "--data", str(data), "--port", "0", "--region", REGION]
    if seeded is not None:
        command += ["--seed", str(seeded)]
    command += options
    return Contestant(command, data.with_suffix(".log"))


def new_key_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def constant(size: int, log: Path) -> Contestant:
    return Contestant([sys.executable, str(HERE / "constant.py"), str(size)], log)


def moto(count: int, log: Path) -> Contestant:
    """With ``count`` keys, made through its API."""
    server = Contestant([sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", "0"], log)
    try:
        made = load.run(server.address, server.sign("CreateKey", [b"{}"] * count))
        server.keys = [json.loads(answer)["KeyMetadata"]["KeyId"] for answer in made.answers]
    except BaseException:
        server.stop()
        raise
    return server
