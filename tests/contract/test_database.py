# SPDX-License-Identifier: Apache-2.0
"""What every kind of database promises: SQLite in a file and in memory, and PostgreSQL."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from stored import MAC, REGION, database, fill, insert_key, keyring, new_material, of_kind

from keyquorum.errors import DependencyTimeoutException, IntegrityError
from keyquorum.model import ResourcePolicy
from keyquorum.store import schema
from keyquorum.store.engine import Database, Transaction, generation_of
from keyquorum.store.store import LockedView, Store


@pytest.fixture(params=["file", "memory", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with of_kind(request.param, tmp_path) as made:
        yield made


def count(opened: Database, table: sa.Table) -> int:
    with opened.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def generation(opened: Database) -> int:
    with opened.read() as connection:
        return generation_of(connection)


def remember(txn: Transaction, key_id: str) -> None:
    values = {"key_id": key_id, "account": "1", "region": "r", "deleted_at": 1.0, "version": 1, "mac": b""}
    txn.connection.execute(sa.insert(schema.deleted_keys).values(values))


def test_an_exception_rolls_back_all_of_it(opened: Database) -> None:
    before = generation(opened)
    with pytest.raises(ZeroDivisionError), opened.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        remember(txn, "a")
        txn.touch("a")
        raise ZeroDivisionError
    assert (count(opened, schema.deleted_keys), generation(opened)) == (0, before)
    with opened.write() as txn:
        remember(txn, "a")
    assert (count(opened, schema.deleted_keys), generation(opened)) == (1, before + 1)


def test_a_statement_that_fails_leaves_nothing_either(opened: Database) -> None:
    with pytest.raises(IntegrityError) as caught, opened.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        remember(txn, "a")
        remember(txn, "secret-id")
        remember(txn, "secret-id")
    assert "secret-id" not in str(caught.value)
    assert count(opened, schema.deleted_keys) == 0


def test_a_key_that_could_not_be_finished_is_not_there(opened: Database) -> None:
    store, ring = Store(opened, MAC), keyring()
    material = new_material(ring, "key-one")
    made = insert_key(store, ring, "key-one")
    with pytest.raises(IntegrityError), opened.write() as txn:
        store.keys.insert(txn, made, [material], ResourcePolicy("{}"))
    with pytest.raises(RuntimeError), opened.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        store.keys.delete(txn, made, 0.0)
        raise RuntimeError
    with opened.write() as txn:
        record = LockedView(store, txn).key("key-one", REGION)
    assert record is not None
    assert (record.key, count(opened, schema.deleted_keys)) == (made, 0)


def test_changes_are_numbered_one_by_one_from_several_threads(opened: Database) -> None:
    before = generation(opened)

    def change(number: int) -> None:
        with opened.write() as txn:
            remember(txn, str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))
    assert (count(opened, schema.deleted_keys), generation(opened)) == (40, before + 40)


def test_threads_read_and_write_at_once(opened: Database) -> None:
    """Each read is a snapshot: a key, its material and its number belong together."""
    store, ring = Store(opened, MAC), keyring()
    key = insert_key(store, ring, "key-one")
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        last = 0
        try:
            while not done.is_set():
                with opened.read() as connection:
                    number = generation_of(connection)
                    record = store.keys.load(connection, "key-one", REGION)
                assert record is not None
                assert record.key.version == int(record.key.description or 1)
                assert number >= last
                last = number
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        with opened.write() as txn:
            key = store.keys.update(txn, key, description=str(key.version + 1))
    done.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_transaction_sees_rows_that_nobody_else_changes(opened: Database) -> None:
    """The second writer starts after the first has committed, and decides on what that left."""
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with opened.write() as txn:
            inside.set()
            leave.wait(10)
            remember(txn, "a")
            order.append("first")

    def second() -> int:
        with opened.write() as txn:
            order.append("second")
            return len(txn.connection.execute(sa.select(schema.deleted_keys)).all())

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        inside.wait(10)
        two = pool.submit(second)
        leave.set()
        one.result()
        assert two.result() == 1
    assert order == ["first", "second"]


def test_one_thread_too_many_is_told_to_come_again(tmp_path: Path) -> None:
    with database(tmp_path, timeout=0.05) as opened, ThreadPoolExecutor(1) as pool:

        def write() -> None:
            with opened.write():
                pass

        with opened.write(), pytest.raises(DependencyTimeoutException):
            pool.submit(write).result()
        write()


def test_a_database_that_another_process_keeps_locked(tmp_path: Path) -> None:
    with database(tmp_path, timeout=0.05) as opened:
        store = fill(opened).store
        other = sqlite3.connect(tmp_path / "keyquorum.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DependencyTimeoutException) as caught, opened.write():
            pytest.fail("the transaction began")
        assert caught.value.message == (
            "The system timed out while trying to fulfill the request. You can retry the request."
        )
        with opened.read() as connection:  # readers go on (WAL)
            assert store.keys.load(connection, "key-one", REGION) is not None
        other.close()
        with opened.write() as txn:
            remember(txn, "a")


def test_a_database_that_was_closed_opens_no_file_again(opened: Database) -> None:
    """Whatever thread still holds it: the numbers of its descriptors belong to other files by then."""
    opened.close()
    with pytest.raises(DependencyTimeoutException), opened.read():
        pytest.fail("it was read")
    with pytest.raises(DependencyTimeoutException), opened.write():
        pytest.fail("it was written")


def test_what_is_committed_is_there_for_the_next_to_open_the_file(tmp_path: Path) -> None:
    with database(tmp_path) as first, first.write() as txn:
        remember(txn, "a")
    with database(tmp_path) as second:
        assert count(second, schema.deleted_keys) == 1


@pytest.mark.parametrize("name", ["a b", "50%", "why?", "#1", "é", "file:x", "a&mode=memory"])
def test_a_path_is_taken_as_it_is_written(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    with database(directory):
        assert (directory / "keyquorum.db").stat().st_size > 0
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_two_databases_in_memory_are_two() -> None:
    with database(None) as one, database(None) as two:
        with one.write() as txn:
            remember(txn, "a")
        assert (count(one, schema.deleted_keys), count(two, schema.deleted_keys)) == (1, 0)


def test_deleted_content_leaves_the_files_once_the_log_is_cut(tmp_path: Path) -> None:
    def files_hold(secret: bytes) -> bool:
        return any(secret in path.read_bytes() for path in tmp_path.iterdir())

    with database(tmp_path) as opened:
        store, ring = Store(opened, MAC), keyring()
        key = insert_key(store, ring, "key-one")
        with opened.read() as connection:
            record = store.keys.load(connection, "key-one", REGION)
        assert record is not None
        wrapped = record.materials[key.material_id].wrapped
        assert wrapped is not None
        assert files_hold(wrapped)
        with opened.write() as txn:
            store.keys.delete(txn, key, 1.0)
        with opened.read() as reader:
            reader.execute(sa.select(schema.generation)).all()
            with opened.write() as txn:
                remember(txn, "a")
            assert not opened.erase()  # a reader is on an older snapshot
        assert opened.erase()
        assert not files_hold(wrapped)
