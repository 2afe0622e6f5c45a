# SPDX-License-Identifier: Apache-2.0
"""``keyquorum config``: what a start would go by, without starting."""

import json
import os
import sys
from pathlib import Path

import click

from keyquorum.cli.common import Configured, GroupedCommand, fail, serve_options
from keyquorum.config import ConfigError
from keyquorum.config.sources import described, read


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command(cls=GroupedCommand)
@serve_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def check(configured: Configured, file: Path | None) -> None:
    """Say whether `keyquorum serve --config FILE` would take the file, with the flags and variables that there are.

    Ends with 0 if all is right, with 1 if something deserves a warning, and with 2 if a server would not start.
    """
    from keyquorum.tls import TLSError, examine

    try:
        configuration = read(configured.flags, os.environ, file) if file is not None else configured.configuration()
        settings = configuration.settings()
        warnings = [*configuration.warnings, *examine(settings)]
    except (ConfigError, TLSError) as error:
        fail(error)
    for warning in warnings:
        click.echo(f"warning: {warning}")
    if not warnings:
        click.echo(f"{configuration.file or 'No file is read, and the rest'}: nothing is wrong.")
    sys.exit(1 if warnings else 0)


@config.command(cls=GroupedCommand)
@serve_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object: option, value, and where it is from.")
def show(configured: Configured, as_json: bool) -> None:
    """Show each option's value and where it comes from. Secrets are hidden."""
    try:
        lines = described(configured.configuration())
    except ConfigError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps({name: {"value": value, "from": origin} for name, value, origin in lines}, indent=4))
        return
    width = max(len(name) + len(value) for name, value, _ in lines if len(value) < 40)
    for name, value, origin in lines:
        click.echo(f"{f'{name} = {value}':<{width + 3}}  # {origin}")
