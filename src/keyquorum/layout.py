# SPDX-License-Identifier: Apache-2.0
"""The files of a data directory, all readable by its owner alone."""

import os
import re
import secrets
from pathlib import Path
from typing import Final

import msgspec

_NODE: Final = re.compile(r"[0-9a-f]{32}")


def is_node(name: str) -> bool:
    """Whether this could be a node's name."""
    return _NODE.fullmatch(name) is not None


class DataDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.seal_key = path / "seal.key"
        self.database = path / "keyquorum.db"
        self.generations = path / "generations"
        self.audit = path / "audit"
        self.endpoint = path / "endpoint.json"
        self.node = path / "node"
        self.verified = path / "audit-verified.json"

    def node_id(self) -> str:
        """The name of this node among those that share a database, made when it is first asked for: 32 hexadecimal
        digits. Raises OSError, also for a file that holds anything else."""
        if not self.node.exists():
            draft = self.path / f".node.{secrets.token_hex(8)}"
            with draft.open("x") as file:
                file.write(secrets.token_hex(16) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self.node)  # another process may have been first
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            sync_directory(self.path)
        found = self.node.read_text().strip()
        if _NODE.fullmatch(found) is None:
            raise OSError(f"{self.node} does not hold the 32 hexadecimal digits of a node's name")
        return found


class Endpoint(msgspec.Struct, frozen=True):
    """Where the server of a data directory was last started, for ``keyquorum env``. ``ca_bundle``: a file of the
    authority of its TLS certificate, if clients cannot know it otherwise."""

    url: str
    account: str
    region: str
    ca_bundle: str | None = None


def put_in_place(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Let the file have this content: whoever reads it finds what was there before, or all of this. Power that is lost
    may lose it. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(content)
    draft.replace(path)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a file that is synced and has lost its name is lost."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
