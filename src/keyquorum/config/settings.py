# SPDX-License-Identifier: Apache-2.0
"""What a server is told at its start, checked as a whole. It opens nothing."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyquorum.arns import AWS, VERENC, is_account, is_region
from keyquorum.config.kinds import Network
from keyquorum.quotas import Quotas

_LONGEST_TIMEOUT: Final = 3600.0
_FEWEST_CLIENTS, _MOST_CLIENTS = 16, 100_000
_SMALLEST_FILE: Final = 1024 * 1024
_MOST_CONNECTIONS: Final = 1000

#: Kinds of seals; ``custody.kinds`` has what they do.
SEALS: Final = frozenset({"file", "passphrase", "environment", "shamir", "pkcs11", "kms"})


class ConfigError(Exception):
    """The settings do not make a server; the text names the option."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``data`` is None for a server that keeps everything in memory. Times in seconds, sizes in bytes. The options
    that fill it are in ``options``."""

    data: Path | None
    host: str = "127.0.0.1"
    port: int = 8085
    account: str = "111122223333"
    region: str = "us-east-1"
    workers: int = 1
    seed: Path | None = None
    arn_format: str = AWS
    development: bool = False
    dev_hosts: frozenset[str] = frozenset()
    audit_sync: bool = False
    audit_rotate_size: int = 256 * 1024 * 1024
    audit_sinks: tuple[str, ...] = ()
    lock_timeout: float = 5.0
    database: str | None = field(default=None, repr=False)
    database_pool: int = 8
    trusted_proxies: tuple[Network, ...] = ()
    regions: frozenset[str] | None = None
    quotas: Quotas = field(default_factory=Quotas)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tls_client_auth: str = "required"
    insecure_http: bool = False
    shutdown_seconds: float = 30.0
    memory_lock: str = "auto"
    seal: frozenset[str] = frozenset({"file"})
    seal_file: Path | None = None
    seal_passphrase: str = "prompt"  # noqa: S105 - where it comes from
    seal_environment: str = "env:KEYQUORUM_SEAL_SECRET"
    seal_shares: str = "prompt"
    seal_pkcs11_module: Path | None = None
    seal_pkcs11_token: str = ""
    seal_pkcs11_key: str = "keyquorum"
    seal_pkcs11_pin: str = "prompt"
    seal_kms_key: str = ""
    seal_kms_endpoint: str | None = None
    request_quotas: Mapping[str, float] = field(default_factory=dict)
    connections: int = 1024
    console: bool = True
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    log_format: str = "human"
    log_level: str = "info"
    otlp_endpoint: str | None = None

    def check(self, *, serving: bool = True) -> None:
        """Raises ConfigError for the first thing that is wrong; without ``serving``, not for how it would be served."""
        if not is_account(self.account):
            raise ConfigError(f"--account must be 12 digits, not {self.account!r}")
        if not is_region(self.region):
            raise ConfigError(f"--region must look like us-east-1, not {self.region!r}")
        for region in self.regions or ():
            if not is_region(region):
                raise ConfigError(f"--regions must look like us-east-1,eu-west-1, not {region!r}")
        if self.regions is not None and self.region not in self.regions:
            raise ConfigError(f"--regions must hold --region, which is {self.region}")
        if self.arn_format not in (AWS, VERENC):
            raise ConfigError(f"--arn-format must be {AWS} or {VERENC}, not {self.arn_format!r}")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"--port must be between 0 and 65535, not {self.port}")
        if self.workers < 1:
            raise ConfigError("--workers must be at least 1")
        if not _FEWEST_CLIENTS <= self.connections <= _MOST_CLIENTS:
            raise ConfigError(f"--connections must be from {_FEWEST_CLIENTS} to {_MOST_CLIENTS}")
        if self.metrics_port is not None and not 0 <= self.metrics_port <= 65_535:
            raise ConfigError(f"--metrics-port must be between 0 and 65535, not {self.metrics_port}")
        if self.otlp_endpoint is not None and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ConfigError("--otlp-endpoint must begin with http:// or https://")
        if self.audit_rotate_size < _SMALLEST_FILE:
            raise ConfigError("--audit-rotate-size must be at least 1 MiB")
        if not 0 < self.lock_timeout <= _LONGEST_TIMEOUT:  # NaN fails too
            raise ConfigError(f"--lock-timeout must be more than 0 seconds, and at most {_LONGEST_TIMEOUT:.0f}")
        if not 0 <= self.shutdown_seconds <= _LONGEST_TIMEOUT:
            raise ConfigError(f"--shutdown-seconds must be from 0 to {_LONGEST_TIMEOUT:.0f}")
        if self.database is not None and self.data is None:
            raise ConfigError("--database needs --data beside it: seal key and audit log have their place there")
        if not 1 <= self.database_pool <= _MOST_CONNECTIONS:
            raise ConfigError(f"--database-pool must be from 1 to {_MOST_CONNECTIONS}")
        if not self.development and self.data is None:
            raise ConfigError("--data is needed: only --dev keeps everything in memory")
        if not self.seal or self.seal - SEALS:
            raise ConfigError(f"--seal must be of {', '.join(sorted(SEALS))}, not {', '.join(sorted(self.seal))}")
        if serving:
            self._check_transport()

    def _check_transport(self) -> None:
        if self.tls_cert is not None and self.tls_key is None:
            raise ConfigError("--tls-cert needs --tls-key beside it")
        for name, value in (("key", self.tls_key), ("client-ca", self.tls_client_ca)):
            if value is not None and self.tls_cert is None:
                raise ConfigError(f"--tls-{name} needs --tls-cert beside it")
        if self.tls_client_auth not in ("required", "optional"):
            raise ConfigError(f"--tls-client-auth must be required or optional, not {self.tls_client_auth!r}")
        if self.tls_cert is None and not self.insecure_http and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} can be reached by others, so it needs --tls-cert and --tls-key, "
                "or --insecure-http if something in front of it speaks TLS"
            )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
