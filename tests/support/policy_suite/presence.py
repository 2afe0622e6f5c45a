# SPDX-License-Identifier: Apache-2.0
"""Condition keys that a request has not got: ...IfExists and Null."""

from policy_suite import IAM, KMS, KMS_KEYS, OPERATORS, SETS, C, Page, condition

IF_EXISTS = Page(IAM, OPERATORS, "...IfExists condition operators")
EXISTENCE = Page(IAM, OPERATORS, "Condition operator to check existence of condition keys")
EMPTY = Page(IAM, SETS, "Set operators for multivalued context keys")
BYPASS = Page(KMS, KMS_KEYS, "kms:BypassPolicyLockoutSafetyCheck")
TEAM, TAGS = "aws:PrincipalTag/team", "aws:TagKeys"
WHEN = "2026-03-01T12:00:00Z"

ROWS = [
    condition(IF_EXISTS, C("StringLikeIfExists", "aws:PrincipalTag/type", "t1.*", "t2.*"), {}, True),
    condition(
        IF_EXISTS,
        C("StringLikeIfExists", "aws:PrincipalTag/type", "t1.*", "t2.*"),
        {"aws:PrincipalTag/type": "t2.x"},
        True,
    ),
    condition(
        IF_EXISTS,
        C("StringLikeIfExists", "aws:PrincipalTag/type", "t1.*", "t2.*"),
        {"aws:PrincipalTag/type": "m5"},
        False,
    ),
    condition(IF_EXISTS, C("StringNotEqualsIfExists", TEAM, "blue"), {}, True),
    condition(IF_EXISTS, C("StringNotEqualsIfExists", TEAM, "blue"), {TEAM: "blue"}, False),
    condition(
        IF_EXISTS,
        C("NumericLessThanIfExists", "aws:MultiFactorAuthAge", "300"),
        {"aws:MultiFactorAuthAge": "900"},
        False,
    ),
    condition(IF_EXISTS, C("NumericLessThanIfExists", "aws:MultiFactorAuthAge", "300"), {}, True),
    condition(EXISTENCE, C("Null", "aws:TokenIssueTime", "true"), {}, True),
    condition(EXISTENCE, C("Null", "aws:TokenIssueTime", "true"), {"aws:TokenIssueTime": WHEN}, False),
    condition(EXISTENCE, C("Null", "aws:TokenIssueTime", "false"), {"aws:TokenIssueTime": WHEN}, True),
    condition(EXISTENCE, C("Null", "aws:TokenIssueTime", "false"), {}, False),
    condition(EXISTENCE, C("Null", "aws:TokenIssueTime", True), {}, True),
    condition(
        BYPASS,
        C("Null", "kms:BypassPolicyLockoutSafetyCheck", True),
        {"kms:BypassPolicyLockoutSafetyCheck": "false"},
        False,
        action="kms:PutKeyPolicy",
    ),
    condition(EMPTY, C("Null", TAGS, "false"), {TAGS: []}, False),
]
