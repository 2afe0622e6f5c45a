# SPDX-License-Identifier: Apache-2.0
"""The global condition keys that a server can know, as policies use them."""

from asked import ADMIN_SESSION, DEFAULT, OTHER, by, doc
from policies import ACCOUNT, ALICE, ROLE

from policy_suite import IAM, C, Page, condition, permitted

TITLE = "AWS global condition context keys"


def key(name: str) -> Page:
    return Page(IAM, TITLE, name)


NOW = "2026-03-01T12:00:00Z"
TO_THE_ROLE = doc(by("*", Condition=C("ArnEquals", "aws:PrincipalArn", ROLE)))
HOURS = {**C("DateGreaterThan", "aws:CurrentTime", "2026-03-01"), **C("DateLessThan", "aws:CurrentTime", "2026-03-02")}
MFA = C("NumericLessThan", "aws:MultiFactorAuthAge", "3600")

ROWS = [
    permitted(
        key("aws:PrincipalArn"),
        True,
        who=ADMIN_SESSION,
        key_policy=TO_THE_ROLE,
        context={"aws:PrincipalArn": ROLE},
    ),
    permitted(key("aws:PrincipalArn"), False, key_policy=TO_THE_ROLE, context={"aws:PrincipalArn": ALICE}),
    condition(
        key("aws:PrincipalArn"),
        C("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/team/*"),
        {"aws:PrincipalArn": ALICE},
        True,
    ),
    condition(
        key("aws:PrincipalAccount"),
        C("StringEquals", "aws:PrincipalAccount", ACCOUNT),
        {"aws:PrincipalAccount": ACCOUNT},
        True,
    ),
    condition(
        key("aws:PrincipalAccount"),
        C("StringEquals", "aws:PrincipalAccount", OTHER),
        {"aws:PrincipalAccount": ACCOUNT},
        False,
    ),
    condition(
        key("aws:PrincipalTag/tag-key"),
        C("StringEquals", "aws:PrincipalTag/team", "blue"),
        {"aws:PrincipalTag/team": "blue"},
        True,
    ),
    condition(key("aws:PrincipalTag/tag-key"), C("StringLike", "aws:PrincipalTag/job", "hr-*"), {}, False),
    condition(
        key("aws:PrincipalType"),
        C("StringEquals", "aws:PrincipalType", "AssumedRole"),
        {"aws:PrincipalType": "User"},
        False,
    ),
    condition(
        key("aws:PrincipalType"),
        C("StringEquals", "aws:PrincipalType", "User", "Account"),
        {"aws:PrincipalType": "User"},
        True,
    ),
    condition(
        key("aws:PrincipalIsAWSService"),
        C("Bool", "aws:PrincipalIsAWSService", "false"),
        {"aws:PrincipalIsAWSService": "false"},
        True,
    ),
    condition(
        key("aws:SourceIp"),
        C("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", "203.0.113.0/24"),
        {"aws:SourceIp": "192.0.2.9"},
        False,
    ),
    condition(
        key("aws:SourceIp"),
        C("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", "203.0.113.0/24"),
        {"aws:SourceIp": "10.0.0.1"},
        True,
    ),
    condition(key("aws:CurrentTime"), HOURS, {"aws:CurrentTime": NOW}, True),
    condition(key("aws:CurrentTime"), HOURS, {"aws:CurrentTime": "2026-03-02T00:00:00Z"}, False),
    condition(
        key("aws:EpochTime"), C("NumericLessThan", "aws:EpochTime", "1772366401"), {"aws:EpochTime": "1772366400"}, True
    ),
    condition(
        key("aws:EpochTime"), C("DateLessThan", "aws:EpochTime", "1772366400"), {"aws:EpochTime": "1772366400"}, False
    ),
    condition(
        key("aws:SecureTransport"), C("Bool", "aws:SecureTransport", "false"), {"aws:SecureTransport": "false"}, True
    ),
    condition(
        key("aws:SecureTransport"), C("Bool", "aws:SecureTransport", "false"), {"aws:SecureTransport": "true"}, False
    ),
    condition(
        key("aws:UserAgent"), C("StringLike", "aws:UserAgent", "aws-cli/*"), {"aws:UserAgent": "aws-cli/2.1"}, True
    ),
    condition(key("aws:username"), C("StringEquals", "aws:username", "alice"), {"aws:username": "Alice"}, False),
    condition(key("aws:username"), C("StringEquals", "aws:username", "alice"), {}, False),
    condition(
        key("aws:userid"), C("StringLike", "aws:userid", "AROAADMIN:*"), {"aws:userid": "AROAADMIN:laptop"}, True
    ),
    condition(
        key("aws:userid"), C("StringLike", "aws:userid", "AROAADMIN:*"), {"aws:userid": "AROAOTHER:laptop"}, False
    ),
    condition(
        key("aws:TokenIssueTime"),
        C("DateLessThan", "aws:TokenIssueTime", NOW),
        {"aws:TokenIssueTime": "2026-03-01T11:59:59Z"},
        True,
    ),
    condition(key("aws:TokenIssueTime"), C("DateLessThan", "aws:TokenIssueTime", NOW), {}, False),
    condition(key("aws:MultiFactorAuthAge"), MFA, {"aws:MultiFactorAuthAge": "3599"}, True),
    condition(key("aws:MultiFactorAuthAge"), MFA, {"aws:MultiFactorAuthAge": "3600"}, False),
    condition(key("aws:MultiFactorAuthAge"), MFA, {}, False),
    condition(key("aws:MultiFactorAuthPresent"), C("Bool", "aws:MultiFactorAuthPresent", "false"), {}, False),
    condition(key("aws:MultiFactorAuthPresent"), C("BoolIfExists", "aws:MultiFactorAuthPresent", "false"), {}, True),
    condition(
        key("aws:RequestedRegion"),
        C("StringEquals", "aws:RequestedRegion", "eu-central-1", "eu-west-1"),
        {"aws:RequestedRegion": "eu-west-1"},
        True,
    ),
    condition(
        key("aws:RequestedRegion"),
        C("StringNotEquals", "aws:RequestedRegion", "eu-central-1"),
        {"aws:RequestedRegion": "us-east-1"},
        True,
    ),
    condition(key("aws:ViaAWSService"), C("Bool", "aws:ViaAWSService", "false"), {"aws:ViaAWSService": "false"}, True),
    condition(
        key("aws:ResourceAccount"),
        C("StringEquals", "aws:ResourceAccount", "${aws:PrincipalAccount}"),
        {"aws:ResourceAccount": ACCOUNT, "aws:PrincipalAccount": ACCOUNT},
        True,
    ),
    condition(
        key("aws:ResourceAccount"),
        C("StringEquals", "aws:ResourceAccount", "${aws:PrincipalAccount}"),
        {"aws:ResourceAccount": OTHER, "aws:PrincipalAccount": ACCOUNT},
        False,
    ),
    condition(key("aws:SourceVpce"), C("StringEquals", "aws:SourceVpce", "vpce-1a2b3c4d"), {}, False),
    condition(key("aws:SourceVpce"), C("StringNotEquals", "aws:SourceVpce", "vpce-1a2b3c4d"), {}, True),
    permitted(
        key("aws:PrincipalArn"),
        False,
        identity=(
            doc(
                {
                    "Effect": "Allow",
                    "Action": "kms:*",
                    "Resource": "*",
                    "Condition": C("StringEquals", "aws:PrincipalOrgID", "o-1"),
                }
            ),
        ),
        key_policy=DEFAULT,
    ),
]
