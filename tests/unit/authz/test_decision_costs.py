# SPDX-License-Identifier: Apache-2.0
"""No policy, however it is written, makes a decision cost more than its length times the request's."""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from asked import Asked, by, doc
from decisions import key_policy, request_of, subject_of
from policies import ALICE, ROLE

from keyquorum.authz import evaluate
from keyquorum.authz.matching import glob, tokens
from keyquorum.authz.policy import MAX_BYTES


def work(action: Callable[[], object]) -> int:
    """The lines of our own that ``action`` runs: what it costs, whatever the machine is busy with."""
    lines = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if f"{os.sep}authz{os.sep}" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 500 + "b", "*a*" * 300 + "c", "*?a" * 300 + "b", "?a" * 200 + "*" + "a?" * 100 + "b", "*" * 900 + "b"],
)
def test_no_pattern_makes_the_matcher_try_again_and_again(pattern: str) -> None:
    """Each of these keeps a backtracking matcher busy for longer than anybody waits."""
    matches = glob(tokens(pattern, variables=False, wildcards=True))
    value = "a" * 8000
    assert not matches(value)
    # Each piece between two asterisks is looked for once.
    assert work(lambda: matches(value)) <= 12 * len(pattern)
    assert work(lambda: matches(value * 2)) <= 12 * len(pattern)


def test_variables_without_an_end_are_read_once() -> None:
    for text in ("${", "${a", "${a, '", "${a, 'b", "${a, 'b'"):
        few, many = (work(partial(tokens, text * n, variables=True, wildcards=True)) for n in (1000, 2000))
        assert many <= 2.5 * few


def decided(policy: Any, asked: Asked) -> Callable[[], object]:
    compiled, request, subject = key_policy(policy), request_of(asked), subject_of(asked)
    return lambda: evaluate.on_key(request, subject, compiled)


@pytest.mark.parametrize("operator", ["StringLike", "StringEquals", "StringEqualsIgnoreCase", "ArnLike"])
@pytest.mark.parametrize("shape", ["*a?{}*", "*{}*a*a*b", "${{x:v}}{}", "arn:*:*?:{}:*:*:*"])
def test_a_policy_as_large_as_may_be_costs_as_much_more_as_it_is_larger(operator: str, shape: str) -> None:
    """32 KiB of patterns against an encryption context of 8 KiB."""

    def cost(patterns: int) -> int:
        values = [shape.format(i) for i in range(10_000, 10_000 + patterns)]
        condition = {f"ForAnyValue:{operator}": {"kms:EncryptionContextKeys": values}}
        policy = doc(by({"AWS": ALICE}, Condition=condition))
        assert len(json.dumps(policy)) < MAX_BYTES
        context: dict[str, Any] = {"kms:EncryptionContextKeys": ["a" * 4000, "b" * 4000], "x:v": "a*" * 100}
        return work(decided(policy, Asked(context=context)))

    few, many = cost(600), cost(1200)
    assert many <= 2.2 * few


def test_a_policy_with_as_many_statements_as_may_be_costs_as_much_more() -> None:
    def cost(statements: int) -> int:
        policy = doc(*[by({"AWS": ROLE}, f"kms:*?{i}*") for i in range(statements)])
        assert len(json.dumps(policy)) < MAX_BYTES
        return work(decided(policy, Asked()))

    assert cost(200) <= 2.2 * cost(100)


def test_variables_are_resolved_once_and_not_for_each_value() -> None:
    condition = {"ForAnyValue:StringLike": {"kms:EncryptionContextKeys": [f"${{x:v}}{i}" for i in range(500)]}}
    policy = doc(by({"AWS": ALICE}, Condition=condition))

    def cost(keys: int) -> int:
        context: dict[str, Any] = {"kms:EncryptionContextKeys": [f"k{i}" for i in range(keys)], "x:v": "v"}
        return work(decided(policy, Asked(context=context)))

    resolving = cost(1)
    assert cost(11) - resolving < resolving
