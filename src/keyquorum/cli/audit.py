# SPDX-License-Identifier: Apache-2.0
"""``keyquorum audit``: verify, read and maintain the audit log of a data directory."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from keyquorum.cli.common import Configured, data_options, fail
from keyquorum.layout import DataDirectory

if TYPE_CHECKING:
    from keyquorum.audit.reading import Shown
    from keyquorum.audit.signing import Signer

_PATH = click.Path(path_type=Path)

_directory_option = click.option(
    "--audit-dir", type=_PATH, default=None, help="The audit directory, if it is not that of the data directory."
)


@click.group()
def audit() -> None:
    """Verify, read and maintain the audit log."""


def _directory(configured: Configured, audit_dir: Path | None) -> Path:
    directory = audit_dir or DataDirectory(configured.data()).audit
    if not directory.is_dir():
        fail(Exception(f"there is no audit directory {directory}"))
    return directory


@contextmanager
def _failing() -> Iterator[None]:
    from keyquorum.audit.log import AuditError
    from keyquorum.custody.seal import SealError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.store.migrate import SchemaError

    try:
        yield
    except KMSError as error:
        fail(Exception(f"the database cannot be had: {error.detail or error.code}"))
    except (AuditError, IntegrityError, OSError, SchemaError, SealError) as error:
        fail(error)


def _signer(configured: Configured) -> "Signer":
    """Opens the root key, and the database where that is kept."""
    from keyquorum.app import open_data

    opened = open_data(configured.settings(), create=False)
    opened.database.close()
    return opened.signer


@audit.command()
@data_options
@_directory_option
@click.option("--checkpoints", type=_PATH, default=None, help="A copy of checkpoints that was exported elsewhere.")
@click.option(
    "--key", "public_key", default=None, help="Public key of the checkpoints; else the seal is opened for it."
)
def verify(configured: Configured, audit_dir: Path | None, checkpoints: Path | None, public_key: str | None) -> None:
    """Find what was changed, removed, inserted, moved or cut off.

    Covers everything up to the last checkpoint. Ends with 1 if the log is not whole, and says where.
    """
    from keyquorum.audit.signing import Verifier
    from keyquorum.audit.verified import keep
    from keyquorum.audit.verify import verify as examine

    directory = _directory(configured, audit_dir)
    if audit_dir is not None and public_key is None and not configured.has("data"):
        fail(Exception("--audit-dir needs --key, or --data to take the key from"))
    with _failing():
        try:
            verifier = Verifier(public_key if public_key is not None else _signer(configured).public_key())
        except ValueError:
            fail(Exception("--key must be the 64 hexadecimal digits that keyquorum audit key prints"))
        report = examine(directory, verifier, checkpoints)
    if audit_dir is None:
        try:
            keep(DataDirectory(configured.data()).verified, report, time.time())
        except OSError as error:
            click.echo(f"what this came to is not kept for the console: {error}", err=True)
    for problem in report.problems:
        click.echo(problem)
    if report.found > len(report.problems):
        click.echo(f"... and {report.found - len(report.problems)} more")
    for removed in report.removed:
        click.echo(f"{removed.file} was removed on purpose; the log of writer {removed.writer} begins after it")
    for file in report.unfinished:
        click.echo(f"{file} ends in an unfinished line: it is being written, or its process died")
    stated = "none" if report.last is None else f"number {report.last.number}, of {report.last.time}"
    click.echo(f"{report.records} records; last checkpoint: {stated}; {report.uncovered} records come after it")
    click.echo("The log is NOT whole." if report.found else "The log is whole.")
    sys.exit(1 if report.found else 0)


@audit.command()
@data_options
@click.option(
    "--also",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help=("Audit directory of another node, or a copy of it."),
)
def compare(configured: Configured, also: tuple[Path, ...]) -> None:
    """Hold the database against the audit log: find rows that were put back to what they were before.

    Looks at what the last recorded changes made of states, deletion dates, policies, grants, aliases, access keys and
    memberships. Nodes that share a database have a log each: give all of them. Ends with 1 if something was found.
    """
    from keyquorum.admin.client import ClientError
    from keyquorum.admin.comparison import compare as look

    _directory(configured, None)
    with _failing():
        try:
            found = look(configured.settings(), also)
        except ClientError as error:
            fail(error)
    for finding in found.findings:
        click.echo(finding)
    click.echo(f"{found.subjects} things are known from the audit log of {1 + len(also)} nodes.")
    if found.shared and found.findings:
        click.echo("What another node changed, whose log was not given (--also), is found as well.")
    sys.exit(1 if found.findings else 0)


@audit.command()
@data_options
def key(configured: Configured) -> None:
    """Print the public key of the checkpoints, with which anybody can verify the log."""
    with _failing():
        click.echo(_signer(configured).public_key())


@audit.command()
@data_options
def checkpoint(configured: Configured) -> None:
    """Make a checkpoint now.

    A process that runs states what it has written by itself, each minute; this covers the files of those that ended.
    """
    from keyquorum.audit.checkpoints import Checkpoints

    directory = _directory(configured, None)
    with _failing():
        made = Checkpoints(directory, _signer(configured)).make(None, time.time())
    click.echo("Nothing has changed since the last checkpoint." if made is None else f"checkpoint {made.number}")


class _Moment(click.ParamType[float]):
    """A date or a time, in UTC where it says nothing else -> seconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date or time such as 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


