# SPDX-License-Identifier: Apache-2.0
"""``keyquorum unseal``: bring shares, or the passphrase, to a sealed server."""

import getpass
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from keyquorum.cli.common import Configured, data_options, fail

if TYPE_CHECKING:
    from keyquorum.admin.unseal import Client


@click.command()
@data_options
@click.option("--url", default=None, help="The server.  [default: that which was started on the data directory]")
@click.option("--ca-bundle", default=None, help="PEM file of its authority, with --url.")
def unseal(configured: Configured, url: str | None, ca_bundle: str | None) -> None:
    """Unseal a server with shares or its passphrase.

    They are asked for at the terminal, without echo, or read from standard input, one share a line. Several people can
    do this one after another, each with a share. Ends with 1 if one was refused, or the server is sealed and none came.
    """
    from keyquorum.admin.unseal import Client, UnsealError

    given = wrong = 0
    try:
        server = Client(url, ca_bundle) if url is not None else Client.of(configured.data())
        told = server.status()
        if not told["sealed"]:
            click.echo(f"{server.url} is not sealed.")
            return
        if told.get("kind") is None:
            fail(Exception(f"it waits for nobody: {told['reason']}"), 1)
        what = "share" if "threshold" in told else "passphrase"
        for text in _texts(server, what):
            given += 1
            try:
                told = server.bring(what, text)
            except UnsealError as error:
                wrong += 1
                click.echo(f"keyquorum: {error}", err=True)
            else:
                click.echo(_progress(told))
                if not told["sealed"]:
                    return
    except UnsealError as error:
        fail(error)
    if wrong or not given:
        click.echo(_progress(told))
        sys.exit(1)


def _texts(server: "Client", what: str) -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    click.echo(_progress(server.status()))
    while text := getpass.getpass(f"{what.capitalize()} (empty to leave): ").strip():
        yield text


def _progress(told: dict[str, Any]) -> str:
    if not told["sealed"]:
        return "The server is unsealed."
    if "threshold" not in told:
        return "The server is sealed; its passphrase opens it."
    given = told["given"]
    numbers = f" (numbers {', '.join(map(str, given))})" if given else ""
    return (
        f"The server is sealed: {len(given)} of the {told['threshold']} shares that are needed are there{numbers}; "
        f"attempt {told['nonce']}."
    )
