# SPDX-License-Identifier: Apache-2.0
"""The evaluator and a slow, obvious reading of the documentation come to the same decision."""

from collections import Counter
from random import Random

import oracle
import pytest
import random_requests
from asked import Asked
from decisions import decide
from hypothesis import given, settings
from hypothesis import strategies as st

from keyquorum.authz.decision import Reason, Source

RANDOM = st.randoms(use_true_random=False)


def _agree(asked: Asked) -> tuple[Reason, Source]:
    decision = decide(asked)
    assert decision.allowed is oracle.allows(asked), (decision, asked)
    return decision.reason, decision.source


@pytest.mark.slow
def test_20_000_random_cases_are_decided_as_the_oracle_decides_them() -> None:
    seen = Counter(_agree(random_requests.asked(Random(seed))) for seed in range(20_000))
    # They would prove little if they were all refused, or never by this or that.
    assert sum(count for (reason, _), count in seen.items() if reason is Reason.ALLOWED) / 20_000 > 0.15
    assert {source for (reason, source) in seen if reason is Reason.ALLOWED} == {
        Source.IDENTITY,
        Source.RESOURCE,
        Source.GRANT,
        Source.ROOT,
    }
    for reason in (Reason.IMPLICIT_DENY, Reason.EXPLICIT_DENY):
        assert {Source.IDENTITY, Source.RESOURCE, Source.BOUNDARY, Source.SESSION} <= {
            s for (r, s) in seen if r is reason
        }
    assert min(seen.values()) > 20, seen


@given(RANDOM)
@settings(max_examples=300, deadline=None)
def test_random_cases_that_shrink(random: Random) -> None:
    _agree(random_requests.asked(random))


@given(RANDOM)
@settings(max_examples=200, deadline=None)
def test_a_deny_added_anywhere_allows_nothing_more(random: Random) -> None:
    asked, denying = random_requests.asked(random), random_requests.denials(random)
    assert decide(asked).allowed or not decide(asked.but(identity=(*asked.identity, denying))).allowed
