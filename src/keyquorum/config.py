# SPDX-License-Identifier: Apache-2.0
"""What a server is told at its start, checked as a whole. It opens nothing."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyquorum.arns import AWS, VERENC, is_account, is_region
from keyquorum.quotas import Quotas

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST_TIMEOUT: Final = 3600.0
_SMALLEST_FILE: Final = 1024 * 1024


class ConfigError(Exception):
    """The settings do not make a server; the text names the option."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``data`` is None for a server that keeps everything in memory. Times in seconds, sizes in bytes."""

    data: Path | None
    host: str = "127.0.0.1"
    port: int = 8085
    account: str = "111122223333"
    region: str = "us-east-1"
    workers: int = 1
    seed: Path | None = None
    arn_format: str = AWS
    development: bool = False
    audit_sync: bool = False
    audit_rotate_size: int = 256 * 1024 * 1024
    audit_sinks: tuple[str, ...] = ()
    lock_timeout: float = 5.0
    trusted_proxies: tuple[Network, ...] = ()
    regions: frozenset[str] | None = None
    quotas: Quotas = field(default_factory=Quotas)

    def check(self) -> None:
        """Raises ConfigError for the first thing that is wrong."""
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
        if self.audit_rotate_size < _SMALLEST_FILE:
            raise ConfigError("--audit-rotate-size must be at least 1 MiB")
        if not 0 < self.lock_timeout <= _LONGEST_TIMEOUT:  # NaN fails too
            raise ConfigError(f"--lock-timeout must be more than 0 seconds, and at most {_LONGEST_TIMEOUT:.0f}")
        if not self.development and self.data is None:
            raise ConfigError("--data is needed: only --dev keeps everything in memory")


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The addresses and networks that an option lists; raises ConfigError."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"--trusted-proxy: {error}") from error
