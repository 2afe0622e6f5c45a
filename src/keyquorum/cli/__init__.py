# SPDX-License-Identifier: Apache-2.0
"""The command line: argument parsing only. Each command imports what it runs, so that others start without it."""

from pathlib import Path

import click

from keyquorum import quotas
from keyquorum.cli.audit import audit
from keyquorum.cli.common import data_directory, data_option, fail
from keyquorum.cli.doctor import doctor
from keyquorum.cli.iam import iam
from keyquorum.config import ConfigError, Settings, is_loopback, networks
from keyquorum.quotas import Quotas


def _quotas(texts: tuple[str, ...]) -> Quotas:
    try:
        return quotas.parse(texts)
    except ValueError as error:
        raise ConfigError(f"--quota: {error}") from error


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="keyquorum")
def main() -> None:
    """A key management service that speaks the AWS KMS wire protocol."""


@main.command()
@click.option("--host", envvar="KEYQUORUM_HOST", default=None, help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", envvar="KEYQUORUM_PORT", default=8085, show_default=True, help="Port; 0 for any free one.")
@click.option(
    "--data",
    envvar="KEYQUORUM_DATA",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Data directory, made if it is not there.  [default: the user's, as XDG has it]",
)
@click.option("--account", envvar="KEYQUORUM_ACCOUNT", default="111122223333", show_default=True, help="Its account.")
@click.option("--region", envvar="KEYQUORUM_REGION", default="us-east-1", show_default=True, help="Its own Region.")
@click.option("--workers", envvar="KEYQUORUM_WORKERS", type=int, default=None, help="Processes.  [default: 1]")
@click.option(
    "--seed",
    envvar="KEYQUORUM_SEED",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="TOML file of accounts, users and keys to make where they are absent.",
)
@click.option(
    "--arn-format",
    envvar="KEYQUORUM_ARN_FORMAT",
    type=click.Choice(["aws", "verenc"]),
    default="aws",
    show_default=True,
    help="Layout of the ARNs in answers; requests may use either.",
)
@click.option("--audit-sync", envvar="KEYQUORUM_AUDIT_SYNC", is_flag=True, help="Audit records survive power loss.")
@click.option(
    "--audit-rotate-size",
    envvar="KEYQUORUM_AUDIT_ROTATE_SIZE",
    type=int,
    default=256,
    show_default=True,
    help="MiB after which an audit file is put aside and a new one begun.",
)
@click.option(
    "--audit-sink",
    envvar="KEYQUORUM_AUDIT_SINK",
    multiple=True,
    help="Where copies of audit records and checkpoints go: stdout, file:PATH, syslog:udp://HOST:PORT, "
    "syslog:tcp://HOST:PORT or syslog:unix:PATH; may be repeated.",
)
@click.option(
    "--lock-timeout",
    envvar="KEYQUORUM_LOCK_TIMEOUT",
    type=float,
    default=5.0,
    show_default=True,
    help="Seconds to wait for the database before answering DependencyTimeoutException.",
)
@click.option(
    "--trusted-proxy",
    envvar="KEYQUORUM_TRUSTED_PROXY",
    multiple=True,
    help="Address or network whose X-Forwarded-For is believed; may be repeated.",
)
@click.option(
    "--regions", envvar="KEYQUORUM_REGIONS", default=None, help="The only Regions, with commas.  [default: any]"
)
@click.option(
    "--quota",
    envvar="KEYQUORUM_QUOTA",
    multiple=True,
    help="NAME=NUMBER, such as keys_per_region=1000; may be repeated.",
)
@click.option("--dev", envvar="KEYQUORUM_DEV", is_flag=True, help="For tests: in memory, unverified, on loopback.")
@click.option("--dev-listen", envvar="KEYQUORUM_DEV_LISTEN", default=None, help="With --dev: another address.")
@click.option(
    "--dev-host",
    envvar="KEYQUORUM_DEV_HOST",
    multiple=True,
    help="With --dev: a name under which /_dev may be called, beside the local ones; may be repeated.",
)
def serve(
    host: str | None,
    port: int,
    data: Path | None,
    account: str,
    region: str,
    workers: int | None,
    seed: Path | None,
    arn_format: str,
    audit_sync: bool,
    audit_rotate_size: int,
    audit_sink: tuple[str, ...],
    lock_timeout: float,
    trusted_proxy: tuple[str, ...],
    regions: str | None,
    quota: tuple[str, ...],
    dev: bool,
    dev_listen: str | None,
    dev_host: tuple[str, ...],
) -> None:
    """Run a server."""
    from keyquorum import serve as serving
    from keyquorum.audit.log import AuditError
    from keyquorum.custody.seal import SealError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.seed.document import SeedError
    from keyquorum.store.migrate import SchemaError

    try:
        if dev:
            for option, value in (("--data", data), ("--workers", workers)):
                if value is not None:
                    raise ConfigError(f"--dev keeps everything in the memory of one process; it refuses {option}")
            if host is not None and not is_loopback(host):
                raise ConfigError("--dev listens on loopback; say --dev-listen to have it reachable by others")
            host = dev_listen or host
        elif dev_listen is not None or dev_host:
            raise ConfigError("--dev-listen and --dev-host go with --dev")
        settings = Settings(
            data=None if dev else data_directory(data),
            host=host or "127.0.0.1",
            port=port,
            account=account,
            region=region,
            workers=1 if workers is None else workers,
            seed=seed,
            arn_format=arn_format,
            development=dev,
            audit_sync=audit_sync,
            audit_rotate_size=audit_rotate_size * 1024 * 1024,
            audit_sinks=audit_sink,
            lock_timeout=lock_timeout,
            trusted_proxies=networks(trusted_proxy),
            regions=None if regions is None else frozenset(regions.split(",")),
            quotas=_quotas(quota),
        )
        settings.check()
        serving.run(settings, frozenset(name.lower() for name in dev_host))
    except KMSError as error:
        fail(Exception(f"the database cannot be had: {error.detail or error.code}"))
    except (AuditError, ConfigError, IntegrityError, OSError, SchemaError, SealError, SeedError) as error:
        fail(error)


@main.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of shell exports.")
def env(data: Path | None, as_json: bool) -> None:
    """Print what an AWS SDK or CLI needs to use the server: endpoint, root access key, Region."""
    from keyquorum.admin.environment import NoServerError, as_exports, as_object, read

    try:
        variables = read(data_directory(data))
    except NoServerError as error:
        fail(error)
    else:
        click.echo(as_object(variables) if as_json else as_exports(variables))


main.add_command(audit)
main.add_command(iam)
main.add_command(doctor)
