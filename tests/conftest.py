# SPDX-License-Identifier: Apache-2.0
"""Which tests are not about every kind of database."""

import pytest
from stores import on_postgresql


def pytest_runtest_setup(item: pytest.Item) -> None:
    if on_postgresql() and item.get_closest_marker("sqlite") is not None:
        pytest.skip("about the files of SQLite")
