# SPDX-License-Identifier: Apache-2.0
"""What a process has cached is never used once another process's change has been committed."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from stored import ACCOUNT, MAC, NOW, REGION, database, insert_key, keyring

from keyquorum.errors import DependencyTimeoutException, IntegrityError, WouldBlock
from keyquorum.model import Alias, Key, KeyRecord, key_name
from keyquorum.store import schema
from keyquorum.store.cache import Cache
from keyquorum.store.engine import generation_of
from keyquorum.store.generations import Generations, Tag
from keyquorum.store.sqlite import SQLite
from keyquorum.store.store import CachedView, Store

NAME = key_name("key-one", REGION)


class Crash(Exception):
    """Ends a transaction the way a process's death does: marked, and not committed."""


class Two(NamedTuple):
    """Two processes' stores on one data directory, and a key."""

    here: Store
    there: Store
    key: Key


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with database(tmp_path) as here, database(tmp_path) as there:
        store = Store(here, MAC)
        yield Two(store, Store(there, MAC), insert_key(store, keyring(), "key-one", tags=(("a", "b"),)))


def seen(store: Store, *, may_block: bool = True) -> str:
    record = CachedView(store, may_block=may_block).key("key-one", REGION)
    assert record is not None
    return record.key.description


def describe(store: Store, key: Key, text: str) -> Key:
    with store.database.write() as txn:
        return store.keys.update(txn, key, description=text)


def load(store: Store) -> tuple[int, KeyRecord]:
    with store.database.read() as connection:
        record = store.keys.load(connection, "key-one", REGION)
        assert record is not None
        return generation_of(connection), record


def test_a_cached_key_needs_no_database(two: Two) -> None:
    with pytest.raises(WouldBlock):
        seen(two.there, may_block=False)
    assert seen(two.there) == ""
    assert seen(two.there, may_block=False) == ""


def test_a_change_is_seen_by_the_next_request_in_every_process(two: Two) -> None:
    key = two.key
    for round_ in range(5):
        key = describe(two.here, key, f"round {round_}")
        for store in two.here, two.there:
            with pytest.raises(WouldBlock):
                seen(store, may_block=False)
            assert seen(store) == seen(store, may_block=False) == f"round {round_}"


def test_an_alias_that_another_process_moves_or_removes(two: Two) -> None:
    insert_key(two.here, keyring(), "key-two")
    alias = Alias(ACCOUNT, REGION, "alias/a", "key-one", NOW, NOW)
    with two.here.database.write() as txn:
        two.here.aliases.insert(txn, alias)

    def target() -> str | None:
        found = CachedView(two.there, may_block=True).alias(ACCOUNT, REGION, "alias/a")
        return None if found is None else found.key_id

    assert target() == "key-one"
    with two.here.database.write() as txn:
        two.here.aliases.point(txn, alias, "key-two", NOW)
    assert target() == "key-two"
    with two.here.database.write() as txn:
        two.here.aliases.delete(txn, alias)
    assert target() is None


def test_a_key_loaded_between_mark_and_commit_is_not_taken_for_fresh(two: Two) -> None:
    """Its reader gets the old state, which is still true then, and the request after the commit the new one."""
    with two.here.database.write() as txn:
        two.here.keys.update(txn, two.key, description="new")
        number = generation_of(txn.connection) + 1
        two.here.database.generations.mark(txn.touched, number)  # what write() does last before the commit
        assert seen(two.there) == ""
        with pytest.raises(WouldBlock):
            seen(two.there, may_block=False)
    assert seen(two.there) == seen(two.there, may_block=False) == "new"


def test_a_key_loaded_before_the_change_and_cached_after_it(two: Two) -> None:
    """A thread that was slow to put what it had read must not bring back the past."""
    number, record = load(two.there)
    describe(two.here, two.key, "new")
    two.there.key_cache.put(NAME, Tag(number), record)
    assert two.there.key_cache.get(NAME) is None
    assert seen(two.there) == "new"


