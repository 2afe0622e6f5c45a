# SPDX-License-Identifier: Apache-2.0
"""Brings a database to this program's schema, in one transaction, so that an interrupted migration can be run again.

A database that a newer program wrote is left alone, and used if its schema says that this program can: nodes of two
versions then run side by side on it. A revision may say so (``schema_compatibility``) only if, until the version after
it, what programs before it do not know of stays null in the rows that they write: they write whole rows, and put their
MAC to what they know.

A new database is made from ``schema`` at once; a test holds the migration scripts to the same result.
"""

from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.store import schema
from keyquorum.store.engine import Database

_VERSIONS: Final = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


class SchemaError(Exception):
    """The database is not one that this program can open; the text says why."""


class Program(NamedTuple):
    """What a version of the program knows: schema revisions, oldest first, and the scripts that lead to them."""

    revisions: tuple[str, ...] = schema.REVISIONS
    scripts: Path = Path(__file__).parent / "migrations"


class Revision(NamedTuple):
    """What a database says of its schema: its revision, and the oldest whose programs can work on it."""

    number: str
    oldest: str


_THIS: Final = Program()


def prepare(database: Database) -> None:
    """What a server does at its start: create the schema in an empty database, and upgrade one that it has to itself.
    One that nodes share is the operator's to upgrade. Raises SchemaError."""
    if not database.shared:
        upgrade(database)
        return
    with database.read() as connection:
        is_empty = not sa.inspect(connection).get_table_names()
    if is_empty:
        upgrade(database)
    require_current(database)


def upgrade(database: Database, program: Program = _THIS) -> None:
    """Create or upgrade the schema. Raises SchemaError for a foreign database, or one of a newer program that says of
    this one that it cannot work on it."""

    def run(connection: sa.Connection) -> None:
        _check_tables(database, connection)
        if not sa.inspect(connection).get_table_names():
            create(connection)
        elif _position(connection, program) < len(program.revisions) - 1:
            run_scripts(connection, program)

    database.execute_script(run)


def require_current(database: Database, program: Program = _THIS) -> None:
    """Raises SchemaError unless the database has this program's schema, or a newer one on which it can work."""
    with database.read() as connection:
        _check_tables(database, connection)
        if _position(connection, program) < len(program.revisions) - 1:
            how = "run keyquorum db upgrade" if database.shared else "start the server once to upgrade it"
            raise SchemaError(f"the database has an older schema: {how}")


def revision(connection: sa.Connection) -> Revision | None:
    """What the database says; None if it is empty. Raises SchemaError if the database is not keyquorum's."""
    inspector = sa.inspect(connection)
    if not inspector.get_table_names():
        return None
    if not inspector.has_table(_VERSIONS.name):
        raise SchemaError("the database holds tables that are not keyquorum's")
    number = str(connection.execute(sa.select(_VERSIONS.c.version_num)).scalar())
    oldest = None
    if inspector.has_table(schema.schema_compatibility.name):
        oldest = connection.execute(sa.select(schema.schema_compatibility.c.oldest)).scalar()
    return Revision(number, number if oldest is None else str(oldest))


def _check_tables(database: Database, connection: sa.Connection) -> None:
    """Raises SchemaError if reading or writing a table could be anything else than that."""
    found = database.foreign(connection)
    if found is not None:
        raise SchemaError(f"the database holds {found}")


def _position(connection: sa.Connection, program: Program) -> int:
    """Which of the program's revisions the schema has; one more than all if it has a newer one on which the program can
    work. Raises SchemaError."""
    there, known = revision(connection), program.revisions
    if there is None:
        raise SchemaError("the database is empty")
    if there.number in known:
        return known.index(there.number)
    if there.oldest in known:
        return len(known)
    raise SchemaError(
        f"the database has schema {there.number}, which this version of keyquorum does not know "
        f"(it knows up to {known[-1]}): a newer version wrote it"
    )


def create(connection: sa.Connection) -> None:
    """Make the newest schema in an empty database."""
    schema.metadata.create_all(connection)
    connection.execute(sa.insert(schema.generation).values(value=0))
    connection.execute(sa.insert(schema.schema_compatibility).values(oldest=schema.REVISIONS[-1]))
    _VERSIONS.create(connection)
    connection.execute(sa.insert(_VERSIONS).values(version_num=schema.REVISIONS[-1]))


def run_scripts(connection: sa.Connection, program: Program = _THIS) -> None:
    """Run the migration scripts that are missing, inside the caller's transaction."""
    from alembic import command  # here, because importing it costs more than a start without migrations takes
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(program.scripts))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
