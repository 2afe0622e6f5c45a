# SPDX-License-Identifier: Apache-2.0
"""``keyquorum console``: the way into the console without a browser that signs."""

import os
from datetime import UTC, datetime

import click

from keyquorum.cli.common import fail


@click.group()
def console() -> None:
    """The web pages of a server, under /console."""


@console.command()
def login() -> None:
    """Print a link that signs you in, once, within five minutes.

    Endpoint and credentials are those of the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...), as `keyquorum env`
    prints them.
    """
    from keyquorum.admin.client import ClientError, Refused, from_environment
    from keyquorum.admin.console import new_link

    try:
        url, expires_at = new_link(from_environment(os.environ))
    except (ClientError, Refused) as error:
        fail(error)
    else:
        click.echo(url)
        until = datetime.fromtimestamp(expires_at, UTC).strftime("%H:%M:%S UTC")
        click.echo(f"Open it in a browser before {until}; it is good once.", err=True)
