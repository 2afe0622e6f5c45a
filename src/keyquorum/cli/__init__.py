# SPDX-License-Identifier: Apache-2.0
"""The command line: argument parsing only. Each command imports what it runs, so that others start without it."""

import click

from keyquorum.cli.audit import audit
from keyquorum.cli.backup import backup, restore
from keyquorum.cli.common import Configured, data_options, fail
from keyquorum.cli.config import config
from keyquorum.cli.console import console
from keyquorum.cli.db import db
from keyquorum.cli.doctor import doctor
from keyquorum.cli.iam import iam
from keyquorum.cli.keyring import keyring
from keyquorum.cli.seal import seal
from keyquorum.cli.serve import serve
from keyquorum.cli.tls import tls
from keyquorum.cli.unseal import unseal


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="keyquorum")
def main() -> None:
    """A key management service that speaks the AWS KMS wire protocol."""


@main.command()
@data_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of shell exports.")
def env(configured: Configured, as_json: bool) -> None:
    """Print what an AWS SDK or CLI needs to use the server: endpoint, root access key, Region."""
    from keyquorum.admin.environment import NoServerError, as_exports, as_object, read

    try:
        variables = read(configured.settings())
    except NoServerError as error:
        fail(error)
    else:
        click.echo(as_object(variables) if as_json else as_exports(variables))


main.add_command(serve)
main.add_command(config)
main.add_command(console)
main.add_command(db)
main.add_command(tls)
main.add_command(audit)
main.add_command(iam)
main.add_command(doctor)
main.add_command(keyring)
main.add_command(seal)
main.add_command(unseal)
main.add_command(backup)
main.add_command(restore)
