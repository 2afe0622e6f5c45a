# SPDX-License-Identifier: Apache-2.0
"""``keyquorum doctor``: what is wrong with a data directory, in plain sentences."""

import sys

import click

from keyquorum.cli.common import Configured, data_options


@click.command()
@data_options
def doctor(configured: Configured) -> None:
    """Check a data directory: permissions, integrity, access keys, key policies, audit files.

    Ends with 1 if there is anything to be done.
    """
    from keyquorum.admin.doctor import examine

    findings = examine(configured.settings())
    click.echo("\n".join(f"- {finding}" for finding in findings) or "Nothing is wrong.")
    sys.exit(1 if findings else 0)
