# SPDX-License-Identifier: Apache-2.0
"""``keyquorum backup`` and ``keyquorum restore``."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keyquorum.cli.common import Configured, data_options, fail

if TYPE_CHECKING:
    from keyquorum.backup.checking import Checked, Damage
    from keyquorum.backup.restoring import Options

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path, dir_okay=False)
_passphrase_option = click.option(
    "--passphrase",
    default=None,
    metavar="SOURCE",
    help="A passphrase instead of the seal: file:PATH, env:NAME, credential:NAME, fd:NUMBER or prompt.",
)
_recovery_option = click.option("--recovery", is_flag=True, help="Open it by the recovery seal instead of the seal.")


class _Backup(click.Group):
    """``keyquorum backup FILE`` is ``keyquorum backup create FILE``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Backup, context_settings={"help_option_names": ["-h", "--help"]})
def backup() -> None:
    """Back up everything that is kept into one encrypted file, while servers run.

    "keyquorum backup FILE" is "keyquorum backup create FILE".
    """


@contextmanager
def _failing() -> Iterator[None]:
    from keyquorum.audit.log import AuditError
    from keyquorum.backup.container import BackupError
    from keyquorum.custody.seal import SealError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.store.migrate import SchemaError

    try:
        yield
    except KMSError as error:
        fail(Exception(f"the database cannot be had: {error.detail or error.code}"))
    except (AuditError, BackupError, IntegrityError, OSError, SchemaError, SealError) as error:
        fail(error)


def _secret(source: str | None, *, new: bool = False) -> bytes | None:
    from keyquorum.custody import secrets
    from keyquorum.custody.seal import SealError

    if source is None:
        return None
    secret = secrets.read(source, "passphrase of the backup")
    if new and source == "prompt" and secrets.read(source, "same passphrase again") != secret:
        raise SealError("the passphrases differ")
    return secret


def _options(passphrase: str | None, recovery: bool) -> "Options":
    from keyquorum.backup.restoring import Options

    return Options(_secret(passphrase), recovery)


def _tell(counts: dict[str, int], digest: str, damage: "Damage") -> None:
    shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    click.echo(f"{shown}; digest {digest}")
    for what in damage.shown:
        click.echo(what, err=True)
    if damage.found:
        click.echo(f"{damage.found} rows were tampered with before they were backed up.", err=True)


@backup.command()
@data_options
@click.argument("file", type=_PATH)
@_passphrase_option
@click.option("--audit", "with_audit", is_flag=True, help="Put the audit log in as well.")
def create(configured: Configured, file: Path, passphrase: str | None, with_audit: bool) -> None:
    """Write a backup into FILE, which must not be there yet.

    It is encrypted under the seal, or under a passphrase. Ends with 1 if there are rows that were tampered with; the
    backup is made all the same.
    """
    from keyquorum.backup.creating import create as make

    with _failing():
        made = make(configured.settings(), file, _secret(passphrase, new=True), with_audit=with_audit)
    click.echo(f"Backup {made.header.id} is in {file}.")
    _tell(made.counts, made.digest, made.damage)
    sys.exit(1 if made.damage.found else 0)


def _tell_checked(found: "Checked") -> None:
    from keyquorum.audit.record import time_of

    header = found.header
    files = f"with {len(found.files)} files of the audit log" if found.files else "without the audit log"
    when = time_of(header.created_at)[0]
    click.echo(f"Backup {header.id} of {when}, keyquorum {header.program}, from {header.database}, {files}.")
    _tell(found.counts, found.digest, found.damage)


@backup.command()
@data_options
@click.argument("file", type=_PATH)
@_passphrase_option
@_recovery_option
def verify(configured: Configured, file: Path, passphrase: str | None, recovery: bool) -> None:
    """Read the backup in FILE to its end, without restoring it: every chunk, every row, every wrapped secret.

    Ends with 1 if rows in it were tampered with before it was made, with 2 if it is not whole or does not open.
    """
    from keyquorum.backup.restoring import verify as examine

    with _failing():
        found = examine(configured.settings(), file, _options(passphrase, recovery))
    _tell_checked(found)
    click.echo("The backup is whole.")
    sys.exit(1 if found.damage.found else 0)


@click.command()
@data_options
@click.argument("file", type=_PATH)
@_passphrase_option
@_recovery_option
def restore(configured: Configured, file: Path, passphrase: str | None, recovery: bool) -> None:
    """Restore the backup in FILE into an empty data directory and an empty database, of whichever kind.

    A backup under the seal needs the same seal. One under a passphrase, or one that the recovery seal opens, is sealed
    anew, by the seal of the configuration.
    """
    from keyquorum.backup.restoring import restore as put_back

    os.umask(0o077)  # what is made is its owner's alone
    with _failing():
        found = put_back(configured.settings(), file, _options(passphrase, recovery))
    _tell_checked(found)
    click.echo("Everything is restored.")


backup.add_command(restore)
