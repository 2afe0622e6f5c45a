# SPDX-License-Identifier: Apache-2.0
"""The files of a data directory, all readable by its owner alone."""

import os
from pathlib import Path

import msgspec


class DataDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.seal_key = path / "seal.key"
        self.database = path / "keyquorum.db"
        self.generations = path / "generations"
        self.audit = path / "audit"
        self.endpoint = path / "endpoint.json"


class Endpoint(msgspec.Struct, frozen=True):
    """Where the server of a data directory was last started, for ``keyquorum env``."""

    url: str
    account: str
    region: str


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a file that is synced and has lost its name is lost."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
