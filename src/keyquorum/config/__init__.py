# SPDX-License-Identifier: Apache-2.0
"""What a server is told at its start: one table of options, read from flags, environment and a TOML file."""

from keyquorum.config.kinds import Network
from keyquorum.config.settings import ConfigError, Settings, is_loopback

__all__ = ["ConfigError", "Network", "Settings", "is_loopback"]
