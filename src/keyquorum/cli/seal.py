# SPDX-License-Identifier: Apache-2.0
"""``keyquorum seal``: what holds the root key."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from keyquorum.cli.common import Configured, data_options, fail
from keyquorum.config import Settings
from keyquorum.config.options import GROUPS, Option
from keyquorum.config.settings import SEALS

if TYPE_CHECKING:
    from keyquorum.admin.seals import Wanted

#: What tells one seal from another of its kind.
_RESOURCES: Final = tuple(option for option in GROUPS["Seal"] if option.name not in ("seal", "seal-shares"))
#: Kinds whose secret somebody else makes: rotating one means naming another.
_GIVEN: Final = {"passphrase": "seal-passphrase", "environment": "seal-environment"}


@click.group()
def seal() -> None:
    """See, make and change the seal of the root key."""


def _divisions(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in (
        ("--recovery-threshold", "How many of the recovery shares open the root key."),
        ("--recovery-shares", "Recovery shares to make, which open the root key when its seal is lost."),
        ("--threshold", "With shamir: how many shares open the root key."),
        ("--shares", "With shamir: how many shares to make."),
    ):
        command = click.option(name, type=click.IntRange(2, 16), default=None, help=text)(command)
    return command


def _resources(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_RESOURCES):
        command = click.option(
            f"--new-{option.name}", metavar=option.kind.metavar, default=None, help=f"{option.flag} of the new seal."
        )(command)
    return command


@contextmanager
def _failing() -> Iterator[None]:
    from keyquorum.audit.log import AuditError
    from keyquorum.custody.seal import SealError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.store.migrate import SchemaError

    try:
        yield
    except KMSError as error:
        fail(Exception(f"the database or the audit log cannot be had: {error.detail or error.code}"))
    except (AuditError, IntegrityError, OSError, SchemaError, SealError) as error:
        fail(error)


def _division(shares: int | None, threshold: int | None, name: str = "") -> tuple[int, int] | None:
    if (shares is None) != (threshold is None):
        fail(Exception(f"--{name}shares and --{name}threshold go together"))
    return None if shares is None or threshold is None else (threshold, shares)


def _wanted(settings: Settings, kind: str, given: dict[str, Any], *, remove_old: bool = False) -> "Wanted":
    from keyquorum.admin.seals import Wanted

    named = {option: given.get(f"new_{option.attribute}") for option in _RESOURCES}
    chosen = {option.attribute: _parsed(option, text) for option, text in named.items() if text is not None}
    return Wanted(
        dataclasses.replace(settings, **chosen),
        kind,
        _division(given["shares"], given["threshold"]),
        _division(given["recovery_shares"], given["recovery_threshold"], "recovery-"),
        remove_old,
    )


def _parsed(option: Option, text: str) -> Any:
    try:
        return option.kind.parse(text)
    except ValueError:
        fail(Exception(f"--new-{option.name} must be {option.kind.expects}"))


def _show(what: str, shares: tuple[str, ...]) -> None:
    """Before anything depends on them: what cannot be printed must not have been needed."""
    click.echo(f"Shares for {what}, shown this once. Give each to somebody else, and keep none here:")
    for number, share in enumerate(shares, 1):
        click.echo(f"{number:>3}: {share}")
    sys.stdout.flush()


@seal.command()
@data_options
@click.option("--check", is_flag=True, help="Open the root key, as a start would.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(configured: Configured, check: bool, as_json: bool) -> None:
    """Show which seal holds the root key. Ends with 1 if there is none, or the configuration does not allow it."""
    from keyquorum.admin import seals
    from keyquorum.audit.record import iso_second

    settings = configured.settings()
    with _failing():
        found = seals.status(settings)
        if check and found is not None:
            seals.check(settings)
    if found is None:
        click.echo("{}" if as_json else "There is no root key yet.")
        sys.exit(1)
    if as_json:
        told = {**found._asdict(), "parameters": json.loads(found.parameters or "{}"), "opened": check}
        click.echo(json.dumps(told))
        sys.exit(0 if found.allowed else 1)
    click.echo(f"sealed by: {found.kind}, since {iso_second(int(found.sealed_at))}")
    for name, value in json.loads(found.parameters or "{}").items():
        if name != "checks":
            click.echo(f"  {name}: {value}")
    recovery = "none" if found.recovery is None else f"{found.recovery[0]} of {found.recovery[1]} shares"
    click.echo(f"recovery: {recovery}")
    if check:
        click.echo("The seal opens the root key.")
    if not found.allowed:
        click.echo(f"The configuration allows --seal {', '.join(sorted(settings.seal))}: a server would not start.")
        sys.exit(1)


@seal.command()
@data_options
@_divisions
def init(configured: Configured, **given: Any) -> None:
    """Make the root key of a new data directory or database, under the seal that --seal names."""
    from keyquorum.admin import seals

    settings = configured.settings()
    if len(settings.seal) != 1:
        fail(Exception("a root key is made under one seal: say --seal KIND"))
    [kind] = settings.seal
    with _failing():
        seals.init(_wanted(settings, kind, given), _show)
    click.echo(f"The root key is made, and sealed by {kind}.")


@seal.command()
@data_options
@click.option("--to", "kind", type=click.Choice(sorted(SEALS)), required=True, help="The new seal.")
@click.option("--remove-old", is_flag=True, help="Remove the key file, or destroy the HSM's key, of the old seal.")
@_divisions
@_resources
def migrate(configured: Configured, kind: str, remove_old: bool, **given: Any) -> None:
    """Seal the root key by another seal, while servers run or not.

    What the new seal needs is taken from the configuration, or from --new-... where both are of one kind.
    """
    from keyquorum.admin import seals

    settings = configured.settings()
    with _failing():
        _told(seals.reseal(settings, _wanted(settings, kind, given, remove_old=remove_old), _show))
    _done(settings, kind)


@seal.command()
@data_options
@click.option("--remove-old", is_flag=True, help="Remove the key that was.")
@_divisions
@_resources
def rotate(configured: Configured, remove_old: bool, **given: Any) -> None:
    """Give the seal a new key, passphrase or shares."""
    from keyquorum.admin import seals

    settings = configured.settings()
    with _failing():
        found = seals.status(settings)
        if found is None:
            fail(Exception("there is no root key yet"))
        needed = _GIVEN.get(found.kind)
        if needed is not None and given.get(f"new_{needed.replace('-', '_')}") is None:
            fail(Exception(f"--new-{needed} must say where the new one comes from"))
        _told(seals.reseal(settings, _wanted(settings, found.kind, given, remove_old=remove_old), _show))
    _done(settings, found.kind)


@seal.command()
@data_options
@click.option("--to", "kind", type=click.Choice(sorted(SEALS)), required=True, help="The new seal.")
@_divisions
@_resources
def recover(configured: Configured, kind: str, **given: Any) -> None:
    """Open the root key with recovery shares, since its seal is lost, and seal it anew."""
    from keyquorum.admin import seals

    settings = configured.settings()
    with _failing():
        _told(seals.recover(settings, _wanted(settings, kind, given), _show))
    _done(settings, kind)


def _told(sentences: list[str]) -> None:
    for sentence in sentences:
        click.echo(sentence)


def _done(settings: Settings, kind: str) -> None:
    click.echo(f"The root key is sealed by {kind}.")
    if settings.seal != {kind}:
        click.echo(f"Say --seal {kind} in the configuration, of every node, before the next start.")
