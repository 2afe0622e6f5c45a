# SPDX-License-Identifier: Apache-2.0
"""Servers for the long tests: none outlives its test, however that ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Serve, kill_all
from servers import Production


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(*options)``: a server on the test's one data directory."""
    started: list[Production] = []

    def start(*options: str) -> Production:
        started.append(Production(tmp_path, *options))
        return started[-1]

    yield start
    for server in started:
        kill_all(server)
