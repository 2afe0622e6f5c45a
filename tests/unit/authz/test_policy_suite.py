# SPDX-License-Identifier: Apache-2.0
"""The policy suite: what AWS's documentation says of decisions, case by case. See ``policy_suite``."""

from collections import defaultdict

import oracle
import pytest
from decisions import decide
from policy_suite import TITLES, Case, all_cases

ROWS: dict[str, list[Case]] = defaultdict(list)
for _case in all_cases():
    ROWS[_case.row].append(_case)


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    for case in ROWS[row]:
        decision = decide(case.asked)
        assert decision.allowed is case.allowed, (case.page, decision)
        assert oracle.allows(case.asked) is case.allowed, case.page
        if case.reason is not None:
            assert (decision.reason, decision.source) == (case.reason, case.source), case.page


def test_there_are_300_and_each_names_its_page() -> None:
    assert len(ROWS) >= 300
    named = {case.page for cases in ROWS.values() for case in cases}
    assert {(page.guide, page.title) for page in named} == {
        (guide, title) for guide, titles in TITLES.items() for title in titles
    }
    assert all(page.section for page in named)


def test_no_row_is_there_twice() -> None:
    said = [repr([(case.page, case.asked) for case in cases]) for cases in ROWS.values()]
    assert len(set(said)) == len(said)
