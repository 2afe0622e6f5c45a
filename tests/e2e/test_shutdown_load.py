# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load: what was sent before it is answered, what was answered is there, and there is an end to it."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import Production, behind_its_back, signed_request

pytestmark = pytest.mark.slow


class Sent(NamedTuple):
    """A request: when its last byte was given to the kernel (monotonic), and what came back."""

    at: float
    status: int | None
    key_id: str | None


def receive(sock: socket.socket) -> tuple[int | None, bytes]:
    """Status and body of one answer; None if the connection ended before it."""
    data = b""
    with suppress(OSError):
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return None, b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        [length] = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        while len(body) < length:
            piece = sock.recv(65536)
            if not piece:
                return None, b""
            body += piece
        return int(head.split()[1]), body
    return None, b""


def last(sock: socket.socket) -> tuple[int | None, bytes]:
    with sock:
        return receive(sock)


def create(server: Production, number: int = 0) -> bytes:
    return signed_request(server.url, server.root, "CreateKey", json.dumps({"Description": f"{number}"}).encode())


def key_of(body: bytes) -> str:
    return str(json.loads(body)["KeyMetadata"]["KeyId"])


class Client(threading.Thread):
    """Makes keys, one after the other: on one connection, or on a new one each time."""

    def __init__(self, server: Production, *, keeps: bool) -> None:
        super().__init__()
        self.server, self.keeps = server, keeps
        self.sent: list[Sent] = []

    def run(self) -> None:
        request = create(self.server)
        sock: socket.socket | None = None
        while True:
            try:
                if sock is None:
                    sock = socket.create_connection((self.server.host, self.server.port))
                    sock.settimeout(60)
                sock.sendall(request)
            except OSError:
                break
            at = time.monotonic()
            status, body = receive(sock)
            self.sent.append(Sent(at, status, key_of(body) if status == 200 else None))
            if status != 200:
                break
            if not self.keeps:
                sock.close()
                sock = None
        if sock is not None:
            sock.close()


def keys(server: Production) -> set[str]:
    pages = server.client().get_paginator("list_keys").paginate()
    return {key["KeyId"] for page in pages for key in page["Keys"]}


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_sent_before_the_signal_are_answered(start: Callable[..., Production], workers: int) -> None:
    server = start("--workers", str(workers))
    clients = [Client(server, keeps=number % 2 == 0) for number in range(12)]
    for client in clients:
        client.start()
    while sum(len(client.sent) for client in clients) < 100:
        time.sleep(0.01)
    signalled = time.monotonic()
    os.kill(server._process.pid, signal.SIGTERM)
    assert server._process.wait(60) in (0, -signal.SIGTERM)
    for client in clients:
        client.join(60)
        assert not client.is_alive()
    sent = [each for client in clients for each in client.sent]
    assert [each for each in sent if each.at < signalled and each.status != 200] == []
    assert {each.status for each in sent} <= {200, None}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))
    answered = {each.key_id for each in sent if each.key_id is not None}
    there = keys(start())
    assert answered <= there
    # Nobody was told of the rest, which were made and not answered in time: one for each client at most.
    assert len(there - answered) <= len(clients)


def waiting(server: Production, count: int) -> list[socket.socket]:
    """Connections with a request each, which wait for the database's lock or for a thread that does."""
    sockets = []
    for number in range(count):
        sock = socket.create_connection((server.host, server.port))
        sock.settimeout(60)
        sock.sendall(create(server, number))
        sockets.append(sock)
    time.sleep(1)
    return sockets


@pytest.mark.sqlite
def test_what_waits_is_finished_and_what_is_idle_is_closed(start: Callable[..., Production]) -> None:
    server = start("--lock-timeout", "30")
    idle = socket.create_connection((server.host, server.port))
    with behind_its_back(server.database) as lock:
        lock.execute("BEGIN IMMEDIATE")
        sockets = waiting(server, 40)
        os.kill(server._process.pid, signal.SIGTERM)
        idle.settimeout(30)
        with idle:
            assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port))
        lock.execute("ROLLBACK")
    answers = [last(sock) for sock in sockets]
    assert [status for status, _ in answers] == [200] * 40
    assert server._process.wait(60) in (0, -signal.SIGTERM)
    assert {key_of(body) for _, body in answers} <= keys(start())


@pytest.mark.sqlite
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("how", ["second signal", "deadline"])
def test_there_is_an_end_to_it(start: Callable[..., Production], how: str, workers: int) -> None:
    """The queue alone would take minutes: some sixteen at a time wait two seconds each for a lock that is never let go.
    What runs when waiting ends is ended whole, and the rest has no effect."""
    seconds = "1" if how == "deadline" else "600"
    server = start("--workers", str(workers), "--lock-timeout", "2", "--shutdown-seconds", seconds)
    with behind_its_back(server.database) as lock:
        lock.execute("BEGIN IMMEDIATE")
        sockets = waiting(server, 600)
        os.kill(server._process.pid, signal.SIGTERM)
        if how == "second signal":
            time.sleep(1.5)
            assert server._process.poll() is None
            os.kill(server._process.pid, signal.SIGTERM)
        assert server._process.wait(30) in (0, -signal.SIGTERM)
        answers = [last(sock)[0] for sock in sockets]
        lock.execute("ROLLBACK")
    assert set(answers) <= {500, None}  # DependencyTimeoutException, or nothing
    assert None in answers
    again = start()
    assert keys(again) == set()
    assert again.signed("CreateKey", {}).status == 200


def serving(pid: int) -> list[int]:
    """The workers that have come so far as to handle SIGHUP, which is the last that they do before they serve."""
    found = []
    for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        [caught] = [line for line in Path(f"/proc/{word}/status").read_text().splitlines() if line.startswith("SigCgt")]
        if int(caught.split()[1], 16) & 1 << (signal.SIGHUP - 1):
            found.append(int(word))
    return found


def test_a_terminal_sends_its_signal_to_all_at_once(tmp_path: Path, start: Callable[..., Production]) -> None:
    """Ctrl+C reaches the workers and their supervisor, whose signal is not taken for a second one."""
    server = start("--workers", "2")
    pid = server._process.pid
    while len(workers := serving(pid)) < 2:
        time.sleep(0.05)
    client = Client(server, keeps=True)
    client.start()
    while len(client.sent) < 5:
        time.sleep(0.01)
    signalled = time.monotonic()
    for each in (*workers, pid):
        os.kill(each, signal.SIGINT)
    assert server._process.wait(60) == 0
    client.join(60)
    assert [each for each in client.sent if each.at < signalled and each.status != 200] == []
    assert "Traceback" not in server.stderr.read_text()
