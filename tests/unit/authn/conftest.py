# SPDX-License-Identifier: Apache-2.0
"""Those who are known."""

from collections.abc import Iterator

import pytest
from callers import ROLE_OF_TESTS, Known, callers

from keyquorum.model import Principal


@pytest.fixture
def known() -> Iterator[Known]:
    with callers() as known:
        yield known


@pytest.fixture
def role(known: Known) -> Principal:
    known.insert(ROLE_OF_TESTS)
    return ROLE_OF_TESTS
