# SPDX-License-Identifier: Apache-2.0
"""``keyquorum tls``: certificates for a lab."""

from pathlib import Path

import click

from keyquorum.cli.common import fail


@click.group()
def tls() -> None:
    """Make certificates for a lab."""


@tls.command("dev-cert")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", multiple=True, help="Host name or address of the server, beside the local ones; repeatable.")
@click.option("--client", multiple=True, metavar="NAME", help="Make a client's certificate too; may be repeated.")
@click.option("--days", type=float, default=90, show_default=True, help="How long they are valid.")
def dev_cert(directory: Path, name: tuple[str, ...], client: tuple[str, ...], days: float) -> None:
    """Make an authority in DIRECTORY, if it has none, and a certificate for the server.

    Not for production: the authority's key lies beside the rest.
    """
    from keyquorum.admin.devcert import CertificateError, make

    try:
        made = make(directory, name, client, days)
    except (CertificateError, OSError) as error:
        fail(error)
    click.echo("\n".join(f"wrote {path}" for path in made))
    click.echo(f"next: keyquorum serve --tls-cert {directory / 'server.pem'} --tls-key {directory / 'server.key'}")
