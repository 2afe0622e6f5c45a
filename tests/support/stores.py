# SPDX-License-Identifier: Apache-2.0
"""Where servers under test keep what they keep: in the data directory, or with KEYQUORUM_TEST_DATABASE=postgresql in a
PostgreSQL database that belongs to the data directory."""

import dataclasses
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import postgres

from keyquorum.config import Settings

_CHOICE: Final = "KEYQUORUM_TEST_DATABASE"
_urls: Final[dict[Path, str]] = {}
_making: Final = threading.Lock()


def on_postgresql() -> bool:
    return os.environ.get(_CHOICE) == "postgresql"


def url_of(data: Path) -> str | None:
    """The PostgreSQL database of a data directory, made when it is first asked for; None where SQLite is used."""
    if not on_postgresql():
        return None
    data = data.absolute()
    with _making:
        if data not in _urls:
            server = postgres.server()
            _urls[data] = server.url(server.create())
        return _urls[data]


def lend(data: Path, to: Path) -> None:
    """Let another data directory have the same database, where it is not a file in there."""
    url = url_of(data)
    if url is not None:
        _urls[to.absolute()] = url


def settings(chosen: Settings) -> Settings:
    """The settings with the database of their data directory."""
    if chosen.data is None or chosen.database is not None:
        return chosen
    return dataclasses.replace(chosen, database=url_of(chosen.data))


def environment(arguments: Sequence[str] = ()) -> dict[str, str]:
    """This process's, without what would configure a server or a client; with the database of the data directory that
    the program's arguments name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEYQUORUM_", "AWS_"))}
    if "--data" in arguments and "--database" not in arguments:
        url = url_of(Path(arguments[arguments.index("--data") + 1]))
        if url is not None:
            kept["KEYQUORUM_DATABASE"] = url
    return kept


def forget(data: Path) -> None:
    """Drop the database of a data directory that is not used any more."""
    url = _urls.pop(data.absolute(), None)
    if url is not None:
        postgres.server().drop(postgres.name_of(url))


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])
