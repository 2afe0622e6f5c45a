# SPDX-License-Identifier: Apache-2.0
"""Servers for the HTTP tests: one with ordinary limits for all that leave it as it was, others on demand."""

from collections.abc import Iterator
from typing import Any

import pytest
from http_wire import Running, Serve

from keyquorum.server.protocol import Limits


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(protocol=..., trusted=..., header_bytes=...)``: whatever is a limit becomes one."""
    running: list[Running] = []

    def start(**options: Any) -> Running:
        limits = {name: options.pop(name) for name in Limits.__dataclass_fields__ if name in options}
        running.append(Running(Limits(**limits), **options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """A server with the default limits, for a whole module."""
    server = Running(Limits())
    yield server
    server.stop()
