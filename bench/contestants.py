# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured, each a process on the loopback address and on a core of its own; ended by its ID."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import load
import signing
from signing import Access

HERE = Path(__file__).parent
REGION = "us-east-1"
# The core of the servers and that of the load; the same one if there is no other. Read before anything is pinned.
_ALLOWED = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _ALLOWED[0], _ALLOWED[1 % len(_ALLOWED)]
_URL = re.compile(r"http://([0-9.]+):(\d+)\b")
_ACCESS = Access("AKIABENCHBENCHBENCH1", "bench/not-a-secret/bench/not-a-secret/bc", REGION)
_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'


class Contestant:
    """A running server. ``keys``: IDs of its keys; empty for one that has none."""

    def __init__(self, command: list[str], log: Path, access: Access = _ACCESS) -> None:
        """Raises RuntimeError if it does not say where it listens."""
        self.access = access
        self.keys: list[str] = []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYQUORUM_")}
        with log.open("wb") as output:
            # What starts on a core stays there, with every thread that it will start.
            os.sched_setaffinity(0, {SERVER_CORE})
            try:
                self._process = subprocess.Popen(
                    [sys.executable, *command], env=environment, stdout=output, stderr=subprocess.STDOUT
                )
            finally:
                os.sched_setaffinity(0, {LOAD_CORE})
        while (url := _URL.search(log.read_text())) is None:
            if self._process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} did not start: {log.read_text()}")
            time.sleep(0.001)
        self.address = (url[1], int(url[2]))
        self.host = f"{url[1]}:{url[2]}"

    def cpu_seconds(self) -> float:
        """What the process has used so far, in user and in system mode; in steps of a clock tick, 10 ms."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def sign(self, operation: str, bodies: list[bytes]) -> list[bytes]:
        return signing.sign(self.access, self.host, operation, bodies)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)


def seed(path: Path, keys: list[str]) -> None:
    """A seed file of the keys, and of the user whose access key signs the requests."""
    tables = [
        f"[[user]]\nname = 'bench'\naccess_key_id = '{_ACCESS.access_key_id}'\n"
        f"secret_access_key = '{_ACCESS.secret}'\npolicy = '{_POLICY}'\n",
        *(f"[[key]]\nid = '{key}'\n" for key in keys),
    ]
    path.write_text("\n".join(tables))


def keyquorum(data: Path, *, seeded: Path | None = None) -> Contestant:
    """In production mode: the database in a file, verification and audit on. ``seeded``: keys made at the start."""
    command = ["-m", "keyquorum", "serve", "--data", str(data), "--port", "0", "--region", REGION]
    if seeded is not None:
        command += ["--seed", str(seeded)]
    return Contestant(command, data.with_suffix(".log"))


def new_key_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def constant(size: int, log: Path) -> Contestant:
    return Contestant([str(HERE / "constant.py"), str(size)], log)


def moto(count: int, log: Path) -> Contestant:
    """With ``count`` keys, made through its API."""
    server = Contestant(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], log)
    try:
        made = load.run(server.address, server.sign("CreateKey", [b"{}"] * count))
        server.keys = [json.loads(answer)["KeyMetadata"]["KeyId"] for answer in made.answers]
    except BaseException:
        server.stop()
        raise
    return server
