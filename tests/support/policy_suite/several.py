# SPDX-License-Identifier: Apache-2.0
"""Several values, several keys, and the set operators."""

from policy_suite import CONDITION, IAM, SETS, SEVERAL, C, Page, condition

LOGIC = Page(IAM, SEVERAL, "Evaluation logic for multiple context keys or values")
BLOCK = Page(IAM, CONDITION, "The condition block")
SET = Page(IAM, SETS, "Set operators for multivalued context keys")
UNQUALIFIED = Page(IAM, SETS, "Key points", choice=True)
TEAM, TAGS = "aws:PrincipalTag/team", "aws:TagKeys"
WHEN = "2026-03-01T12:00:00Z"

ROWS = [
    condition(LOGIC, C("StringEquals", TEAM, "blue", "red"), {TEAM: "red"}, True),
    condition(LOGIC, C("StringEquals", TEAM, "blue", "red"), {TEAM: "green"}, False),
    condition(LOGIC, C("StringNotEquals", TEAM, "blue", "red"), {TEAM: "red"}, False),
    condition(LOGIC, C("StringNotEquals", TEAM, "blue", "red"), {TEAM: "green"}, True),
    condition(LOGIC, C("DateNotEquals", "aws:CurrentTime", WHEN, "2026"), {"aws:CurrentTime": WHEN}, False),
    condition(
        LOGIC,
        {"StringEquals": {TEAM: "blue", "aws:PrincipalTag/y": "1"}},
        {TEAM: "blue", "aws:PrincipalTag/y": "1"},
        True,
    ),
    condition(LOGIC, {"StringEquals": {TEAM: "blue", "aws:PrincipalTag/y": "1"}}, {TEAM: "blue"}, False),
    condition(
        LOGIC,
        {**C("StringEquals", TEAM, "blue"), **C("Bool", "aws:PrincipalTag/y", "true")},
        {TEAM: "blue", "aws:PrincipalTag/y": "true"},
        True,
    ),
    condition(
        LOGIC,
        {**C("StringEquals", TEAM, "blue"), **C("Bool", "aws:PrincipalTag/y", "true")},
        {TEAM: "blue", "aws:PrincipalTag/y": "false"},
        False,
    ),
    condition(BLOCK, C("StringEquals", "AWS:principaltag/TEAM", "blue"), {TEAM: "blue"}, True),
    condition(BLOCK, C("StringEquals", "AWS:PRINCIPALTAG/Team", "blue"), {TEAM: "Blue"}, False),
    condition(BLOCK, C("Null", "aws:tokenissuetime", "true"), {"AWS:TokenIssueTime": WHEN}, False),
    condition(SET, C("ForAllValues:StringEquals", TAGS, "a", "b"), {TAGS: ["a", "b"]}, True),
    condition(SET, C("ForAllValues:StringEquals", TAGS, "a", "b"), {TAGS: ["a"]}, True),
    condition(SET, C("ForAllValues:StringEquals", TAGS, "a", "b"), {TAGS: ["a", "c"]}, False),
    condition(SET, C("ForAllValues:StringEquals", TAGS, "a", "b"), {}, True),
    condition(SET, C("ForAllValues:StringEquals", TAGS, "a", "b"), {TAGS: []}, True),
    condition(SET, C("ForAllValues:StringLike", TAGS, "cost*"), {TAGS: ["cost-a", "costs"]}, True),
    condition(SET, C("ForAllValues:StringLike", TAGS, "cost*"), {TAGS: ["cost-a", "Cost"]}, False),
    condition(SET, C("ForAllValues:StringNotEquals", TAGS, "x"), {TAGS: ["a", "b"]}, True),
    condition(SET, C("ForAllValues:StringNotEquals", TAGS, "x"), {TAGS: ["a", "x"]}, False),
    condition(SET, C("ForAnyValue:StringEquals", TAGS, "a", "b"), {TAGS: ["z", "b"]}, True),
    condition(SET, C("ForAnyValue:StringEquals", TAGS, "a", "b"), {TAGS: ["z"]}, False),
    condition(SET, C("ForAnyValue:StringEquals", TAGS, "a", "b"), {}, False),
    condition(SET, C("ForAnyValue:StringEquals", TAGS, "a", "b"), {TAGS: []}, False),
    condition(SET, C("ForAnyValue:StringNotEquals", TAGS, "x"), {TAGS: ["a", "x"]}, True),
    condition(SET, C("ForAnyValue:StringNotEquals", TAGS, "x"), {TAGS: ["x"]}, False),
    condition(SET, C("ForAnyValue:StringNotEquals", TAGS, "x"), {}, False),
    condition(SET, C("ForAnyValue:StringLikeIfExists", TAGS, "x*"), {}, True),
    condition(SET, C("ForAllValues:StringEqualsIgnoreCase", TAGS, "A"), {TAGS: ["a", "A"]}, True),
    # several values without a set operator: "require a condition set operator"
    condition(UNQUALIFIED, C("StringEquals", TAGS, "a"), {TAGS: ["a", "b"]}, False, True),
    condition(UNQUALIFIED, C("StringEquals", TAGS, "a", "b"), {TAGS: ["a", "b"]}, True, True),
    condition(UNQUALIFIED, C("StringNotEquals", TAGS, "a"), {TAGS: ["a", "b"]}, False, True),
    condition(UNQUALIFIED, C("StringNotEquals", TAGS, "x"), {TAGS: ["a", "b"]}, True, True),
    condition(UNQUALIFIED, C("StringEquals", TAGS, "a"), {TAGS: ["a"]}, True),
]
