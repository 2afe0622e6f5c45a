# SPDX-License-Identifier: Apache-2.0
"""Who is not known yet waits in a short line of its own, and nobody who is known waits behind it."""

import threading
from collections.abc import Iterator

import pytest

from keyquorum.server.workers import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2)
    yield made
    made.shutdown()


def wait(leave: threading.Event) -> None:
    assert leave.wait(60)


def flood(workers: Workers, leave: threading.Event) -> int:
    """How many strangers are taken until one is not; none of them ends before ``leave``."""
    count = 0
    while workers.submit(False, wait, leave):
        count += 1
        assert count < 10_000
    return count


def run(workers: Workers, *, known: bool) -> bool:
    """Whether what is submitted runs to its end."""
    done = threading.Event()
    return workers.submit(known, done.set) and done.wait(30)


def test_strangers_are_refused_once_many_wait_and_known_callers_are_not(workers: Workers) -> None:
    leave = threading.Event()
    try:
        taken = flood(workers, leave)
        assert taken == 512
        assert not workers.submit(False, pytest.fail)
        assert all(run(workers, known=True) for _ in range(50))
        assert not workers.submit(False, pytest.fail)
    finally:
        leave.set()


def test_there_is_room_again_when_they_are_done_however_they_ended(workers: Workers) -> None:
    def fails() -> None:
        raise RuntimeError

    for _ in range(3):
        leave = threading.Event()
        taken = flood(workers, leave)
        leave.set()
        last = threading.Event()
        while not workers.submit(False, last.set):
            pass
        assert last.wait(30)
        for _ in range(2 * taken):
            while not workers.submit(False, fails):
                pass
        while not run(workers, known=False):
            pass


def test_known_callers_that_wait_are_not_counted(workers: Workers) -> None:
    leave = threading.Event()
    try:
        assert all(workers.submit(True, wait, leave) for _ in range(2_000))
        assert run(workers, known=False)
    finally:
        leave.set()


@pytest.mark.parametrize("known", [True, False])
def test_what_runs_is_waited_for_and_what_waits_is_dropped(known: bool) -> None:
    workers = Workers(2)
    begun, leave = threading.Semaphore(0), threading.Event()
    ended: list[str] = []

    def work() -> None:
        begun.release()
        leave.wait(30)
        ended.append("run")

    threads = 2 if known else 4
    for _ in range(threads):
        assert workers.submit(known, work)
    for _ in range(threads):
        assert begun.acquire(timeout=30)
    assert workers.submit(known, ended.append, "dropped")
    stopping = threading.Thread(target=workers.shutdown)
    stopping.start()
    leave.set()
    stopping.join(30)
    assert ended == ["run"] * threads
