# SPDX-License-Identifier: Apache-2.0
"""Brings a database to this program's schema, in one transaction, so that an interrupted migration can be run again.

A database that a newer program wrote is refused. A new one is made from ``schema`` at once; a test holds the
migration scripts to the same result.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from keyquorum.store import schema
from keyquorum.store.engine import Database

_VERSIONS: Final = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


class SchemaError(Exception):
    """The database is not one that this program can open; the text says why."""


def upgrade(database: Database) -> None:
    """Create or upgrade the schema. Raises SchemaError for a newer or a foreign database."""
    database.execute_script(_upgrade)


def require_current(database: Database) -> None:
    """Raises SchemaError unless the database has this program's schema."""
    with database.read() as connection:
        _check_tables(connection)
        if _known(connection) != schema.REVISIONS[-1]:
            raise SchemaError("the database has an older schema: start the server once to upgrade it")


def _upgrade(connection: sa.Connection) -> None:
    _check_tables(connection)
    if not sa.inspect(connection).get_table_names():
        create(connection)
    elif _known(connection) != schema.REVISIONS[-1]:
        run_scripts(connection)


def _check_tables(connection: sa.Connection) -> None:
    """Raises SchemaError if reading or writing a table could be anything else than that."""
    # A virtual table has no page of its own.
    query = "SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index') OR rootpage = 0"
    if connection.exec_driver_sql(query).first() is not None:
        raise SchemaError("the database holds views or triggers that are not keyquorum's")


def _known(connection: sa.Connection) -> str:
    """The schema's revision; raises SchemaError if this program does not know it."""
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        raise SchemaError("the database holds tables that are not keyquorum's")
    current = str(connection.execute(sa.select(_VERSIONS.c.version_num)).scalar())
    if current not in schema.REVISIONS:
        raise SchemaError(
            f"the database has schema {current}, which this version of keyquorum does not know "
            f"(it knows up to {schema.REVISIONS[-1]}): a newer version wrote it"
        )
    return current


def create(connection: sa.Connection) -> None:
    """Make the newest schema in an empty database."""
    schema.metadata.create_all(connection)
    connection.execute(sa.insert(schema.generation).values(value=0))
    connection.execute(sa.insert(schema.schema_compatibility).values(oldest=schema.REVISIONS[-1]))
    _VERSIONS.create(connection)
    connection.execute(sa.insert(_VERSIONS).values(version_num=schema.REVISIONS[-1]))


def run_scripts(connection: sa.Connection) -> None:
    """Run the migration scripts that are missing, inside the caller's transaction."""
    from alembic import command  # here, because importing it costs more than a start without migrations takes
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
