# SPDX-License-Identifier: Apache-2.0
"""What is cached is believed until the lease lapses and no longer; and no slot falls, whoever marks it."""

import multiprocessing
import threading
from pathlib import Path

import pytest

from keyquorum.errors import DependencyTimeoutException
from keyquorum.store.cache import Cache
from keyquorum.store.generations import SLOTS, Generations, Tag
from keyquorum.store.lease import Lease


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def test_nothing_is_believed_before_the_first_check_nor_after_the_lease() -> None:
    time = Time()
    lease = Lease(time, seconds=0.9)
    cache: Cache[str] = Cache(Generations(None, lease), 10)
    cache.put("a", Tag(0), "value")
    assert cache.get("a") is None
    lease.extend(time.at)
    assert cache.get("a") == "value"
    time.at += 0.89
    assert cache.get("a") == "value"
    time.at += 0.02
    assert cache.get("a") is None
    lease.extend(time.at)
    assert cache.get("a") == "value"


def test_a_check_counts_from_its_beginning_and_an_older_one_takes_nothing_away() -> None:
    time = Time()
    lease = Lease(time, seconds=0.9)
    begun, time.at = time.at, time.at + 0.8
    lease.extend(begun)
    assert lease.until == begun + 0.9
    lease.extend(time.at)
    lease.extend(begun)
    assert lease.until == time.at + 0.9


def test_a_check_that_took_longer_than_the_lease_is_worth_nothing() -> None:
    time = Time()
    lease = Lease(time, seconds=0.9)
    begun, time.at = time.at, time.at + 1
    lease.extend(begun)
    assert not lease.holds()


def test_what_is_stale_stays_stale_whatever_the_lease_says() -> None:
    time = Time()
    generations = Generations(None, Lease(time))
    cache: Cache[str] = Cache(generations, 10)
    cache.put("a", Tag(5), "value")
    assert generations.lease is not None
    generations.lease.extend(time.at)
    generations.mark({Generations.slot("a")}, 6)
    assert cache.get("a") is None


def test_a_process_that_is_cut_off_for_long_keeps_no_keys() -> None:
    time = Time()
    lease = Lease(time)
    cache: Cache[str] = Cache(Generations(None, lease), 10)
    lease.extend(time.at)
    cache.put("a", Tag(0), "value")
    time.at += 30
    cache.sweep()
    assert "a" in cache
    time.at += 60
    cache.sweep()
    assert "a" not in cache


def test_what_was_being_loaded_when_everything_was_forgotten_is_not_kept() -> None:
    generations = Generations(None)
    cache: Cache[str] = Cache(generations, 10)
    tag = Tag(generations.highest(), generations.epoch)
    generations.forget()
    cache.put("a", tag, "value")
    assert cache.get("a") is None
    cache.put("a", Tag(generations.highest(), generations.epoch), "value")
    assert cache.get("a") == "value"


def test_who_waits_for_a_check_is_told_when_there_is_one() -> None:
    lease = Lease()
    lease.wanted = lambda: threading.Thread(target=lease.extend, args=(lease.now(),)).start()
    assert lease.require() == lease.until > lease.now()


def test_who_wants_a_check_of_now_does_not_get_an_older_one() -> None:
    lease = Lease()
    lease.extend(lease.now())
    assert lease.require() == lease.until
    begun = lease.now()
    with pytest.raises(DependencyTimeoutException):
        lease.require(anew=True)
    lease.wanted = lambda: threading.Thread(target=lambda: lease.extend(lease.now())).start()
    assert lease.require(anew=True) >= begun + lease.seconds


def test_who_waits_is_told_when_there_will_be_none_and_nobody_waits_after_that() -> None:
    lease = Lease()
    lease.wanted = lambda: threading.Thread(target=lease.lose, args=("it is gone",)).start()
    for _ in range(2):
        with pytest.raises(DependencyTimeoutException) as caught:
            lease.require()
        assert "it is gone" in str(caught.value.detail)
        assert "it is gone" not in str(caught.value.message)
    lease.extend(lease.now())
    assert lease.require() > lease.now()


def test_a_lease_that_nobody_extends_is_waited_for_and_then_refused() -> None:
    with pytest.raises(DependencyTimeoutException):
        Lease().require()


# -- marks


def test_a_mark_of_an_older_change_lowers_nothing() -> None:
    generations = Generations(None)
    generations.mark({1, 2}, 10)
    generations.mark({2, 3}, 7)
    assert [generations.at(slot) for slot in (1, 2, 3)] == [10, 10, 7]
    assert generations.highest() == 10


def mark_many(path: Path, first: int) -> None:
    generations = Generations(path)
    for number in range(first, 4_000, 2):
        generations.mark({0, number % SLOTS}, number)


def test_processes_that_mark_at_once_lose_none_of_their_marks(tmp_path: Path) -> None:
    """Each slot ends with the largest number that anybody put there."""
    path = tmp_path / "generations"
    spawning = multiprocessing.get_context("spawn")
    marking = [spawning.Process(target=mark_many, args=(path, first)) for first in (1, 2)]
    for process in marking:
        process.start()
    for process in marking:
        process.join()
    generations = Generations(path)
    assert (generations.highest(), generations.at(0)) == (3_999, 3_999)
    assert all(generations.at(number) == number for number in range(1, 4_000))
