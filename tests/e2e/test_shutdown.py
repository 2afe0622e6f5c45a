# SPDX-License-Identifier: Apache-2.0
"""A server that is told to stop while requests wait whose clients have gone: nothing is damaged, nothing is half."""

import json
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from servers import Production, behind_its_back, signed_request
from stores import on_postgresql

RESET = struct.pack("ii", 1, 0)


def request(server: Production, number: int) -> bytes:
    """Mostly what waits for the database's lock; among it what reads, and opens connections of its own."""
    if number < 20 or number % 3 == 0:
        body = json.dumps({"Description": f"number {number}"}).encode()
        return signed_request(server.url, server.root, "CreateKey", body)
    return signed_request(server.url, server.root, "ListKeys", b"{}")


def send_and_go(server: Production, count: int) -> None:
    """Requests whose clients break off before an answer."""
    sockets = []
    for number in range(count):
        sock = socket.create_connection((server.host, server.port))
        sock.sendall(request(server, number))
        sockets.append(sock)
    time.sleep(1)  # they wait by now, in the threads or for one
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
    time.sleep(0.3)


def records(server: Production) -> list[dict[str, Any]]:
    """Every line of every audit file, each of which must be a record."""
    text = "".join(path.read_text() for path in sorted((server.data / "audit").glob("[0-9]*.jsonl")))
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def numbers(server: Production, *queries: str) -> list[int]:
    with behind_its_back(server.database) as other:
        if not on_postgresql():
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert other.execute("PRAGMA foreign_key_check").fetchall() == []
        return [int(other.execute(query).fetchone()[0]) for query in queries]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM], ids=lambda how: how.name
)
@pytest.mark.parametrize("released", [True, False], ids=["lock released", "lock held to the end"])
def test_requests_that_wait_and_whose_clients_have_gone(
    start: Callable[..., Production], how: signal.Signals, released: bool
) -> None:
    server = start()
    assert server.signed("CreateKey", {}).status == 200
    with behind_its_back(server.database) as lock:
        lock.execute("BEGIN IMMEDIATE")
        send_and_go(server, 300)
        server._process.send_signal(how)
        if released:
            time.sleep(1.5)
            lock.execute("ROLLBACK")
        server._process.wait(60)
    keys, waiting = numbers(server, "SELECT count(*) FROM keys", "SELECT count(*) FROM audit_outbox")
    assert keys >= 1
    assert len({record["eventID"] for record in records(server)}) == len(records(server))
    assert "Bad file descriptor" not in server.stderr.read_text()
    again = start()
    # Each key that is there has its record, written by the process that died or by this one, and none has two.
    made = [r for r in records(again) if r["eventName"] == "CreateKey" and "errorCode" not in r]
    assert len(made) == len({record["eventID"] for record in made}) == keys
    assert waiting <= keys
    assert len(again.client().list_keys(Limit=1000)["Keys"]) == keys
    assert again.signed("CreateKey", {}).status == 200
    again.stop()
    assert numbers(again, "SELECT count(*) FROM keys") == [keys + 1]
