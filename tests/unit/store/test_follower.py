# SPDX-License-Identifier: Apache-2.0
"""Several nodes on one PostgreSQL: what one has committed, the others find out, or they believe nothing any more."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Link, through
from postgres import fresh_database, name_of, server
from stored import MAC, REGION, insert_key, keyring

from keyquorum.errors import DependencyTimeoutException
from keyquorum.jobs.cluster import Cluster
from keyquorum.model import Key, key_name
from keyquorum.store import changes, migrate
from keyquorum.store.follower import Follower
from keyquorum.store.generations import Generations
from keyquorum.store.lease import Lease
from keyquorum.store.postgresql import PostgreSQL
from keyquorum.store.store import CachedView, Store

pytestmark = pytest.mark.slow

NAME = key_name("key-one", REGION)


class Node:
    """One process of a node of its own: it shares no memory with the others."""

    def __init__(self, directory: Path, url: str) -> None:
        directory.mkdir()
        self.generations = Generations(directory / "generations", Lease())
        self.database = PostgreSQL(url, self.generations)
        self.store = Store(self.database, MAC)
        self.follower = Follower(self.database.conninfo, self.generations)

    @property
    def lease(self) -> Lease:
        assert self.generations.lease is not None
        return self.generations.lease

    def start(self) -> "Node":
        self.follower.start()
        self.lease.require()
        return self

    def seen(self, *, may_block: bool = True) -> str:
        record = CachedView(self.store, may_block=may_block).key("key-one", REGION)
        assert record is not None
        return record.key.description

    def cached(self) -> str | None:
        found = self.store.key_cache.get(NAME)
        return None if found is None else found.key.description

    def describe(self, key: Key, text: str) -> Key:
        with self.database.write() as txn:
            return self.store.keys.update(txn, key, description=text)

    def close(self) -> None:
        self.follower.stop()
        self.database.close()


Make = Callable[..., Node]


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as made:
        yield made


@pytest.fixture
def node(url: str, tmp_path: Path) -> Iterator[Make]:
    """``node()``, or ``node(link)`` for one that reaches the database through it."""
    nodes: list[Node] = []

    def make(link: Link | None = None) -> Node:
        made = Node(tmp_path / str(len(nodes)), url if link is None else through(link, url))
        if not nodes:
            migrate.upgrade(made.database)
        nodes.append(made)
        return made.start()

    yield make
    for made in nodes:
        made.close()


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link(("127.0.0.1", server().port))
    yield made
    made.close()


def until_seen(node: Node, text: str) -> None:
    until(lambda: node.lease.holds() and node.seen() == text)


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def by_hand(url: str, statement: str) -> None:
    """As whoever can write to the database."""
    server().execute(statement, name_of(url))


def test_a_change_at_one_node_is_found_by_the_other_and_by_nothing_else(node: Make) -> None:
    here, there = node(), node()
    key = insert_key(here.store, keyring(), "key-one")
    insert_key(here.store, keyring(), "key-two")
    for round_ in range(10):
        key = here.describe(key, f"round {round_}")
        assert here.seen() == f"round {round_}"  # its own, at once
        until_seen(there, f"round {round_}")
        until(lambda: there.cached() is not None)
    epoch = there.generations.epoch
    with there.database.write() as txn:
        txn.touch("something else")
    time.sleep(0.1)
    assert here.cached() == there.cached() == "round 9"
    assert there.generations.epoch == epoch


def test_changes_of_both_at_once_end_with_both_seeing_the_last(node: Make) -> None:
    here, there = node(), node()
    key = insert_key(here.store, keyring(), "key-one")
    for round_ in range(30):
        key = (here, there)[round_ % 2].describe(key, f"round {round_}")
        here.seen(), there.seen()
    until(lambda: (here.seen(), there.seen()) == ("round 29", "round 29"))


def test_what_was_loaded_before_another_nodes_change_and_kept_after_it(node: Make) -> None:
    """A thread that was slow to put what it had read must not bring back the past."""
    here, there = node(), node()
    key = insert_key(here.store, keyring(), "key-one")
    until(lambda: there.seen() == "")
    tag, record = there.store.snapshot(lambda c: there.store.keys.load(c, "key-one", REGION))
    assert record is not None
    here.describe(key, "new")
    until(lambda: there.follower.seen == here.follower.seen == here.generations.highest())
    there.store.key_cache.put(NAME, tag, record)
    assert there.cached() is None


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM changes",
        "DELETE FROM changes WHERE number = (SELECT max(number) FROM changes)",
        "UPDATE changes SET slots = NULL WHERE number = (SELECT max(number) FROM changes)",
        "UPDATE changes SET slots = '\\xff' WHERE number = (SELECT max(number) FROM changes)",
        "UPDATE changes SET slots = '\\xffff' WHERE number = (SELECT max(number) FROM changes)",
        "UPDATE generation SET value = 0",
        "UPDATE generation SET value = value + 1000000",
    ],
)
def test_changes_that_do_not_follow_on_what_was_seen_mean_that_everything_is_forgotten(
    node: Make, url: str, statement: str
) -> None:
    here, there = node(), node()
    insert_key(here.store, keyring(), "key-one")
    until(lambda: there.seen() == "" == there.cached())
    by_hand(url, statement)
    until(lambda: there.cached() is None)
    assert there.seen() == ""


@pytest.mark.parametrize("number", ["-1", "4611686018427387904"])
def test_a_number_that_can_be_none_extends_no_lease(node: Make, url: str, number: str) -> None:
    there = node()
    by_hand(url, f"UPDATE generation SET value = {number}")
    until(lambda: not there.lease.holds())
    with pytest.raises(DependencyTimeoutException):
        there.lease.require()


def test_a_database_that_was_put_back_is_cached_again_after_a_while(node: Make, url: str) -> None:
    """Its number is below the counters of both nodes, and one of them brings it on."""
    here, there = node(), node()
    key = insert_key(here.store, keyring(), "key-one")
    for round_ in range(5):
        key = here.describe(key, f"round {round_}")
    until(lambda: there.seen() == "round 4")
    by_hand(url, "DELETE FROM changes WHERE number > 2; UPDATE generation SET value = 2")
    until(lambda: there.follower.seen == here.follower.seen == 2)
    assert there.seen() == "round 4"
    assert there.cached() is None
    jobs = Cluster(there.database, there.follower)
    jobs.tick()
    jobs.tick()
    until(lambda: there.seen() == "round 4" == there.cached())
    key = here.describe(key, "new")
    until(lambda: there.seen() == "new" == there.cached())


def test_a_node_that_is_cut_off_believes_what_it_has_for_less_than_a_second(node: Make, link: Link) -> None:
    here, there = node(), node(link)
    key = insert_key(here.store, keyring(), "key-one")
    until(lambda: there.seen() == "" == there.cached())
    for cut in (link.cut, link.stall):
        cut()
        key = here.describe(key, f"{cut.__name__}")
        until(lambda: there.cached() is None, seconds=2)
        with pytest.raises(DependencyTimeoutException):
            there.lease.require()
        assert there.cached() is None
        link.heal()
        until_seen(there, cut.__name__)


def test_sessions_that_the_server_ends_are_opened_anew(node: Make, url: str) -> None:
    here, there = node(), node()
    key = insert_key(here.store, keyring(), "key-one")
    for round_ in range(3):
        until(lambda: there.seen() == there.cached())
        server().cut(name_of(url))
        there.lease.require()
        key = here.describe(key, f"round {round_}")
        until_seen(there, f"round {round_}")


def test_one_process_leads_and_another_once_that_is_gone(node: Make, url: str) -> None:
    nodes = [node() for _ in range(3)]
    until(lambda: any(each.follower.leads for each in nodes))
    for _ in range(2):
        [leading] = [each for each in nodes if each.follower.leads]
        nodes.remove(leading)
        leading.follower.stop()
        assert not leading.follower.leads
        until(lambda: any(each.follower.leads for each in nodes))
    by_hand(url, "SELECT pg_terminate_backend(pid, 1000) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")
    until(lambda: nodes[0].follower.leads)


def test_a_leader_that_is_cut_off_is_followed_by_another(node: Make, link: Link) -> None:
    """The network takes nothing back to the server, whose session of it ends by itself."""
    there = node(link)
    until(lambda: there.follower.leads)
    here = node()
    link.stall()
    until(lambda: here.follower.leads, seconds=20)
    until(lambda: not there.follower.leads)


def test_the_record_of_changes_is_kept_short_and_nobody_notices(node: Make, url: str) -> None:
    here, there = node(), node()
    insert_key(here.store, keyring(), "key-one")
    by_hand(url, "INSERT INTO changes SELECT n, '', 0 FROM generate_series(2, 12000) n")
    by_hand(url, "UPDATE generation SET value = 12000")
    until(lambda: there.follower.seen == 12_000 == here.follower.seen)
    until(lambda: there.seen() == "" == there.cached())
    epoch = there.generations.epoch
    assert changes.prune(here.database) > 10_000
    assert changes.prune(here.database) == 0
    until(lambda: there.follower.seen == 12_001)
    time.sleep(0.5)
    assert there.cached() == ""
    assert there.generations.epoch == epoch
