# SPDX-License-Identifier: Apache-2.0
"""The table of options. A row is a flag of ``keyquorum serve``, a variable of the environment and a key of the TOML
file, all of one name: ``--lock-timeout``, ``KEYQUORUM_LOCK_TIMEOUT``, ``lock-timeout``. To add an option, add a row,
and the field of Settings that it fills; the default is the field's.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from keyquorum import logs
from keyquorum.config import kinds
from keyquorum.config.kinds import Kind
from keyquorum.config.settings import Settings

PREFIX: Final = "KEYQUORUM_"


@dataclass(frozen=True, slots=True)
class Option:
    """``field``: of Settings, if it is not the name with underscores; empty if the option fills none by itself.
    ``default``: told in the help where the field's own says nothing. ``opens``: every command that opens data has the
    flag, not ``serve`` alone."""

    name: str
    kind: Kind
    help: str
    field: str | None = None
    default: str | None = None
    opens: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        return PREFIX + self.name.replace("-", "_").upper()

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_") if self.field is None else self.field

    def shown_default(self) -> str | None:
        if self.default is not None:
            return self.default
        value = _DEFAULTS.get(self.attribute)
        return None if value in (None, (), False, frozenset()) else self.kind.show(value) or None


def _defaults() -> dict[str, Any]:
    found = {}
    for field in fields(Settings):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


_DEFAULTS: Final = _defaults()

#: Headings of the help -> options.
GROUPS: Final[dict[str, tuple[Option, ...]]] = {
    "Data": (
        Option(
            "data",
            kinds.PATH,
            "Data directory, made if it is not there.",
            default="the user's, as XDG has it",
            opens=True,
        ),
        Option(
            "database",
            kinds.POSTGRESQL,
            "PostgreSQL, as postgresql://USER@HOST/NAME, for several nodes.",
            default="SQLite in the data directory",
            opens=True,
        ),
        Option("database-pool", kinds.WHOLE, "Connections of each process that read PostgreSQL at once."),
        Option("lock-timeout", kinds.SECONDS, "How long to wait for the database before DependencyTimeoutException."),
        Option("seed", kinds.PATH, "TOML file of accounts, users and keys to make where they are absent."),
    ),
    "Seal": (
        Option(
            "seal",
            kinds.SET,
            "What may open the root key: file, passphrase, environment, shamir, pkcs11, kms.",
            default="file",
            opens=True,
        ),
        Option("seal-file", kinds.PATH, "Key file of the seal.", default="seal.key of the data directory", opens=True),
        Option(
            "seal-passphrase",
            kinds.TEXT,
            "Where the passphrase comes from: file:PATH, env:NAME, credential:NAME (of systemd), fd:NUMBER, prompt; or "
            "api, for a server that is to be unsealed.",
            opens=True,
        ),
        Option("seal-environment", kinds.TEXT, "Where the environment's seal key comes from.", opens=True),
        Option("seal-shares", kinds.TEXT, "Where a command takes shares from, one a line.", opens=True),
        Option("seal-pkcs11-module", kinds.PATH, "Shared library of the HSM.", opens=True),
        Option("seal-pkcs11-token", kinds.TEXT, "Label of its token.", opens=True),
        Option("seal-pkcs11-key", kinds.TEXT, "Label of the key in it.", opens=True),
        Option("seal-pkcs11-pin", kinds.TEXT, "Where the PIN comes from.", opens=True),
        Option("seal-kms-key", kinds.TEXT, "ARN of a key of another KMS.", opens=True),
        Option("seal-kms-endpoint", kinds.TEXT, "URL of the other KMS.", default="AWS's", opens=True),
    ),
    "Service": (
        Option("account", kinds.TEXT, "Its account."),
        Option("region", kinds.TEXT, "Its own Region."),
        Option("regions", kinds.SET, "The only Regions.", default="any"),
        Option("arn-format", kinds.choice("aws", "verenc"), "Layout of the ARNs in answers; requests may use either."),
        Option("quota", kinds.QUOTAS, "A resource quota, such as keys_per_region=1000; may be repeated.", "quotas"),
        Option(
            "request-quota",
            kinds.RATES,
            "How many requests an account may send: a family of operations, or one operation, such as rsa=100/s, "
            "CreateKey=5/s or all=off; may be repeated.",
            "request_quotas",
            default="high ones; none with --dev",
        ),
    ),
    "Network": (
        Option("host", kinds.TEXT, "Address to listen on."),
        Option("port", kinds.WHOLE, "Port; 0 for any free one."),
        Option("tls-cert", kinds.PATH, "PEM file of the server's certificate and those above it; read anew at SIGHUP."),
        Option("tls-key", kinds.PATH, "PEM file of its private key, not encrypted, and not readable by others."),
        Option("tls-client-ca", kinds.PATH, "PEM file of the authorities whose client certificates are accepted."),
        Option("tls-client-auth", kinds.choice("required", "optional"), "Whether every client must show one."),
        Option("console", kinds.YES_NO, "Serve the console under /console."),
        Option("insecure-http", kinds.YES_NO, "Serve without TLS on an address that others can reach."),
        Option(
            "trusted-proxy",
            kinds.NETWORKS,
            "Address or network whose X-Forwarded-For is believed; may be repeated.",
            "trusted_proxies",
        ),
    ),
    "Process": (
        Option("workers", kinds.WHOLE, "Processes."),
        Option("connections", kinds.WHOLE, "How many may be open to each process."),
        Option("shutdown-seconds", kinds.SECONDS, "How long requests in flight may take after SIGTERM."),
        Option(
            "memory-lock",
            kinds.choice("auto", "always", "never"),
            "Keep memory out of the swap: where it is permitted, or else do not start, or never.",
        ),
    ),
    "Observability": (
        Option("metrics-port", kinds.WHOLE, "Serve Prometheus metrics and probes there, without TLS; 0 for any free."),
        Option("metrics-host", kinds.TEXT, "Address to serve them on."),
        Option("log-format", kinds.choice(*logs.FORMATS), "Of the log on stderr."),
        Option("log-level", kinds.choice(*logs.LEVELS), "What is less than this is not logged."),
        Option(
            "otlp-endpoint",
            kinds.SECRET_URL,
            "Send OpenTelemetry traces there, such as http://127.0.0.1:4318.",
            default="OTEL_EXPORTER_OTLP_ENDPOINT, if set",
        ),
    ),
    "Audit": (
        Option("audit-sync", kinds.YES_NO, "Audit records survive power loss."),
        Option("audit-rotate-size", kinds.MEBIBYTES, "After so much an audit file is put aside and a new one begun."),
        Option(
            "audit-sink",
            kinds.TEXTS,
            "Where copies of audit records and checkpoints go: stdout, file:PATH, syslog:udp://HOST:PORT, "
            "syslog:tcp://HOST:PORT or syslog:unix:PATH; may be repeated.",
            "audit_sinks",
        ),
    ),
    "Development": (
        Option("dev", kinds.YES_NO, "For tests: in memory, unverified, on loopback.", "development"),
        Option("dev-listen", kinds.TEXT, "With --dev: another address.", ""),
        Option(
            "dev-host",
            kinds.NAMES,
            "With --dev: a name under which /_dev may be called, beside the local ones; may be repeated.",
            "dev_hosts",
        ),
    ),
}

OPTIONS: Final = {option.name: option for group in GROUPS.values() for option in group}
#: Variables that begin like those of options and are none: the file's name, and what is read where it is used.
OTHER_VARIABLES: Final = frozenset({"KEYQUORUM_CONFIG", "KEYQUORUM_SEAL_SECRET"})
