# SPDX-License-Identifier: Apache-2.0
"""Who can write to the database gains no authority: a row that this program did not write is not loaded."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from stored import ACCOUNT, REGION, Filled, database, fill

from keyquorum.errors import IntegrityError
from keyquorum.model import USER
from keyquorum.store import schema
from keyquorum.store.rowmac import RowMAC

Load = Callable[[sa.Connection], object]


@pytest.fixture
def filled() -> Iterator[Filled]:
    with database(None) as opened:
        yield fill(opened)


def tamper(filled: Filled, *statements: str) -> None:
    """Raw SQL, as somebody with a shell and the file would write it."""
    with filled.store.database.write() as txn:
        for statement in statements:
            txn.connection.exec_driver_sql(statement)


def loads(filled: Filled) -> dict[str, Load]:
    store = filled.store
    return {
        "keys": lambda c: store.keys.load(c, "key-one"),
        "key_materials": lambda c: store.keys.load(c, "key-one"),
        "key_policies": lambda c: store.keys.policy(c, "key-one"),
        "aliases": lambda c: store.aliases.load(c, ACCOUNT, REGION, "alias/one"),
        "principals": lambda c: store.identities.access_key(c, "AKIAALICE"),
        "access_keys": lambda c: store.identities.access_key(c, "AKIAALICE"),
    }


# What selects the row that is loaded; to change it is to hide the row, or to have another row in its place.
ONE = {
    "keys": "key_id = 'key-one'",
    "key_materials": "key_id = 'key-one'",
    "key_policies": "key_id = 'key-one'",
    "aliases": "name = 'alias/one'",
    "principals": "principal_id = 'AIDAALICE'",
    "access_keys": "access_key_id = 'AKIAALICE'",
}
SELECTED_BY = {
    ("keys", "key_id"),
    ("key_materials", "key_id"),
    ("key_policies", "key_id"),
    ("aliases", "account"),
    ("aliases", "region"),
    ("aliases", "name"),
    ("principals", "principal_id"),
    ("access_keys", "access_key_id"),
}
COLUMNS = [
    (name, column.name)
    for name in ONE
    for column in schema.metadata.tables[name].columns
    if column.name != "row" and (name, column.name) not in SELECTED_BY
]
WRONG: dict[str, Callable[[sa.Column[Any]], str]] = {
    "another value": lambda column: "x'00'" if isinstance(column.type, sa.LargeBinary) else "'other'",
    "a number": lambda column: "12",
    "one more": lambda column: f"{column.name} || '1'",
    "an integral float": lambda column: f"CAST({column.name} AS REAL) + 1",
    "binary for text": lambda column: f"CAST({column.name} AS BLOB) || x'00'",
    "nothing": lambda column: "''",
    "null": lambda column: "NULL",
}


def without_constraints(filled: Filled, table: str) -> None:
    """The owner of a file is not bound by its constraints: the same table, without them."""
    columns = ", ".join(column.name for column in schema.metadata.tables[table].columns)
    tamper(filled, f"CREATE TABLE loose AS SELECT {columns} FROM {table}")
    with filled.store.database.write() as txn:
        txn.connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        txn.connection.exec_driver_sql("PRAGMA legacy_alter_table=ON")
        txn.connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO strict_{table}")
        txn.connection.exec_driver_sql(f"ALTER TABLE loose RENAME TO {table}")


def test_what_was_written_is_loaded(filled: Filled) -> None:
    with filled.store.database.read() as connection:
        for load in loads(filled).values():
            assert load(connection) is not None


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=map(".".join, COLUMNS))
def test_a_column_is_changed(filled: Filled, table: str, column: str, wrong: str) -> None:
    value = WRONG[wrong](schema.metadata.tables[table].columns[column])
    without_constraints(filled, table)
    tamper(filled, f"UPDATE {table} SET {column} = {value} WHERE {ONE[table]}")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        loads(filled)[table](connection)


@pytest.mark.parametrize("table", ["keys", "key_policies", "aliases", "principals", "access_keys"])
def test_a_row_is_put_in_the_place_of_another(filled: Filled, table: str) -> None:
    """Every column of the other's, and the MAC with them, under the name that is looked up."""
    named = ONE[table].split()[0]
    without_constraints(filled, table)
    tamper(
        filled,
        f"DELETE FROM {table} WHERE {ONE[table]}",
        f"UPDATE {table} SET {ONE[table]} WHERE {named} IS NOT NULL",
    )
    with filled.store.database.read() as connection, pytest.raises((IntegrityError, sa.exc.MultipleResultsFound)):
        loads(filled)[table](connection)


