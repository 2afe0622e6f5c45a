# SPDX-License-Identifier: Apache-2.0
"""The database itself: its schema, and whether every row is as keyquorum wrote it. Only ``upgrade`` changes
anything."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.admin.offline import reading
from keyquorum.app import Opened, open_database
from keyquorum.config import Settings
from keyquorum.errors import IntegrityError
from keyquorum.store import migrate, schema
from keyquorum.store.rowmac import RowMAC

#: Rows that are in memory at once.
_BATCH: Final = 1000
_MOST: Final = 100


class Standing(NamedTuple):
    """Schema revisions: the database's, None if it is empty; the oldest whose programs can work on that; ours."""

    database: str | None
    oldest: str | None
    program: str


class Report(NamedTuple):
    """How many rows bear their MAC, and what is wrong, as far as anybody wants to read it."""

    rows: int
    problems: list[str]
    found: int


def current(settings: Settings) -> Standing:
    """Raises SchemaError, KMSError, OSError."""
    with closing(open_database(settings, create=False)) as database, database.read() as connection:
        there = migrate.revision(connection)
    number, oldest = (None, None) if there is None else there
    return Standing(number, oldest, schema.REVISIONS[-1])


def upgrade(settings: Settings) -> tuple[Standing, Standing]:
    """Create the schema, or bring it to this program's: how it was, and how it is. Raises SchemaError, KMSError,
    OSError."""
    before = current(settings)
    with closing(open_database(settings, create=False)) as database:
        migrate.upgrade(database)
    return before, current(settings)


def check(settings: Settings) -> Report:
    """Raises ClientError if it cannot be opened: that it has another schema, or things in it that are not
    keyquorum's, is then what that says."""
    with reading(settings) as opened, opened.database.read(patient=True) as connection:
        rows, found = 0, 0
        problems: list[str] = []
        for problem in (*_rows(opened, connection), *_keys(opened, connection)):
            if isinstance(problem, int):
                rows += problem
                continue
            found += 1
            if len(problems) < _MOST:
                problems.append(problem)
    return Report(rows, problems, found)


def _rows(opened: Opened, connection: sa.Connection) -> Iterator[str | int]:
    """Of each table that bears MACs, how many rows are as they were written; and a sentence for each that is not."""
    mac = RowMAC(opened.root.derive("row mac"))
    for table in schema.metadata.sorted_tables:
        if "mac" not in table.c:
            continue
        uncovered = "row" if "row" in table.c else ""
        good = 0
        with connection.execute(sa.select(table), execution_options={"yield_per": _BATCH}) as result:
            for row in result.mappings():
                try:
                    mac.check(table, row, uncovered)
                    good += 1
                except IntegrityError:
                    name = " ".join(str(row[column.name]) for column in table.primary_key.columns)
                    yield f"{table.name}: {name} is not as it was written."
        yield good


def _keys(opened: Opened, connection: sa.Connection) -> Iterator[str]:
    """Each key with its material and policy, which belong together."""
    keys = opened.store.keys
    for place in keys.places(connection):
        try:
            keys.load(connection, place.key_id, place.region)
        except IntegrityError as error:
            yield f"{error}."
