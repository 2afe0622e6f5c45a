# SPDX-License-Identifier: Apache-2.0
"""What is PostgreSQL's own: sessions that end, servers that stop, what others have put into the database, and what
other nodes are told."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from postgres import PASSWORD, Postgres, fresh_database, name_of, own_server, server
from psycopg import sql
from stored import MAC, REGION, fill, insert_key, keyring, on_postgresql

from keyquorum.errors import DependencyTimeoutException, IntegrityError
from keyquorum.store import migrate, schema
from keyquorum.store.engine import Database, Transaction, generation_of
from keyquorum.store.generations import Generations
from keyquorum.store.migrate import SchemaError
from keyquorum.store.postgresql import WRITE_LOCK, PostgreSQL
from keyquorum.store.store import LockedView, Store

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as made:
        yield made


@pytest.fixture
def opened(url: str) -> Iterator[PostgreSQL]:
    with on_postgresql(url, timeout=2.0) as made:
        yield made


def remember(txn: Transaction, key_id: str) -> None:
    values = {"key_id": key_id, "account": "1", "region": "r", "deleted_at": 1.0, "version": 1, "mac": b""}
    txn.connection.execute(sa.insert(schema.deleted_keys).values(values))


def remembered(opened: Database) -> set[str]:
    with opened.read() as connection:
        return set(connection.execute(sa.select(schema.deleted_keys.c.key_id)).scalars())


# -- sessions, and the server


def test_sessions_that_were_ended_between_requests_are_noticed_by_nobody(opened: PostgreSQL, url: str) -> None:
    for name in "abc":
        assert remembered(opened) is not None
        with opened.write() as txn:
            remember(txn, name)
        assert server().cut(name_of(url)) >= 2
    assert remembered(opened) == {"a", "b", "c"}


def test_a_session_that_ends_within_a_change_leaves_nothing_of_it(opened: PostgreSQL, url: str) -> None:
    with pytest.raises(DependencyTimeoutException), opened.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        remember(txn, "a")
        server().cut(name_of(url))
        remember(txn, "b")
    assert remembered(opened) == set()
    with opened.write() as txn:
        remember(txn, "c")
    assert remembered(opened) == {"c"}


def test_a_session_that_ends_within_a_snapshot_is_told(opened: PostgreSQL, url: str) -> None:
    with pytest.raises(DependencyTimeoutException), opened.read() as connection:  # noqa: PT012 - as above
        generation_of(connection)
        server().cut(name_of(url))
        generation_of(connection)
    assert remembered(opened) == set()


class _Deaf(PostgreSQL):
    """Its COMMITs arrive, and the answers to them do not."""

    def _commit(self, connection: sa.Connection, number: int, touched: set[int]) -> None:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg.Connection)
        commit = driver.commit

        def lost() -> None:
            commit()
            driver.close()
            raise psycopg.OperationalError("the connection was lost")

        driver.commit = lost  # the network of this test
        super()._commit(connection, number, touched)


def test_a_change_whose_commit_was_not_answered_is_known_to_have_been_made(url: str) -> None:
    opened = _Deaf(url, Generations(None), timeout=2.0)
    migrate.upgrade(opened)
    with opened.write() as txn:
        remember(txn, "a")
    assert remembered(opened) == {"a"}
    opened.close()


def test_a_server_that_stops_and_comes_back_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """Stopped in good order, and killed, under load; the writers go on by themselves."""
    with own_server() as postgres:
        name = postgres.create()
        with on_postgresql(postgres.url(name), timeout=1.0) as opened:
            answered: set[str] = set()
            done = threading.Event()

            def write(worker: int) -> None:
                number = 0
                while not done.is_set():
                    key_id = f"{worker} {number}"
                    number += 1
                    try:
                        with opened.write() as txn:
                            remember(txn, key_id)
                        answered.add(key_id)
                    except DependencyTimeoutException:
                        time.sleep(0.02)

            with ThreadPoolExecutor(3) as pool:
                writers = [pool.submit(write, worker) for worker in range(3)]
                for end in (postgres.stop, postgres.crash) * 3:
                    _wait_for_more(answered)
                    end()
                    postgres.start()
                _wait_for_more(answered)
                done.set()
                for writer in writers:
                    writer.result()
            there = remembered(opened)
            assert answered <= there
            with opened.read() as connection:
                assert generation_of(connection) >= len(there)


def _wait_for_more(answered: set[str]) -> None:
    before, deadline = len(answered), time.monotonic() + 30
    while len(answered) < before + 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_says_nothing_is_not_waited_for_and_is_found_again() -> None:
    with own_server(durable=False) as postgres:
        name = postgres.create()
        with on_postgresql(postgres.url(name), timeout=1.0) as opened:
            with opened.write() as txn:
                remember(txn, "a")
            remembered(opened)
            with postgres.frozen():
                with pytest.raises(DependencyTimeoutException):
                    remembered(opened)
                with pytest.raises(DependencyTimeoutException), opened.write() as txn:
                    remember(txn, "b")
            assert remembered(opened) == {"a"}
            with opened.write() as txn:
                remember(txn, "c")
            assert remembered(opened) == {"a", "c"}


def test_a_node_that_stops_within_a_change_does_not_keep_the_others_from_theirs(opened: PostgreSQL, url: str) -> None:
    other = PostgreSQL(url, Generations(None), timeout=30.0)
    with pytest.raises(DependencyTimeoutException), opened.write() as txn:  # noqa: PT012 - as above
        remember(txn, "a")
        with other.write() as txn2:  # which waits until the server has had enough of the first
            remember(txn2, "b")
        remember(txn, "c")
    assert remembered(other) == {"b"}
    other.close()


def test_the_writers_of_all_nodes_take_turns(opened: PostgreSQL, url: str) -> None:
    others = [PostgreSQL(url, Generations(None), timeout=30.0) for _ in range(3)]

    def count(database: Database) -> None:
        for _ in range(15):
            with database.write() as txn:
                seen = txn.connection.execute(sa.select(sa.func.count()).select_from(schema.deleted_keys)).scalar_one()
                remember(txn, f"{seen:04d}")  # two that saw the same would stand in each other's way

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(count, others))
    assert remembered(opened) == {f"{number:04d}" for number in range(45)}
    for database in others:
        database.close()


def test_whoever_keeps_the_lock_too_long_is_not_waited_for(opened: PostgreSQL, url: str) -> None:
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (WRITE_LOCK,))
        with pytest.raises(DependencyTimeoutException), opened.write():
            pytest.fail("the transaction began")


def test_a_change_tells_what_it_touches_when_it_commits_and_not_before(opened: PostgreSQL, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("LISTEN keyquorum")
        with opened.write() as txn:
            txn.touch("a")
            assert list(listener.notifies(timeout=0.1)) == []
        with pytest.raises(ZeroDivisionError), opened.write() as txn:  # noqa: PT012 - as above
            txn.touch("b")
            raise ZeroDivisionError
        with opened.write() as txn:
            txn.touch_everything()
        assert len(list(listener.notifies(timeout=1, stop_after=2))) == 2
        rows = listener.execute("SELECT number, slots FROM changes ORDER BY number").fetchall()
    assert rows == [(1, Generations.slot("a").to_bytes(2, "big")), (2, None)]


# -- text


@pytest.mark.parametrize("text", ["a\0b", "\0", "\1", "\1\0\2", "\1\1", "\0" * 3, "é\U0001f511", "x" * 100_000])
def test_text_comes_back_as_it_went_in(opened: PostgreSQL, text: str) -> None:
    store = Store(opened, MAC)
    key = insert_key(store, keyring(), "key-one")
    with opened.write() as txn:
        store.keys.update(txn, key, description=text)
    with opened.write() as txn:
        record = LockedView(store, txn).key("key-one", REGION)
    assert record is not None
    assert record.key.description == text


def test_text_is_ordered_by_code_points(opened: PostgreSQL) -> None:
    names = ["Z", "a", "B", "é", "z", "_", "-", "a\0", "a\1", "a-", "\U0001f511", "\ufffd"]
    with opened.write() as txn:
        for name in names:
            remember(txn, name)
    column = schema.deleted_keys.c.key_id
    with opened.read() as connection:
        found = list(connection.execute(sa.select(column).order_by(column)).scalars())
        later = list(connection.execute(sa.select(column).where(column > "a").order_by(column)).scalars())
    assert found == sorted(names)
    assert later == [name for name in sorted(names) if name > "a"]


# -- a hostile database


def test_no_column_of_any_row_can_be_changed_unnoticed(opened: PostgreSQL) -> None:
    fill(opened)
    changed = 0
    for table in schema.metadata.sorted_tables:
        if "mac" not in table.c or table is schema.erasures or table is schema.audit_outbox:
            continue
        with opened.read() as connection:
            rows = connection.execute(sa.select(table)).mappings().all()
        assert rows
        for column in table.columns:
            for lie in _lies(column, rows[0][column.name]):
                with pytest.raises(IntegrityError):
                    MAC.check(table, {**rows[0], column.name: lie})
                changed += 1
    assert changed > 100


def _lies(column: sa.Column[object], value: object) -> list[object]:
    if isinstance(value, bytes):
        return [value + b"\0", value[:-1] + bytes([value[-1] ^ 1]), b""]
    if isinstance(value, str):
        return [value + "x", ""] if value else ["x"]
    return [value + 1] if isinstance(value, int | float) else []


_FOREIGN = {
    "CREATE VIEW other AS SELECT 1": "views or foreign tables",
    "CREATE MATERIALIZED VIEW other AS SELECT 1": "views or foreign tables",
    "CREATE RULE mine AS ON INSERT TO keys DO INSTEAD NOTHING": "rules",
    "ALTER TABLE keys ENABLE ROW LEVEL SECURITY": "row security",
    "CREATE TABLE more () INHERITS (keys)": "inherit",
    "CREATE FUNCTION length(text) RETURNS int LANGUAGE sql AS 'SELECT 1'": "functions",
    (
        "CREATE SCHEMA elsewhere; "
        "CREATE FUNCTION elsewhere.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        "CREATE TRIGGER mine BEFORE UPDATE ON keys FOR EACH ROW EXECUTE FUNCTION elsewhere.nothing()"
    ): "triggers",
    (
        "CREATE SCHEMA elsewhere; "
        "CREATE FUNCTION elsewhere.always(text, varchar) RETURNS bool LANGUAGE sql AS 'SELECT true'; "
        "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = varchar, FUNCTION = elsewhere.always)"
    ): "operators",
}


@pytest.mark.parametrize("statement", _FOREIGN)
def test_what_others_have_put_into_the_database_is_refused(opened: PostgreSQL, url: str, statement: str) -> None:
    migrate.require_current(opened)
    server().execute(statement, name_of(url))
    for opening in (migrate.require_current, migrate.upgrade, migrate.prepare):
        with pytest.raises(SchemaError, match=f"the database holds .*{_FOREIGN[statement]}"):
            opening(opened)


def test_tables_of_the_session_do_not_come_before_ours(opened: PostgreSQL, url: str) -> None:
    """And settings of the role or the database change nothing of what is read."""
    name = name_of(url)
    server().execute("CREATE SCHEMA elsewhere", name)
    server().execute("CREATE TABLE elsewhere.generation (value bigint)", name)
    server().execute(f"ALTER DATABASE {name} SET search_path = elsewhere, public", name)
    server().execute(f"ALTER DATABASE {name} SET extra_float_digits = 0", name)
    server().execute(f"ALTER DATABASE {name} SET bytea_output = 'escape'", name)
    server().execute(f"ALTER DATABASE {name} SET datestyle = 'German'", name)
    other = PostgreSQL(url, Generations(None))
    with other.write() as txn:
        remember(txn, "a")
        when = 1_700_000_000.123456789
        txn.connection.execute(sa.update(schema.deleted_keys).values(deleted_at=when, mac=b"\0\xff\\"))
    with other.read() as connection:
        assert connection.execute(sa.select(schema.deleted_keys.c.deleted_at, schema.deleted_keys.c.mac)).one() == (
            when,
            b"\0\xff\\",
        )
    other.close()


# -- what is deleted


def test_what_was_deleted_is_cleared_out_unless_somebody_may_still_see_it(opened: PostgreSQL, url: str) -> None:
    store, ring = Store(opened, MAC), keyring()
    key = insert_key(store, ring, "key-one")

    def versions() -> int:
        """Of rows, dead ones included: what pages of the table hold."""
        name = name_of(url)
        server().execute("CREATE EXTENSION IF NOT EXISTS pageinspect SCHEMA information_schema", name)
        found = server().execute(
            "SELECT count(t_data) FROM generate_series(0, pg_relation_size('wrapped_materials') / 8192 - 1) AS page, "
            "information_schema.heap_page_items(information_schema.get_raw_page('wrapped_materials', page::int))",
            name,
        )
        return int(found[0][0])

    with psycopg.connect(url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        with opened.write() as txn:
            store.keys.delete(txn, key, 1.0)
        assert not opened.erase()
    before = versions()
    assert opened.erase()
    assert (before, versions()) == (2, 1)  # the zeros are left


# -- the way there


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://u:secret@[::1/x",
        "postgresql://u:secret/more@host/x",
        "postgresql://u:more@secret@host/x",
        "postgresql://h/x?secret=1",
        "secret",
        "a=b=secret ",
    ],
)
def test_what_is_no_connection_string_is_not_repeated(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a URL") as caught:
        PostgreSQL(wrong, Generations(None))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_error_shows_the_password(opened: PostgreSQL, url: str) -> None:
    wrong = PostgreSQL(url.replace(PASSWORD, "wrong-secret"), Generations(None), timeout=2.0)
    closed = PostgreSQL("postgresql://u:wrong-secret@127.0.0.1:9/x", Generations(None), timeout=2.0)
    for database in (wrong, closed):
        with pytest.raises(DependencyTimeoutException) as caught, database.read():
            pytest.fail("it was read")
        assert "wrong-secret" not in caught.value.detail
        assert "wrong-secret" not in repr(database)


def test_a_row_that_stands_in_the_way_is_not_shown(opened: PostgreSQL) -> None:
    with pytest.raises(IntegrityError) as caught, opened.write() as txn:  # noqa: PT012 - as above
        remember(txn, "secret-id")
        remember(txn, "secret-id")
    assert caught.value.__cause__ is None


def test_two_nodes_may_start_on_an_empty_database_at_once(url: str) -> None:
    databases = [PostgreSQL(url, Generations(None)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.prepare, databases))
    with databases[0].read() as connection:
        assert generation_of(connection) == 0
    for database in databases:
        database.close()


def test_a_database_without_utf_8_is_refused() -> None:
    postgres: Postgres = server()
    with postgres.connect() as admin:
        admin.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' OWNER keyquorum")
    database = PostgreSQL(postgres.url("latin"), Generations(None))
    with pytest.raises(SchemaError, match="text that is not UTF-8"):
        migrate.prepare(database)
    database.close()
    with postgres.connect() as admin:
        admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier("latin")))
