# SPDX-License-Identifier: Apache-2.0
"""8,000 connections that are slow, huge, malformed or half-open: the server's memory stays within a bound, and clients
that are known are served meanwhile, those that come anew among them."""

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import flood
import metrics
import pytest
from botocore.config import Config
from metrics import Scrape
from processes import Serve, complaints, connections, processes, status

from keyquorum.server.front import Limits

CONNECTIONS = 8_000
SECONDS = 30.0
#: In KiB. What one process may come to have beside what it had before: bodies, and so much for each connection, of
#: which a second set may still be on its way out; and what the allocator keeps of it.
ROOM = int(1.5 * (Limits().held_bytes // 1024 + 2 * Limits().connections * 20))


class Sampler(threading.Thread):
    """The most memory that a process had, in KiB, and the most connections of a server."""

    def __init__(self, server: Any) -> None:
        super().__init__()
        self._server = server
        self._stop_now = threading.Event()
        self.memory = 0
        self.connections = 0

    def run(self) -> None:
        while not self._stop_now.wait(0.1):
            self.memory = max(self.memory, *(status(pid, "VmRSS") for pid in processes(self._server)))
            self.connections = max(self.connections, connections(self._server))

    def stop(self) -> None:
        self._stop_now.set()
        self.join()


def _good(server: Any, key_id: str, over: threading.Event, lasting: bool, told: list[Any]) -> None:
    """A client as SDKs make them: it tries again what was cut off. ``lasting``: on one connection, or each call on a
    new one. Of a call, it tells how many tries it took."""
    retries = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=10)
    kms = server.client(config=retries)
    while not over.wait(0.1):
        if not lasting:
            kms = server.client(config=retries)
        answer = kms.encrypt(KeyId=key_id, Plaintext=b"x")
        told.append(answer["ResponseMetadata"]["RetryAttempts"])
        if not lasting:
            kms.close()


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_flood_is_endured(serve: Serve, workers: str) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS + 1000:
        assert "CI" not in os.environ, "the limit of open files is too low"
        pytest.skip("the limit of open files is too low")
    server = serve("--metrics-port", "0", "--workers", workers)
    kms = server.client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(50):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
    before = max(status(pid, "VmRSS") for pid in processes(server))

    sampler = Sampler(server)
    over = threading.Event()
    served: dict[bool, list[Any]] = {True: [], False: []}
    clients = [
        threading.Thread(target=_good, args=(server, key_id, over, lasting, served[lasting]))
        for lasting in (True, True, False, False)
    ]
    attack = subprocess.Popen(
        [sys.executable, flood.__file__, server.host, str(server.port), str(CONNECTIONS), str(SECONDS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for thread in (sampler, *clients):
            thread.start()
        output, _ = attack.communicate(timeout=SECONDS + 60)
    finally:
        attack.kill()
        over.set()
        for thread in clients:
            thread.join()
        sampler.stop()
    told = json.loads(output)
    scrape = Scrape(server)
    evicted = scrape.value("keyquorum_connections_evicted_total", reason="unknown")
    print(
        f"\n{workers} worker(s): opened {told['opened']}, at once {told['peak']}, answered {told['answered']}; "
        f"server held {sampler.connections} connections at most and evicted {evicted:.0f}; "
        f"memory {before} -> {sampler.memory} KiB (may be {before + ROOM}); "
        f"served {len(served[True])} on lasting and {len(served[False])} on new connections, "
        f"{sum(served[True])} and {sum(served[False])} tries again"
    )

    assert attack.returncode == 0
    assert told["opened"] >= CONNECTIONS
    assert sampler.memory < before + ROOM
    # Clients that are known keep their connections, and are never cut off; new ones get in.
    assert served[True]
    assert sum(served[True]) == 0
    assert len(served[False]) > 20
    # In good order afterwards.
    assert scrape.value("keyquorum_connections") <= int(workers) * Limits().connections
    metrics.until(server, lambda s: s.value("keyquorum_held_bytes") == 0)
    assert server.client().encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"]
    assert complaints(server) == []
    assert Path(f"/proc/{server._process.pid}").exists()
