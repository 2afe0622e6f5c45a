# SPDX-License-Identifier: Apache-2.0
"""Programs of two versions on one database: the next revision of the schema is one that these tests make up."""

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgres import fresh_database
from stored import MAC, REGION, fill, of_kind

from keyquorum.store import migrate, schema
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations
from keyquorum.store.migrate import Program, SchemaError
from keyquorum.store.postgresql import PostgreSQL
from keyquorum.store.store import LockedView, Store

#: By revision 0003.
_ADDED = (("root_keys", "kind"), ("root_keys", "parameters"), ("keyring_keys", "retired_at"), ("audit_outbox", "node"))
_NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("keys", sa.Column("colour", sa.Text()))
    op.create_table("colours", sa.Column("name", sa.Text(), primary_key=True))
    op.execute("UPDATE schema_compatibility SET oldest = '{oldest}'")
"""


@pytest.fixture(params=["file", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with of_kind(request.param, tmp_path) as made:
        yield made


def next_program(tmp_path: Path, oldest: str) -> Program:
    """The next version, whose schema says that programs from ``oldest`` on can work on it."""
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.Program().scripts, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "0004_colours.py").write_text(_NEXT.format(oldest=oldest))
    return Program((*schema.REVISIONS, "0004"), scripts)


def test_this_version_goes_on_beside_the_next_one(opened: Database, tmp_path: Path) -> None:
    filled = fill(opened)
    following = next_program(tmp_path, "0003")
    with opened.read() as connection:
        assert migrate.revision(connection) == ("0003", "0003")
    with pytest.raises(SchemaError, match="has an older schema"):
        migrate.require_current(opened, following)
    migrate.upgrade(opened, following)
    for program in (following, Program()):
        migrate.require_current(opened, program)
        migrate.upgrade(opened, program)
    migrate.prepare(opened)
    with opened.read() as connection:
        assert migrate.revision(connection) == ("0004", "0003")
    with opened.write() as txn:
        filled.store.keys.update(txn, filled.one, description="by this version")
    with opened.read() as connection:
        # As the next version reads it: every column, the new one too, which is null.
        row = connection.execute(sa.text("SELECT * FROM keys WHERE key_id = 'key-one'")).mappings().one()
    assert (row["description"], row["colour"]) == ("by this version", None)
    assert MAC.check(schema.keys, row)["version"] == 2


def test_this_version_refuses_a_schema_that_is_not_for_it(opened: Database, tmp_path: Path) -> None:
    migrate.upgrade(opened, next_program(tmp_path, "0004"))
    for opening in (migrate.require_current, migrate.upgrade, migrate.prepare):
        with pytest.raises(SchemaError, match=r"schema 0004, which this version .* does not know"):
            opening(opened)


def test_an_upgrade_that_fails_leaves_everything_as_it_was(opened: Database, tmp_path: Path) -> None:
    fill(opened)
    following = next_program(tmp_path, "0003")
    script = following.scripts / "versions" / "0004_colours.py"
    script.write_text(script.read_text() + '    raise RuntimeError("power")\n')
    with pytest.raises(RuntimeError):
        migrate.upgrade(opened, following)
    with opened.read() as connection:
        assert migrate.revision(connection) == ("0003", "0003")
        assert not sa.inspect(connection).has_table("colours")
    with opened.write() as txn:
        assert LockedView(Store(opened, MAC), txn).key("key-one", REGION) is not None


@pytest.mark.slow
def test_a_server_upgrades_what_it_has_to_itself_and_nothing_that_nodes_share(tmp_path: Path) -> None:
    older = "UPDATE alembic_version SET version_num = '0002'"
    with fresh_database() as url:
        shared = PostgreSQL(url, Generations(None))
        migrate.prepare(shared)
        shared.execute_script(lambda connection: connection.exec_driver_sql(older))
        with pytest.raises(SchemaError, match="run keyquorum db upgrade"):
            migrate.prepare(shared)
        shared.close()
    with of_kind("file", tmp_path) as own:
        back = (
            *(f"DROP TABLE {table}" for table in ("changes", "schema_compatibility", "spent_tokens")),
            *(f"ALTER TABLE {table} DROP COLUMN {column}" for table, column in _ADDED),
            *(f"DROP INDEX {table}_by_keyring_version" for table in ("access_keys", "key_materials")),
            "DROP INDEX keys_by_state",
            older,
        )
        for statement in back:
            own.execute_script(functools.partial(sa.Connection.exec_driver_sql, statement=statement))
        migrate.prepare(own)
        with own.read() as connection:
            assert migrate.revision(connection) == ("0003", "0003")
