# SPDX-License-Identifier: Apache-2.0
"""``keyquorum db``: the schema of the database, and whether every row is as it was written."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from keyquorum.cli.common import Configured, data_options, fail

if TYPE_CHECKING:
    from keyquorum.admin.database import Standing


@click.group()
def db() -> None:
    """Upgrade the database, and check it."""


@contextmanager
def _failing(code: int = 2) -> Iterator[None]:
    from keyquorum.admin.client import ClientError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.store.migrate import SchemaError

    try:
        yield
    except KMSError as error:
        fail(Exception(f"the database cannot be had: {error.detail or error.code}"))
    except (ClientError, IntegrityError, OSError, SchemaError, ValueError) as error:
        fail(error, code)


def _told(standing: "Standing") -> str:
    if standing.database is None:
        return "The database is empty."
    oldest = "" if standing.oldest == standing.database else f", on which programs of {standing.oldest} can work"
    return f"The database has schema {standing.database}{oldest}."


@db.command()
@data_options
def current(configured: Configured) -> None:
    """Show the schema of the database, and that of this program."""
    from keyquorum.admin import database

    with _failing():
        standing = database.current(configured.settings())
    click.echo(_told(standing))
    click.echo(f"This program has schema {standing.program}.")


@db.command()
@data_options
def upgrade(configured: Configured) -> None:
    """Create the schema, or bring it to that of this program, in one transaction.

    Nodes of the version before go on meanwhile, if the schema says that they can work on it.
    """
    from keyquorum.admin import database

    with _failing():
        before, after = database.upgrade(configured.settings())
    click.echo("Nothing to do." if before == after else _told(after))


@db.command()
@data_options
def check(configured: Configured) -> None:
    """Check the schema, that nothing foreign is in the database, and every row.

    Ends with 1 if something is wrong, and says what. A row that is not there any more, and one that was put back to an
    older state, are not noticed.
    """
    from keyquorum.admin import database

    with _failing(1):
        report = database.check(configured.settings())
    for problem in report.problems:
        click.echo(problem)
    if report.found > len(report.problems):
        click.echo(f"... and {report.found - len(report.problems)} more")
    click.echo(f"{report.rows} rows are as they were written.")
    sys.exit(1 if report.found else 0)