def test_another_keys_material_row_is_moved_in(filled: Filled) -> None:
    with filled.store.database.read() as connection:
        one, two = (filled.store.keys.load(connection, f"key-{n}") for n in ("one", "two"))
        assert one is not None
        assert two is not None
    tamper(filled, "UPDATE key_materials SET key_id = 'key-one' WHERE key_id = 'key-two'")
    with filled.store.database.read() as connection:
        for key_id in ("key-one", "key-two"):
            with pytest.raises(IntegrityError):
                filled.store.keys.load(connection, key_id)


@pytest.mark.parametrize("column", ["wrapped", "mac", "material_id"])
def test_two_material_rows_swap_a_column(filled: Filled, column: str) -> None:
    without_constraints(filled, "key_materials")
    other = f"(SELECT o.{column} FROM strict_key_materials o WHERE o.key_id != key_materials.key_id)"
    tamper(filled, f"UPDATE key_materials SET {column} = {other}")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        filled.store.keys.load(connection, "key-one")


@pytest.mark.parametrize(
    ("lost", "load"), [("key_materials", "keys"), ("key_policies", "key_policies"), ("principals", "access_keys")]
)
def test_a_row_that_others_need_is_removed(filled: Filled, lost: str, load: str) -> None:
    without_constraints(filled, lost)
    tamper(filled, f"DELETE FROM {lost}")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        loads(filled)[load](connection)


def test_an_alias_is_pointed_at_another_key(filled: Filled) -> None:
    tamper(filled, "UPDATE aliases SET key_id = 'key-two'")
    with filled.store.database.read() as connection:
        with pytest.raises(IntegrityError):
            filled.store.aliases.load(connection, ACCOUNT, REGION, "alias/one")
        with pytest.raises(IntegrityError):
            filled.store.aliases.page(connection, ACCOUNT, REGION, None, "", 10)


def test_a_user_is_renamed_root(filled: Filled) -> None:
    tamper(
        filled, "DELETE FROM access_keys WHERE principal_id = 'AIDAROOT'", "DELETE FROM principals WHERE kind = 'Root'"
    )
    tamper(filled, "UPDATE principals SET kind = 'Root', name = 'Root'")
    with filled.store.database.read() as connection:
        with pytest.raises(IntegrityError):
            filled.store.identities.access_key(connection, "AKIAALICE")
        with pytest.raises(IntegrityError):
            filled.store.identities.root_access_key(connection, ACCOUNT)


def test_a_key_is_listed_only_with_its_mac(filled: Filled) -> None:
    tamper(filled, "UPDATE keys SET description = 'x' WHERE key_id = 'key-two'")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        filled.store.keys.page(connection, ACCOUNT, REGION, "", 10)


def test_a_row_from_a_store_with_another_root_key(filled: Filled) -> None:
    other = type(filled.store)(filled.store.database, RowMAC(bytes(32)))
    with other.database.read() as connection, pytest.raises(IntegrityError):
        other.keys.load(connection, "key-one")
    with other.database.read() as connection, pytest.raises(IntegrityError):
        other.identities.principal(connection, ACCOUNT, USER, "alice")


def test_a_mac_is_that_of_one_table_and_keeps_types_apart() -> None:
    mac = RowMAC(bytes(32))
    one, two = (
        sa.Table(name, sa.MetaData(), sa.Column("a"), sa.Column("b"), sa.Column("mac", sa.LargeBinary))
        for name in ("one", "two")
    )
    rows: list[dict[str, Any]] = [
        {"a": "1", "b": None},
        {"a": None, "b": "1"},
        {"a": 1, "b": None},
        {"a": b"1", "b": None},
        {"a": 1.0, "b": None},
        {"a": "1", "b": ""},
        {"a": "", "b": "1"},
        {"a": None, "b": None},
    ]
    macs = {mac.seal(table, row)["mac"] for table in (one, two) for row in rows}
    assert len(macs) == 2 * len(rows)
