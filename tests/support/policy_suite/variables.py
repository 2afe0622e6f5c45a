# SPDX-License-Identifier: Apache-2.0
"""Policy variables in conditions and resources."""

from typing import Any

from policy_suite import IAM, VARIABLES, C, Case, Page, condition

IN_CONDITION = Page(IAM, VARIABLES, "Condition element")
NO_VALUE = Page(IAM, VARIABLES, "Policy variables with no value")
SPECIAL = Page(IAM, VARIABLES, "Special characters")
DEFAULTS = Page(IAM, VARIABLES, "Specifying default values")
VERSION = Page(IAM, "IAM JSON policy elements: Version", "IAM JSON policy elements: Version")
TAGS = "aws:TagKeys"
KEY = "arn:aws:sns:eu-west-1:111122223333:topic"


def old(block: Any, context: Any, applies: bool) -> list[Case]:
    """A condition in a policy of the older version, which has no variables: they are "treated as literal strings"."""
    return condition(VERSION, block, context, applies, version="2008-10-17")


ROWS = [
    condition(
        IN_CONDITION,
        C("StringEquals", "aws:PrincipalTag/y", "${aws:username}"),
        {"aws:PrincipalTag/y": "ann", "aws:username": "ann"},
        True,
    ),
    condition(
        IN_CONDITION,
        C("StringEquals", "aws:PrincipalTag/y", "${AWS:UserName}"),
        {"aws:PrincipalTag/y": "ann", "aws:username": "ann"},
        True,
    ),
    condition(
        IN_CONDITION,
        C("StringEquals", "aws:PrincipalTag/y", "${aws:username}"),
        {"aws:PrincipalTag/y": "Ann", "aws:username": "ann"},
        False,
    ),
    condition(
        NO_VALUE,
        C("StringEquals", "aws:PrincipalTag/y", "${aws:username}"),
        {"aws:PrincipalTag/y": "${aws:username}"},
        False,
    ),
    condition(
        NO_VALUE, C("StringNotEquals", "aws:PrincipalTag/y", "${aws:username}"), {"aws:PrincipalTag/y": "ann"}, True
    ),
    condition(
        IN_CONDITION,
        C("StringNotEquals", "aws:PrincipalTag/y", "${aws:username}"),
        {"aws:PrincipalTag/y": "ann", "aws:username": "ann"},
        False,
    ),
    condition(
        IN_CONDITION,
        C("StringLike", "aws:PrincipalTag/y", "home/${aws:username}/*"),
        {"aws:PrincipalTag/y": "home/ann/x", "aws:username": "ann"},
        True,
    ),
    condition(
        IN_CONDITION,
        C("StringLike", "aws:PrincipalTag/y", "home/${aws:username}/*"),
        {"aws:PrincipalTag/y": "home/bob/x", "aws:username": "ann"},
        False,
    ),
    condition(
        IN_CONDITION,
        C("StringLike", "aws:PrincipalTag/y", "home/${aws:username}/*"),
        {"aws:PrincipalTag/y": "home/bob/x", "aws:username": "*"},
        False,
    ),
    condition(
        DEFAULTS,
        C("StringLike", "aws:PrincipalTag/y", "${aws:PrincipalTag/t, 'none'}"),
        {"aws:PrincipalTag/y": "none"},
        True,
    ),
    condition(
        DEFAULTS,
        C("StringLike", "aws:PrincipalTag/y", "${aws:PrincipalTag/t, 'none'}"),
        {"aws:PrincipalTag/y": "none", "aws:PrincipalTag/t": "red"},
        False,
    ),
    condition(
        DEFAULTS,
        C("StringEquals", "aws:PrincipalTag/y", "${aws:PrincipalTag/t, ''}-x"),
        {"aws:PrincipalTag/y": "-x"},
        True,
    ),
    condition(SPECIAL, C("StringLike", "aws:PrincipalTag/y", "a${*}b"), {"aws:PrincipalTag/y": "a*b"}, True),
    condition(SPECIAL, C("StringLike", "aws:PrincipalTag/y", "a${*}b"), {"aws:PrincipalTag/y": "axb"}, False),
    condition(SPECIAL, C("StringLike", "aws:PrincipalTag/y", "a${?}b"), {"aws:PrincipalTag/y": "axb"}, False),
    condition(SPECIAL, C("StringLike", "aws:PrincipalTag/y", "a${$}b"), {"aws:PrincipalTag/y": "a$b"}, True),
    condition(
        SPECIAL,
        C("StringEquals", "aws:PrincipalTag/y", "${$}{aws:username}"),
        {"aws:PrincipalTag/y": "${aws:username}", "aws:username": "a"},
        True,
    ),
    condition(
        IN_CONDITION,
        C("StringEquals", "aws:PrincipalTag/y", "${aws:TagKeys}"),
        {"aws:PrincipalTag/y": "a", TAGS: ["a"]},
        False,
    ),
    condition(
        IN_CONDITION,
        C("StringEqualsIgnoreCase", "aws:PrincipalTag/y", "${aws:username}"),
        {"aws:PrincipalTag/y": "ANN", "aws:username": "ann"},
        True,
    ),
    condition(
        IN_CONDITION,
        C("ArnLike", "aws:SourceArn", "arn:aws:sns:*:${aws:PrincipalAccount}:*"),
        {"aws:SourceArn": KEY, "aws:PrincipalAccount": "111122223333"},
        True,
    ),
    condition(
        IN_CONDITION,
        C("ArnLike", "aws:SourceArn", "arn:aws:sns:*:${aws:PrincipalAccount}:*"),
        {"aws:SourceArn": KEY, "aws:PrincipalAccount": "444455556666"},
        False,
    ),
    condition(
        IN_CONDITION,
        C("StringEquals", "aws:PrincipalTag/y", "${aws:username"),
        {"aws:PrincipalTag/y": "${aws:username", "aws:username": "a"},
        True,
    ),
    old(
        C("StringEquals", "aws:PrincipalTag/y", "${aws:username}"),
        {"aws:PrincipalTag/y": "ann", "aws:username": "ann"},
        False,
    ),
    old(C("StringEquals", "aws:PrincipalTag/y", "${aws:username}"), {"aws:PrincipalTag/y": "${aws:username}"}, True),
    old(C("StringLike", "aws:PrincipalTag/y", "a${*}b"), {"aws:PrincipalTag/y": "a${anything}b"}, True),
    old(C("StringLike", "aws:PrincipalTag/y", "a${*}b"), {"aws:PrincipalTag/y": "a*b"}, False),
]