def test_a_writer_that_dies_between_mark_and_commit_costs_reloads_only(two: Two) -> None:
    assert seen(two.there) == ""
    with pytest.raises(Crash), two.here.database.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        two.here.keys.update(txn, two.key, description="never")
        two.here.database.generations.mark(txn.touched, generation_of(txn.connection) + 1)
        raise Crash
    for _ in range(2):
        with pytest.raises(WouldBlock):
            seen(two.there, may_block=False)
        assert seen(two.there) == ""
    insert_key(two.here, keyring(), "key-two")  # the next change, of anything
    assert seen(two.there) == seen(two.there, may_block=False) == ""
    describe(two.here, two.key, "new")
    assert seen(two.there) == "new"


def test_a_database_that_is_older_than_the_counters_meets_them(two: Two) -> None:
    """A backup that was restored under running counters: stale entries are not served, and new ones are kept again once
    anything changes."""
    assert seen(two.there) == ""
    two.here.database.generations.mark({Generations.slot(NAME)}, 1_000)
    with pytest.raises(WouldBlock):
        seen(two.there, may_block=False)
    insert_key(two.here, keyring(), "key-two")
    assert load(two.here)[0] > 1_000
    assert seen(two.there) == seen(two.there, may_block=False) == ""


def put_number(store: Store, number: int) -> None:
    """By hand, behind the server's back."""
    store.database.execute_script(lambda c: c.execute(schema.generation.update().values(value=number)))


@pytest.mark.parametrize("number", [0, 10**9])
def test_a_number_that_was_put_into_the_database_makes_nothing_immortal(two: Two, number: int) -> None:
    """Set back it would number the next changes below what is cached; set forward, what is loaded above them."""
    key = two.key
    for round_ in range(3):  # so that what is cached carries larger numbers than the first
        key = describe(two.here, key, f"before {round_}")
        assert seen(two.there) == seen(two.here) == f"before {round_}"
    for put in (number, 3, number):
        put_number(two.here, put)
        two.there.clear()
        assert seen(two.there) == seen(two.here) == "before 2"
        key = describe(two.here, key, "new")
        for store in two.here, two.there:
            with pytest.raises(WouldBlock):
                seen(store, may_block=False)
            assert seen(store) == "new"
        put_number(two.there, put)
        key = describe(two.there, key, "before 2")
        assert seen(two.here) == seen(two.there) == "before 2"


@pytest.mark.parametrize("number", [0, 10**9])
def test_a_key_that_was_deleted_after_the_number_was_put_is_used_by_nobody(two: Two, number: int) -> None:
    for round_ in range(5):
        insert_key(two.here, keyring(), f"other-{round_}")
    put_number(two.here, number)
    assert seen(two.there) == ""
    put_number(two.here, 0)
    with two.here.database.write() as txn:
        two.here.keys.delete(txn, two.key, NOW)
    for store in two.here, two.there:
        assert CachedView(store, may_block=True).key("key-one", REGION) is None
        store.sweep()
        assert NAME not in store.key_cache


@pytest.mark.parametrize("number", [-5, 2**62, 2**63 - 1, "'x'", "''", "1.5", "x'01'"])
def test_a_number_that_can_be_none_is_not_believed(two: Two, number: object) -> None:
    assert seen(two.there) == ""
    two.here.database.execute_script(lambda c: c.exec_driver_sql(f"UPDATE generation SET value = {number}"))
    with pytest.raises(IntegrityError):
        describe(two.here, two.key, "new")
    two.there.clear()
    with pytest.raises(IntegrityError):
        seen(two.there)


def replace_counters(directory: Path) -> None:
    """A restore, or a clean-up by hand, under running servers: another file of the same name."""
    path = directory / "generations"
    path.rename(directory / "old")
    path.write_bytes(b"")


def test_counters_that_were_replaced_under_a_running_process(two: Two, tmp_path: Path) -> None:
    """The process that maps the old file cannot see another's changes in it: it looks, and uses nothing cached."""
    assert seen(two.there) == seen(two.here) == ""
    replace_counters(tmp_path)
    for store in two.here, two.there:
        assert seen(store, may_block=False) == ""  # nobody has looked yet
        store.database.generations.follow()
        with pytest.raises(WouldBlock):
            seen(store, may_block=False)
        assert NAME in store.key_cache
        store.sweep()
        assert NAME not in store.key_cache
    key = two.key
    for round_ in range(3):
        key = describe(two.here, key, f"round {round_}")
        assert seen(two.there) == seen(two.there, may_block=False) == f"round {round_}"


