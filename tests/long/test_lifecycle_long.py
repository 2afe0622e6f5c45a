# SPDX-License-Identifier: Apache-2.0
"""Two thousand random lives of keys against the model of ``lives_model``."""

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


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_thousand_lives_of_keys_are_those_of_the_model(lives: type[Lives]) -> None:
    chosen = settings(
        max_examples=2_000, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(lives, settings=chosen)