@audit.command()
@data_options
@click.option("--before", type=_Moment(), required=True, help="Remove what is older than this date.")
def prune(configured: Configured, before: float) -> None:
    """Remove old files that were put aside, and state that in the checkpoints."""
    from keyquorum.audit.prune import prune as remove

    directory = _directory(configured, None)
    with _failing():
        paths = remove(directory, _signer(configured), before, time.time())
    click.echo("\n".join(f"removed {path}" for path in paths) or "There is nothing so old.")


@audit.command()
@data_options
@_directory_option
@click.option("-n", "--lines", type=click.IntRange(0), default=10, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with those that come.")
@click.option("--json", "as_json", is_flag=True, help="Whole records.")
def tail(configured: Configured, audit_dir: Path | None, lines: int, follow: bool, as_json: bool) -> None:
    """Show the last records."""
    from keyquorum.audit.reading import Follower, Query, records

    directory = _directory(configured, audit_dir)
    with _failing():
        follower = Follower(directory) if follow else None
        _show(deque(records(directory, Query()), maxlen=lines), as_json)
        if follower is not None:
            _show(follower, as_json)


@audit.command()
@data_options
@_directory_option
@click.option("--key", default=None, help="Key ID, alias or ARN that the request named or found.")
@click.option("--principal", default=None, help="User name, unique ID, access key ID, or ARN or beginning of one.")
@click.option("--operation", default=None, help="Such as Decrypt.")
@click.option("--since", type=_Moment(), default=None, help="From this date or time on.")
@click.option("--until", type=_Moment(), default=None, help="Up to this date or time.")
@click.option("--outcome", type=click.Choice(["allowed", "refused"]), default=None)
@click.option("--json", "as_json", is_flag=True, help="Whole records.")
def search(
    configured: Configured,
    audit_dir: Path | None,
    key: str | None,
    principal: str | None,
    operation: str | None,
    since: float | None,
    until: float | None,
    outcome: Literal["allowed", "refused"] | None,
    as_json: bool,
) -> None:
    """Show the records that match all that is given, in the order of time."""
    from keyquorum.audit.reading import Query, records
    from keyquorum.audit.record import iso_second

    first, last = (None if moment is None else iso_second(int(moment)) for moment in (since, until))
    query = Query(key, principal, operation, first, last, outcome)
    with _failing():
        _show(records(_directory(configured, audit_dir), query), as_json)


def _show(found: "Iterable[Shown]", as_json: bool) -> None:
    from keyquorum.audit.reading import human

    for shown in found:
        click.echo(shown.line.decode().rstrip("\n") if as_json else human(shown))


@audit.command()
@data_options
@click.option("--node", default=None, help="Its name; without it, the nodes for which records wait are listed.")
def adopt(configured: Configured, node: str | None) -> None:
    """Write the records that wait for a node which is lost for good into the audit log of this one.

    A node writes its records by itself, and the last ones wait until its next change even when they are written: adopt
    those of a node only if it will never start again, and its data directory is gone. The log tells of it.
    """
    from keyquorum.admin import nodes
    from keyquorum.admin.client import ClientError
    from keyquorum.layout import is_node

    with _failing():
        try:
            if node is None:
                own, left = nodes.left(configured.settings())
                for each in left:
                    this = "  (this node)" if each.node == own else ""
                    click.echo(f"{each.node}  {each.records} records{this}")
                return
            if not is_node(node):
                fail(Exception("--node must be the 32 hexadecimal digits of a node's name"))
            nodes.adopt(configured.settings(), node)
        except ClientError as error:
            fail(error)
    click.echo(f"The records of node {node} are in the audit log of this one.")
