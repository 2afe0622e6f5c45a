# SPDX-License-Identifier: Apache-2.0
"""Random lives of keys: all that changes a key, in any order, agrees with a slow and obvious model."""

from collections.abc import Iterator

import pytest
from direct import development
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from lives import Lives


@pytest.fixture
def lives() -> Iterator[type[Lives]]:
    with development() as kms:
        Lives.service = kms
        yield Lives


@pytest.mark.slow
def test_the_lives_of_keys_are_those_of_the_model(lives: type[Lives]) -> None:
    chosen = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(lives, settings=chosen)
