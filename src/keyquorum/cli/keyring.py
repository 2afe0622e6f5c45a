# SPDX-License-Identifier: Apache-2.0
"""``keyquorum keyring``: the keys between the root key and everything that is kept wrapped."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

from keyquorum.cli.common import Configured, data_options, fail


@click.group()
def keyring() -> None:
    """Rotate the keyring key, and see how far that has come."""


@contextmanager
def _failing() -> Iterator[None]:
    from keyquorum.admin.client import ClientError
    from keyquorum.errors import IntegrityError, KMSError

    try:
        yield
    except KMSError as error:
        fail(Exception(f"the database cannot be had: {error.detail or error.code}"))
    except (ClientError, IntegrityError, OSError) as error:
        fail(error)


@keyring.command()
@data_options
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of text.")
def status(configured: Configured, as_json: bool) -> None:
    """Show each keyring key: its age, and what is wrapped under it."""
    import msgspec

    from keyquorum.admin import keyring as admin
    from keyquorum.audit.record import iso_second

    with _failing():
        found = admin.status(configured.settings())
    if as_json:
        click.echo(msgspec.json.encode([key._asdict() for key in found]).decode())
        return
    for key in found:
        under = f"{key.materials} key materials, {key.access_keys} access keys"
        if key.destroyed_from is not None:
            state = f"retired; destroyed from {iso_second(int(key.destroyed_from))}"
        else:
            state = "in use" if key is found[-1] else "being replaced"
        click.echo(f"keyring key {key.version} of {iso_second(int(key.created_at))}: {under}; {state}")


@keyring.command()
@data_options
@click.option("--anew", is_flag=True, help="Make another key even while an older one is being replaced.")
def rotate(configured: Configured, anew: bool) -> None:
    """Make a new keyring key, and wrap everything under it, while servers run.

    What was interrupted is gone on with. The old keyring key is destroyed by a server, once whatever was given out
    under it has expired. Ends with 1 if there are rows that were tampered with, which stay as they are.
    """
    from keyquorum.admin import keyring as admin

    with _failing(), ExitStack() as stack:

        def begun(version: int, rows: int) -> Callable[[int], None]:
            click.echo(f"Keyring key {version} wraps what is new; {rows} are under older ones.")
            shown = stack.enter_context(click.progressbar(length=rows, label="Re-wrapping"))
            return shown.update

        version, refused = admin.rotate(configured.settings(), begun, anew=anew)
    if refused:
        click.echo(f"{refused} were tampered with, and stay as they are: keyquorum doctor names them.", err=True)
        sys.exit(1)
    click.echo(f"Everything is under keyring key {version}.")
