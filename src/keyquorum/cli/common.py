# SPDX-License-Identifier: Apache-2.0
"""What several commands share: the data directory, and how a command says that it cannot."""

import sys
from pathlib import Path
from typing import NoReturn

import click
import platformdirs

#: For commands that read what a server keeps.
data_option = click.option(
    "--data",
    envvar="KEYQUORUM_DATA",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Data directory of the server.  [default: the user's, as XDG has it]",
)


def data_directory(chosen: Path | None) -> Path:
    return (chosen or platformdirs.user_data_path("keyquorum")).absolute()


def fail(error: Exception, code: int = 2) -> NoReturn:
    """Say what is wrong, and end."""
    click.echo(f"keyquorum: {error}", err=True)
    sys.exit(code)