def test_a_writer_looks_first_whether_its_counters_are_still_everybodys(two: Two, tmp_path: Path) -> None:
    replace_counters(tmp_path)
    with database(tmp_path) as new:
        third = Store(new, MAC)
        assert seen(third) == ""
        describe(two.here, two.key, "new")  # by a process that mapped the old file
        assert seen(third) == "new"


def test_counters_that_were_removed_are_made_again_and_shared(two: Two, tmp_path: Path) -> None:
    (tmp_path / "generations").unlink()
    key = describe(two.here, two.key, "new")
    two.there.database.generations.follow()
    assert seen(two.there) == "new"
    describe(two.here, key, "newer")
    with pytest.raises(WouldBlock):
        seen(two.there, may_block=False)
    assert seen(two.there) == "newer"


def test_what_was_loaded_by_the_old_counters_is_not_kept_by_the_new(two: Two, tmp_path: Path) -> None:
    number, record = load(two.there)
    two.there.key_cache.put(NAME, Tag(number), record)
    replace_counters(tmp_path)
    two.there.database.generations.follow()
    assert two.there.key_cache.get(NAME) is None
    two.there.database.generations.follow()  # the same file: nothing happens
    assert two.there.database.generations.epoch == 1


def test_what_does_not_exist_is_not_cached(two: Two) -> None:
    view = CachedView(two.here, may_block=True)
    for number in range(10):
        assert view.key(f"absent-{number}", REGION) is None
        with pytest.raises(WouldBlock):
            CachedView(two.here, may_block=False).key(f"absent-{number}", REGION)
    insert_key(two.there, keyring(), "absent-3")
    assert view.key("absent-3", REGION) is not None


def test_a_key_whose_database_is_gone_is_served_from_the_cache_or_not_at_all(tmp_path: Path) -> None:
    with database(tmp_path) as opened:
        store = Store(opened, MAC)
        insert_key(store, keyring(), "key-one")
        assert seen(store) == ""
        assert isinstance(opened, SQLite)
        opened._engine.dispose()
        (tmp_path / "keyquorum.db").write_bytes(b"not a database" * 1000)
        assert seen(store, may_block=False) == ""
        store.clear()
        with pytest.raises(DependencyTimeoutException):
            seen(store)


# -- the cache by itself


def filled(bound: int, names: int) -> Cache[int]:
    cache: Cache[int] = Cache(Generations(None), bound)
    for number in range(names):
        cache.put(f"name-{number}", Tag(0), number)
    return cache


def test_a_cache_holds_no_more_than_its_bound() -> None:
    cache = filled(bound=10, names=1_000)
    kept = [n for n in range(1_000) if cache.get(f"name-{n}") is not None]
    assert kept == list(range(990, 1_000))


def test_a_sweep_forgets_what_is_stale() -> None:
    generations = Generations(None)
    cache: Cache[int] = Cache(generations, 10)
    for name in ("a", "b", "c"):
        cache.put(name, Tag(5), 0)
    generations.mark({Generations.slot("b")}, 6)
    assert "b" in cache
    cache.sweep()
    assert [name for name in ("a", "b", "c") if name in cache] == ["a", "c"]


def test_a_cleared_cache_is_empty() -> None:
    cache = filled(bound=10, names=3)
    cache.clear()
    assert cache.get("name-1") is None


def test_counters_are_shared_through_the_file_and_only_for_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "generations"
    here, there = Generations(path), Generations(path)
    here.mark({4095}, 2**63)
    here.mark({0, 1}, 7)
    assert (there.at(4095), there.at(0), there.at(1), there.at(2), there.highest()) == (2**63, 7, 7, 0, 2**63)
    assert Generations(path).at(0) == 7
    assert path.stat().st_mode & 0o777 == 0o600


def test_touching_everything_leaves_no_entry_usable(two: Two) -> None:
    assert seen(two.there) == ""
    with two.here.database.write() as txn:
        txn.touch_everything()
    assert two.there.key_cache.get(NAME) is None
    with two.here.database.read() as connection:
        assert connection.execute(schema.generation.select()).scalar_one() == generation_of(connection)
