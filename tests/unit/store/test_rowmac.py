# SPDX-License-Identifier: Apache-2.0
"""Who can write to the database gains no authority: a row that this program did not write is not loaded."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from stored import ACCOUNT, MAC, REGION, Filled, authorized, fill, of_kind, undone

from keyquorum.errors import IntegrityError
from keyquorum.model import ROOT, USER
from keyquorum.store import schema
from keyquorum.store.rowmac import RowMAC

Load = Callable[[sa.Connection], object]


STORES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=STORES, scope="module")
def everything(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    kind = "memory" if request.param == "sqlite" else request.param
    with of_kind(kind, tmp_path_factory.mktemp("store")) as opened:
        yield fill(opened)


@pytest.fixture
def filled(everything: Filled) -> Iterator[Filled]:
    with undone(everything) as found:
        yield found


def tamper(filled: Filled, *statements: str) -> None:
    """Raw SQL, as somebody with a shell and the file would write it."""
    with filled.store.database.write() as txn:
        for statement in statements:
            said = statement.replace("x'00'", r"'\x00'::bytea") if filled.on_postgresql else statement
            txn.connection.exec_driver_sql(said)


def loads(filled: Filled) -> dict[str, Load]:
    store = filled.store
    return {
        "keys": lambda c: store.keys.load(c, "key-one", REGION),
        "key_materials": lambda c: store.keys.load(c, "key-one", REGION),
        "key_policies": lambda c: store.keys.policy(c, filled.one),
        "aliases": lambda c: store.aliases.load(c, ACCOUNT, REGION, "alias/one"),
        "grants": lambda c: store.grants.load(c, "grant-one"),
        "principals": lambda c: store.identities.load(c, "AIDAALICE"),
        "access_keys": lambda c: store.access_keys.load(c, "AKIAALICE"),
        "managed_policies": lambda c: store.managed_policies.load(c, ONE_POLICY),
        "oidc_providers": lambda c: store.providers.load(c, ACCOUNT, "one.example"),
    }


ONE_POLICY = f"arn:aws:iam::{ACCOUNT}:policy/one"


ONE = {
    "keys": "key_id = 'key-one'",
    "key_materials": "key_id = 'key-one'",
    "key_policies": "key_id = 'key-one'",
    "aliases": "name = 'alias/one'",
    "grants": "grant_id = 'grant-one'",
    "principals": "principal_id = 'AIDAALICE'",
    "access_keys": "access_key_id = 'AKIAALICE'",
    "managed_policies": "name = 'one'",
    "oidc_providers": "url = 'one.example'",
}
# What selects the row that is loaded; to change it is to hide the row. (A key does not do without its materials and its
# policy: there it shows.)
SELECTED_BY = {
    ("keys", "key_id"),
    ("keys", "region"),
    ("aliases", "account"),
    ("aliases", "region"),
    ("aliases", "name"),
    ("grants", "grant_id"),
    ("principals", "principal_id"),
    ("access_keys", "access_key_id"),
    ("managed_policies", "account"),
    ("managed_policies", "name"),
    ("oidc_providers", "account"),
    ("oidc_providers", "url"),
}
COLUMNS = [
    (name, column.name)
    for name in ONE
    for column in schema.metadata.tables[name].columns
    if (name, column.name) not in SELECTED_BY
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
    columns = ", ".join(f'"{column.name}"' for column in schema.metadata.tables[table].columns)
    if not filled.on_postgresql:
        tamper(filled, "PRAGMA defer_foreign_keys=ON", "PRAGMA legacy_alter_table=ON")
    tamper(
        filled,
        f"CREATE TABLE loose AS SELECT {columns} FROM {table}",
        f"ALTER TABLE {table} RENAME TO strict_{table}",
        f"ALTER TABLE loose RENAME TO {table}",
    )


def test_every_table_with_a_mac_is_here() -> None:
    """Three are not loaded by a name: the outbox, which has its own tests; what remembers deleted keys; erasures."""
    sealed = {name for name, table in schema.metadata.tables.items() if "mac" in table.columns}
    assert sealed == {*ONE, "audit_outbox", "deleted_keys", "erasures"}


def test_what_was_written_is_loaded(filled: Filled) -> None:
    with filled.store.database.read() as connection:
        for load in loads(filled).values():
            assert load(connection) is not None


# PostgreSQL keeps one type in a column, and its owner may change that: the new type, and what is then in each row.
WRONG_TYPES = {
    "another text": ("text", "'other'"),
    "no text": ("text", "''"),
    "a number": ("bigint", "12"),
    "a decimal number": ("numeric", "12.5"),
    "a float": ("double precision", "'NaN'"),
    "bytes": ("bytea", r"'\x00'"),
    "a truth": ("boolean", "true"),
    "JSON": ("jsonb", "'{}'"),
    "a list": ("text[]", "'{a}'"),
    "a moment": ("timestamptz", "now()"),
    "null": ("text", "NULL"),
}


def ways(filled: Filled, table: str, column: str) -> dict[str, str]:
    """Statements that each change a column of the row that is loaded."""
    if filled.on_postgresql:
        change = f'ALTER TABLE {table} ALTER "{column}" TYPE'
        return {name: f"{change} {kind} USING {value}" for name, (kind, value) in WRONG_TYPES.items()}
    found = schema.metadata.tables[table].columns[column]
    return {name: f"UPDATE {table} SET {column} = {value(found)} WHERE {ONE[table]}" for name, value in WRONG.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=map(".".join, COLUMNS))
def test_a_column_is_changed(filled: Filled, table: str, column: str) -> None:
    without_constraints(filled, table)
    for wrong, statement in ways(filled, table, column).items():
        with filled.store.database.read() as connection:
            before = connection.begin_nested()
            tamper(filled, statement)
            try:
                loads(filled)[table](connection)
            except (IntegrityError, sa.exc.DBAPIError):  # ``Database.read`` makes one of ours of the second
                before.rollback()
            else:
                pytest.fail(f"{wrong} was believed")


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=map(".".join, COLUMNS))
def test_a_bit_is_flipped(filled: Filled, table: str, column: str) -> None:
    """In a value of the right type, of the row that is loaded."""
    without_constraints(filled, table)
    of = schema.metadata.tables[table]
    with filled.store.database.write() as txn:
        this = sa.text(ONE[table])
        value = txn.connection.execute(sa.select(of.c[column]).where(this)).scalars().first()
        assert value is not None
        changed = sa.update(of).where(this).values({column: flipped(value)})
        txn.connection.execute(changed)
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        loads(filled)[table](connection)


def flipped(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, str):
        return chr(ord(value[0]) ^ 1) + value[1:] if value else "x"
    return type(value)(int(value) ^ 1)


@pytest.mark.parametrize("table", [name for name in ONE if name != "key_materials"])
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
        one, two = (filled.store.keys.load(connection, f"key-{n}", REGION) for n in ("one", "two"))
        assert one is not None
        assert two is not None
    tamper(filled, "UPDATE key_materials SET key_id = 'key-one' WHERE key_id = 'key-two'")
    with filled.store.database.read() as connection:
        for key_id in ("key-one", "key-two"):
            with pytest.raises(IntegrityError):
                filled.store.keys.load(connection, key_id, REGION)


@pytest.mark.parametrize("column", ["wrapped_row", "mac", "material_id"])
def test_two_material_rows_swap_a_column(filled: Filled, column: str) -> None:
    without_constraints(filled, "key_materials")
    other = f"(SELECT o.{column} FROM strict_key_materials o WHERE o.key_id != key_materials.key_id)"
    tamper(filled, f"UPDATE key_materials SET {column} = {other}")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        filled.store.keys.load(connection, "key-one", REGION)


@pytest.mark.parametrize(
    ("lost", "load"),
    [
        ("key_materials", "keys"),
        ("wrapped_materials", "keys"),
        ("key_policies", "key_policies"),
        ("managed_policies", "principals"),
    ],
)
def test_a_row_that_others_need_is_removed(filled: Filled, lost: str, load: str) -> None:
    without_constraints(filled, lost)
    tamper(filled, f"DELETE FROM {lost}")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        loads(filled)[load](connection)


def test_two_wrapped_materials_are_swapped(filled: Filled) -> None:
    """They bear no MAC: each opens for its own key and material alone."""

    def use(name: str) -> bytes:
        with filled.store.database.read() as connection:
            record = filled.store.keys.load(connection, f"key-{name}", REGION)
        assert record is not None
        return filled.keyring.encrypt(authorized(record), b"x", None)

    assert use("one") != use("two")
    rows = "SELECT wrapped_row FROM key_materials WHERE key_id"
    tamper(
        filled,
        f'UPDATE wrapped_materials SET "row" = -1 WHERE "row" = ({rows} = \'key-one\')',
        f"UPDATE wrapped_materials SET \"row\" = ({rows} = 'key-one') WHERE \"row\" = ({rows} = 'key-two')",
        f'UPDATE wrapped_materials SET "row" = ({rows} = \'key-two\') WHERE "row" = -1',
    )
    for name in ("one", "two"):
        with pytest.raises(IntegrityError):
            use(name)


def test_a_grant_is_listed_only_with_its_mac(filled: Filled) -> None:
    grants, key = filled.store.grants, filled.one
    tamper(filled, 'UPDATE grants SET operations = \'["Decrypt","Encrypt","CreateGrant"]\'')
    with filled.store.database.read() as connection:
        with pytest.raises(IntegrityError):
            grants.on_key(connection, key, "", 10)
        with pytest.raises(IntegrityError):
            grants.named(connection, key, "n", f"arn:aws:iam::{ACCOUNT}:user/alice")
        with pytest.raises(IntegrityError):
            grants.retirable(connection, REGION, f"arn:aws:iam::{ACCOUNT}:user/bob", None, "", 10)


@pytest.mark.parametrize(("mine", "theirs"), [("one", "two"), ("two", "one")])
def test_a_grant_is_moved_to_another_key(filled: Filled, mine: str, theirs: str) -> None:
    tamper(filled, f"UPDATE grants SET key_id = 'key-{mine}' WHERE key_id = 'key-{theirs}'")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        filled.store.grants.load(connection, f"grant-{theirs}")


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
    tamper(filled, "UPDATE principals SET kind = 'Root', name = 'Root' WHERE name = 'alice'")
    with filled.store.database.read() as connection:
        with pytest.raises(IntegrityError):
            filled.store.identities.load(connection, "AIDAALICE")
        with pytest.raises(IntegrityError):
            filled.store.identities.principal(connection, ACCOUNT, ROOT, ROOT)


@pytest.mark.parametrize(
    "removed",
    [
        "DELETE FROM principals WHERE kind = 'Group'",
        "DELETE FROM managed_policies WHERE name = 'one'",
        "DELETE FROM managed_policies WHERE name = 'two'",
    ],
)
def test_what_an_identity_has_is_removed(filled: Filled, removed: str) -> None:
    """A policy, a group or a boundary may be there to deny: without it there is no identity."""
    tamper(filled, removed)
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        filled.store.identities.load(connection, "AIDAALICE")


def test_a_key_is_listed_only_with_its_mac(filled: Filled) -> None:
    tamper(filled, "UPDATE keys SET description = 'x' WHERE key_id = 'key-two'")
    with filled.store.database.read() as connection, pytest.raises(IntegrityError):
        filled.store.keys.page(connection, ACCOUNT, REGION, "", 10)


# -- a deleted key


def rows_of(filled: Filled, key_id: str) -> list[tuple[sa.Table, dict[str, Any]]]:
    """All that is kept of a key, as a backup holds it."""
    found = []
    with filled.store.database.read() as connection:
        for table in (schema.keys, schema.wrapped_materials, schema.key_materials, schema.key_policies):
            query = sa.select(table)
            if table is not schema.wrapped_materials:
                query = query.where(table.c.key_id == key_id)
            found += [(table, dict(row)) for row in connection.execute(query).mappings()]
    return found


def put_back(filled: Filled, rows: list[tuple[sa.Table, dict[str, Any]]]) -> None:
    with filled.store.database.write() as txn:
        for table, row in rows:
            this = sa.and_(*[column == row[column.name] for column in table.primary_key.columns])
            if not txn.connection.execute(sa.update(table).where(this).values(row)).rowcount:
                txn.connection.execute(sa.insert(table).values(row))


DAMAGE = ["deleted_at = 0", "account = '444455556666'", "mac = x'00'", "version = 9", "account = 7"]


@pytest.mark.parametrize("damage", [None, *DAMAGE])
def test_the_rows_of_a_deleted_key_are_put_back(filled: Filled, damage: str | None) -> None:
    """Every row as it once was valid: what speaks against it is that it was deleted, whatever else is in that row."""
    rows = rows_of(filled, "key-one")
    with filled.store.database.write() as txn:
        filled.store.keys.delete(txn, filled.one, 1.0)
    put_back(filled, rows)
    if damage is not None:
        tamper(filled, f"UPDATE deleted_keys SET {damage}")
    with filled.store.database.read() as connection:
        with pytest.raises(IntegrityError, match="was deleted, and its row is there again"):
            filled.store.keys.load(connection, "key-one", REGION)
        assert filled.store.keys.is_taken(connection, "key-one")


def test_the_policy_of_a_deleted_key_is_put_back_alone(filled: Filled) -> None:
    rows = [(table, row) for table, row in rows_of(filled, "key-one") if table is schema.key_policies]
    with filled.store.database.write() as txn:
        filled.store.keys.delete(txn, filled.one, 1.0)
    with pytest.raises(IntegrityError):
        put_back(filled, rows)  # there is no key for it to belong to


ERASURES = [
    "UPDATE erasures SET key_id = 'key-one'",
    "UPDATE erasures SET region = 'eu-west-1'",
    "UPDATE erasures SET account = '444455556666'",
    "UPDATE erasures SET account = 7",
    "UPDATE erasures SET mac = x'00'",
    "UPDATE erasures SET mac = 'text'",
]


@pytest.mark.parametrize("statement", ERASURES)
def test_an_erasure_that_was_changed_is_not_recorded_and_keeps_no_other(
    filled: Filled, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it would record is that a key was erased which is there."""
    tamper(filled, statement)
    with filled.store.database.write() as txn:
        filled.store.keys.delete(txn, filled.one, 1.0)
    with filled.store.database.read() as connection:
        (left,) = filled.store.keys.erasures.pending(connection)
    assert (left.key_id, left.region, left.account) == ("key-one", REGION, ACCOUNT)
    assert "of the erasures was tampered with and is not recorded" in caplog.text


def test_an_erasure_that_was_put_there_is_not_recorded(filled: Filled) -> None:
    values = (
        f"SELECT 'key-one', region, account, mac FROM erasures UNION ALL VALUES ('key-one', '{REGION}', '1', x'00')"
    )
    tamper(filled, f"INSERT INTO erasures (key_id, region, account, mac) {values}")
    with filled.store.database.read() as connection:
        assert [erasure.key_id for erasure in filled.store.keys.erasures.pending(connection)] == ["key-gone"]


def test_a_deleted_key_is_remembered_with_a_mac(filled: Filled) -> None:
    with filled.store.database.read() as connection:
        row = connection.execute(sa.select(schema.deleted_keys)).mappings().one()
        assert MAC.check(schema.deleted_keys, row)["key_id"] == "key-gone"
        for column in schema.deleted_keys.columns:
            with pytest.raises(IntegrityError):
                MAC.check(schema.deleted_keys, {**row, column.name: "other"})


def test_a_row_from_a_store_with_another_root_key(filled: Filled) -> None:
    other = type(filled.store)(filled.store.database, RowMAC(bytes(32)))
    with other.database.read() as connection, pytest.raises(IntegrityError):
        other.keys.load(connection, "key-one", REGION)
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
