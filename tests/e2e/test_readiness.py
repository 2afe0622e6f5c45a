# SPDX-License-Identifier: Apache-2.0
"""``/healthz`` and ``/readyz``: what a balancer is told, when the server can answer and when it cannot."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import fill, small_disk
from metrics import Scrape
from servers import Production, Program, behind_its_back, signed_request

Start = Callable[..., Production]
READY = dict.fromkeys(("seal", "database", "schema", "lease", "audit"), "ok")


def ask(server: Program, path: str) -> tuple[int, Any]:
    answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.headers["x-amzn-requestid"]
    return answer.status, json.loads(answer.body)


def until_told(server: Program, status: int, **checks: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        found = ask(server, "/readyz")
        if found == (status, {"ready": status == 200, "checks": READY | checks}):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_a_server_that_answers_is_ready(start: Start, start_dev: Callable[..., Program]) -> None:
    for server in (start(), start_dev()):
        assert ask(server, "/healthz") == (200, {"status": "ok", "sealed": False})
        assert ask(server, "/readyz") == (200, {"ready": True, "checks": READY})


def test_a_schema_that_is_not_ours(start: Start) -> None:
    """Alive all the while; ready again when it is mended, and nothing is told of what was found."""
    server = start()
    with behind_its_back(server.database) as database:
        (was,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = '0001'")
        until_told(server, 503, schema="not this program's")
        assert ask(server, "/healthz")[0] == 200
        database.execute("UPDATE alembic_version SET version_num = ?", (was,))
    until_told(server, 200)


@pytest.mark.sqlite
def test_a_damaged_database(start: Start) -> None:
    server = start()
    with behind_its_back(server.database) as database:
        (was,) = database.execute("SELECT value FROM generation").fetchone()
        database.execute("UPDATE generation SET value = 'MARKED'")
        until_told(server, 503, database="failed")
        assert "MARKED" not in str(ask(server, "/readyz"))
        database.execute("UPDATE generation SET value = ?", (was,))
    until_told(server, 200)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as disk:
        yield disk


@pytest.mark.slow
def test_no_room_for_the_audit_log(disk: Path) -> None:
    server = Production(disk)
    try:
        filler = fill(disk)
        kms = server.connect()
        request = signed_request(server.url, server.root, "GenerateRandom", b'{"NumberOfBytes": 1}')
        while kms.exchange(request).status == 200:  # there is some room ahead
            pass
        until_told(server, 503, audit="cannot be written")
        filler.unlink()
        until_told(server, 200)
        assert server.signed("GenerateRandom", {"NumberOfBytes": 1}).status == 200
        kms.close()
    finally:
        server.stop()


def test_asking_often_costs_little(start: Start) -> None:
    """A round of checks a second at most, whoever asks how often."""
    server = start("--metrics-port", "0")
    ask(server, "/readyz")

    def rounds() -> float:
        return Scrape(server).value("keyquorum_database_wait_seconds_count", kind="read")

    wire = server.connect()
    before, begun = rounds(), time.monotonic()
    for _ in range(500):
        assert wire.exchange(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
    wire.close()
    seconds = time.monotonic() - begun
    # Each round reads twice, and the jobs of each second read besides.
    assert rounds() - before < 100 + 30 * seconds
