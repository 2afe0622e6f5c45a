# SPDX-License-Identifier: Apache-2.0
"""ARNs in conditions: part by part, with case."""

from policy_suite import IAM, OPERATORS, C, Page, condition

ARN = Page(IAM, OPERATORS, "Amazon Resource Name (ARN) condition operators")
KEY = "arn:aws:sns:eu-west-1:111122223333:topic"

ROWS = [
    condition(ARN, C("ArnEquals", "aws:SourceArn", KEY), {"aws:SourceArn": KEY}, True),
    condition(ARN, C("ArnEquals", "aws:SourceArn", "arn:aws:sns:*:111122223333:top*"), {"aws:SourceArn": KEY}, True),
    condition(ARN, C("ArnLike", "aws:SourceArn", "arn:aws:sns:*:111122223333:top?c"), {"aws:SourceArn": KEY}, True),
    condition(ARN, C("ArnLike", "aws:SourceArn", "arn:aws:sns:*:111122223333:TOPIC"), {"aws:SourceArn": KEY}, False),
    condition(ARN, C("ArnLike", "aws:SourceArn", "arn:aws:sns:*:444455556666:*"), {"aws:SourceArn": KEY}, False),
    condition(
        ARN,
        C("ArnLike", "aws:SourceArn", "arn:aws:someservice:*:111122223333:finance/*"),
        {"aws:SourceArn": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"},
        False,
    ),
    condition(
        ARN,
        C("StringLike", "aws:SourceArn", "arn:aws:someservice:*:111122223333:finance/*"),
        {"aws:SourceArn": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"},
        True,
    ),
    condition(ARN, C("ArnLike", "aws:SourceArn", "*"), {"aws:SourceArn": KEY}, True),
    condition(ARN, C("ArnLike", "aws:SourceArn", "*"), {}, False),
    condition(ARN, C("ArnLike", "aws:SourceArn", KEY), {}, False),
    condition(ARN, C("ArnLike", "aws:SourceArn", KEY), {"aws:SourceArn": "topic"}, False),
    condition(ARN, C("ArnNotEquals", "aws:SourceArn", KEY), {"aws:SourceArn": KEY}, False),
    condition(ARN, C("ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:111122223333:*"), {"aws:SourceArn": KEY}, False),
    condition(ARN, C("ArnNotLike", "aws:SourceArn", "arn:aws:sqs:*:111122223333:*"), {"aws:SourceArn": KEY}, True),
    condition(ARN, C("ArnNotLike", "aws:SourceArn", KEY), {}, True),
]
