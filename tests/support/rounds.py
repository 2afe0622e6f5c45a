# SPDX-License-Identifier: Apache-2.0
"""With KEYQUORUM_TEST_NODES=2, what tests take for one server is so many nodes on one PostgreSQL, and a client asks one
after the other. After each request the client waits until every node knows of all that was committed, for no longer
than the second within which they must."""

import itertools
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg

_COUNT: Final = "KEYQUORUM_TEST_NODES"
#: The item of the file ``generations`` that holds the largest number which a node knows.
_HIGHEST: Final = 4096
_SECOND: Final = 1.0
_OF_ONE: Final = ("meta", "exceptions", "waiter_names", "get_waiter", "can_paginate", "generate_presigned_url")


def beside() -> int:
    """How many nodes there are beside the first."""
    return int(os.environ.get(_COUNT, "1")) - 1


class Settling:
    """``data``: the nodes' data directories. ``url``: of their database, or None for a server that is alone."""

    def __init__(self, url: str | None, data: list[Path]) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        if url is not None:
            self._connection = psycopg.connect(url, autocommit=True)
        self._slots = []
        for directory in data:
            with (directory / "generations").open("rb") as file:
                self._slots.append(memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).cast("Q"))

    def __call__(self) -> None:
        if self._connection is None:
            return
        row = self._connection.execute("SELECT value FROM generation").fetchone()
        assert row is not None
        deadline = time.monotonic() + _SECOND
        while any(slots[_HIGHEST] < row[0] for slots in self._slots):
            assert time.monotonic() < deadline, "a node does not know of a change after a second"
            time.sleep(0.001)

    def close(self) -> None:
        """Nothing is waited for any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Alternating:
    """A boto3 client whose requests go to ``clients`` in turn."""

    def __init__(self, clients: list[Any], settle: Callable[[], None]) -> None:
        self._clients = clients
        self._turns = itertools.cycle(clients)
        self._settle = settle
        self._calls: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ONE or name.startswith("__"):
            return getattr(self._clients[0], name)
        if name == "get_paginator":
            return getattr(next(self._turns), name)

        def call(*arguments: Any, **members: Any) -> Any:
            try:
                if name == "get_key_last_usage":
                    # Each process knows its own uses to the moment, and those of others to the second.
                    answers = [getattr(client, name)(*arguments, **members) for client in self._clients]
                    return max(answers, key=lambda answer: str(answer["KeyLastUsage"].get("Timestamp", "")))
                return getattr(next(self._turns), name)(*arguments, **members)
            finally:
                self._settle()

        # As with a boto3 client, an operation that is looked up twice is the same.
        return self._calls.setdefault(name, call)
