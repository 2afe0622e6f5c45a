# SPDX-License-Identifier: Apache-2.0
"""Who is not known yet, whose issuer has to be asked, and what computes for long, waits in a short line of its own;
nobody else waits behind it."""

import os
import threading
from collections.abc import Iterator

import pytest
from http_wire import wait_until

from keyquorum.server.workers import Workers

BOUNDED = {"strangers": 512, "federation": 128, "computing": 64}
CONNECTIONS = 1_000


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2, CONNECTIONS)
    yield made
    made.shutdown()


def wait(leave: threading.Event) -> None:
    assert leave.wait(60)


def fails() -> None:
    raise RuntimeError


def flood(workers: Workers, where: str, leave: threading.Event) -> int:
    """How many are taken until one is not; none of them ends before ``leave``."""
    count = 0
    while workers.submit(where, wait, leave):
        count += 1
        assert count < 10_000
    return count


def run(workers: Workers, where: str) -> bool:
    """Whether what is submitted is taken, and runs to its end."""
    done = threading.Event()
    return workers.submit(where, done.set) and done.wait(30)


@pytest.mark.parametrize("where", BOUNDED)
def test_a_full_line_refuses_and_no_other_waits_for_it(workers: Workers, where: str) -> None:
    leave = threading.Event()
    try:
        assert flood(workers, where, leave) == BOUNDED[where]
        assert not workers.submit(where, pytest.fail)
        for other in {"callers", *BOUNDED} - {where}:
            assert all(run(workers, other) for _ in range(50))
        assert not workers.submit(where, pytest.fail)
    finally:
        leave.set()


@pytest.mark.parametrize("where", BOUNDED)
def test_there_is_room_again_when_they_are_done_however_they_ended(workers: Workers, where: str) -> None:
    for _ in range(3):
        leave = threading.Event()
        taken = flood(workers, where, leave)
        leave.set()
        for _ in range(2 * taken):
            while not workers.submit(where, fails):
                pass
        while not run(workers, where):
            pass


def test_every_connection_of_a_known_caller_may_wait(workers: Workers) -> None:
    leave = threading.Event()
    try:
        assert flood(workers, "callers", leave) >= CONNECTIONS
        assert all(run(workers, where) for where in BOUNDED)
    finally:
        leave.set()


@pytest.mark.parametrize("where", ["callers", *BOUNDED])
def test_what_runs_is_waited_for_and_what_waits_is_dropped(where: str) -> None:
    workers = Workers(2, CONNECTIONS)
    begun, leave, dropped = threading.Event(), threading.Event(), threading.Event()
    ended: list[str] = []

    def first() -> None:
        begun.set()
        wait(leave)
        ended.append("ran")

    assert workers.submit(where, first)
    assert begun.wait(30)
    for _ in range(4 + (os.cpu_count() or 1)):
        assert workers.submit(where, wait, leave)
    assert workers.submit(where, dropped.set)  # behind those
    stopping = threading.Thread(target=workers.shutdown)
    stopping.start()
    executor = workers.pools[where].executor
    wait_until(lambda: executor._shutdown)
    with executor._shutdown_lock:  # what waits is dropped under it
        leave.set()
    stopping.join(30)
    assert not stopping.is_alive()
    assert ended == ["ran"]
    assert not dropped.is_set()
