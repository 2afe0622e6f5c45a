# SPDX-License-Identifier: Apache-2.0
"""One schema, whether it was made at once or by the scripts; and databases that this program leaves alone."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from keyquorum.errors import DependencyTimeoutException
from keyquorum.store import migrate, schema
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations
from keyquorum.store.sqlite import SQLite


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Database]:
    database = SQLite(tmp_path / "keyquorum.db", Generations(tmp_path / "generations"))
    yield database
    database.close()


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def shape(connection: sa.Connection) -> dict[str, tuple[object, ...]]:
    """All that SQLite itself knows of the tables, in no order of columns' making."""
    inspector = sa.inspect(connection)
    tables: dict[str, tuple[object, ...]] = {}
    for name in inspector.get_table_names():
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar_one()
        tables[name] = (
            connection.exec_driver_sql(f"PRAGMA table_info('{name}')").all(),
            sorted(map(str, inspector.get_indexes(name))),
            sorted(map(str, inspector.get_unique_constraints(name))),
            sorted(map(str, inspector.get_foreign_keys(name))),
            "AUTOINCREMENT" in sql,
        )
    return tables


def shape_after(database: Database, action: Callable[[sa.Connection], None]) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}

    def run(connection: sa.Connection) -> None:
        action(connection)
        found.update(shape(connection))

    database.execute_script(run)
    return found


def numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(sa.select(schema.generation.c.value)).scalars())


def test_the_scripts_make_the_schema(tmp_path: Path) -> None:
    shapes = []
    for name, action in (("a", migrate.create), ("b", migrate.run_scripts)):
        database = SQLite(tmp_path / name, Generations(None))
        shapes.append(shape_after(database, action))
        assert numbers(database) == [0]
        with database.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        database.close()
    assert shapes[0] == shapes[1]
    assert {"keys", "alembic_version"} <= set(shapes[0])


def test_the_revisions_are_those_of_the_scripts() -> None:
    assert tuple(reversed([script.revision for script in scripts().walk_revisions()])) == schema.REVISIONS


def test_an_upgrade_of_a_current_database_changes_nothing(opened: Database) -> None:
    migrate.upgrade(opened)
    with opened.write() as txn:
        txn.touch("a")
    migrate.upgrade(opened)
    assert numbers(opened) == [1]


@pytest.mark.parametrize("action", [migrate.create, migrate.run_scripts])
def test_a_migration_that_is_interrupted_leaves_nothing_and_can_run_again(
    opened: Database, action: Callable[[sa.Connection], None]
) -> None:
    def interrupted(connection: sa.Connection) -> None:
        action(connection)
        connection.execute(sa.insert(schema.generation).values(value=7))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.execute_script(interrupted)
    with opened.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    migrate.upgrade(opened)
    assert numbers(opened) == [0]


def test_a_migration_that_fails_in_its_middle_leaves_nothing(opened: Database) -> None:
    """The last table of the first schema is in its way."""

    def obstructed(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE key_policies (x)")
        migrate.run_scripts(connection)

    with pytest.raises(DependencyTimeoutException):
        opened.execute_script(obstructed)
    with opened.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    opened.execute_script(migrate.run_scripts)
    assert numbers(opened) == [0]


def test_a_database_of_a_newer_program_is_refused_and_left_alone(opened: Database, tmp_path: Path) -> None:
    migrate.upgrade(opened)
    with opened.write() as txn:
        txn.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        txn.connection.exec_driver_sql("UPDATE schema_compatibility SET oldest = '9998'")
    with pytest.raises(migrate.SchemaError, match=r"schema 9999.*a newer version wrote it"):
        migrate.upgrade(opened)
    assert numbers(opened) == [1]


@pytest.mark.parametrize(
    "statements", [["CREATE TABLE customers (id)"], ["CREATE TABLE keys (id)", "CREATE TABLE generation (value)"]]
)
def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, statements: list[str]) -> None:
    path = tmp_path / "keyquorum.db"
    other = sqlite3.connect(path)
    for statement in statements:
        other.execute(statement)
    other.close()
    database = SQLite(path, Generations(None))
    with pytest.raises(migrate.SchemaError, match="not keyquorum's"):
        migrate.upgrade(database)
    with database.read() as connection:
        assert len(sa.inspect(connection).get_table_names()) == len(statements)
    database.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE keys RENAME TO old", "CREATE VIEW keys AS SELECT * FROM old"],
        ["CREATE VIEW unheard_of AS SELECT 1"],
        ["CREATE TRIGGER unheard_of AFTER UPDATE ON keys BEGIN DELETE FROM deleted_keys; END"],
        ["CREATE VIRTUAL TABLE unheard_of USING fts5(x)"],
    ],
)
@pytest.mark.parametrize("opening", [migrate.upgrade, migrate.require_current])
def test_a_database_whose_tables_are_more_than_tables_is_refused(
    opened: Database, opening: Callable[[Database], None], statements: list[str]
) -> None:
    """Somebody with a shell and the file can make any of these, to answer or to do what nobody asked for."""
    migrate.upgrade(opened)
    with opened.write() as txn:
        for statement in statements:
            txn.connection.exec_driver_sql(statement)
    with pytest.raises(migrate.SchemaError, match="holds views or triggers that are not keyquorum's"):
        opening(opened)


def test_a_view_in_a_new_file_is_refused_before_there_is_a_table(opened: Database) -> None:
    opened.execute_script(lambda connection: connection.exec_driver_sql("CREATE VIEW keys AS SELECT 1"))
    with pytest.raises(migrate.SchemaError, match="views or triggers"):
        migrate.upgrade(opened)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "keyquorum.db"
    path.write_bytes(b"-- not SQLite --" * 64)
    database = SQLite(path, Generations(None))
    with pytest.raises(DependencyTimeoutException):
        migrate.upgrade(database)
    database.close()
    assert path.read_bytes() == b"-- not SQLite --" * 64


def test_several_start_on_one_new_file_at_once(tmp_path: Path) -> None:
    databases = [SQLite(tmp_path / "keyquorum.db", Generations(tmp_path / "generations")) for _ in range(4)]
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(migrate.upgrade, databases))
    for database in databases:
        assert numbers(database) == [0]
        database.close()
