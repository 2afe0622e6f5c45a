# SPDX-License-Identifier: Apache-2.0
"""``keyquorum serve``."""

import click

from keyquorum.cli.common import Configured, GroupedCommand, fail, serve_options
from keyquorum.config import ConfigError


@click.command(
    cls=GroupedCommand,
    epilog="Each of them may also be set as a variable, KEYQUORUM_LOCK_TIMEOUT for --lock-timeout, or in the TOML "
    "file, lock-timeout = 5. Flags win over variables, and variables over the file.",
)
@serve_options
def serve(configured: Configured) -> None:
    """Run a server."""
    from keyquorum import serve as serving
    from keyquorum.audit.log import AuditError
    from keyquorum.custody.seal import SealError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.hardening import HardeningError
    from keyquorum.seed.document import SeedError
    from keyquorum.store.migrate import SchemaError
    from keyquorum.tls import TLSError

    try:
        configuration = configured.configuration()
        settings = configuration.settings()
        for warning in configuration.warnings:
            click.echo(f"keyquorum: warning: {warning}", err=True)
        serving.run(settings)
    except KMSError as error:
        fail(Exception(f"the database cannot be had: {error.detail or error.code}"))
    except (AuditError, ConfigError, HardeningError, IntegrityError, OSError) as error:
        fail(error)
    except (SchemaError, SealError, SeedError, TLSError) as error:
        fail(error)
