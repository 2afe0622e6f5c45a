# SPDX-License-Identifier: Apache-2.0
"""``keyquorum doctor``: what is wrong with a data directory, in plain sentences."""

import sys
from pathlib import Path

import click

from keyquorum.cli.common import data_directory, data_option


@click.command()
@data_option
def doctor(data: Path | None) -> None:
    """Check a data directory: permissions, integrity, access keys, key policies, audit files.

    Ends with 1 if there is anything to be done.
    """
    from keyquorum.admin.doctor import examine

    findings = examine(data_directory(data))
    click.echo("\n".join(f"- {finding}" for finding in findings) or "Nothing is wrong.")
    sys.exit(1 if findings else 0)
