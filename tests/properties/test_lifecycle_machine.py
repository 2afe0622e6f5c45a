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


def test_lives_that_chance_seldom_leads(lives: type[Lives]) -> None:
    """A multi-Region key's new key material waits for a replica that is deleted instead, or is made only then."""
    new = "NEW_KEY_MATERIAL"
    for replica_comes_late in (False, True):
        one = lives()
        one.begin(["multi external"], not replica_comes_late)
        family = one.world.families[0]
        one.import_ready(family, family.primary, 1, new, None)
        if replica_comes_late:
            one.replicate(n=1, other=1)
        one.look_at(family)
        one.rotate_on_demand(n=1)  # refused
        one.schedule(n=1, days=7)
        one.advance(8)
        assert list(family.places) == [family.primary]
        one.look_at(family)
        one.rotate_on_demand(n=1)
        assert family.current.secret == 1
        one.teardown()


@pytest.mark.slow
def test_the_lives_of_keys_are_those_of_the_model(lives: type[Lives]) -> None:
    chosen = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(lives, settings=chosen)
