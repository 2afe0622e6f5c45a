# SPDX-License-Identifier: Apache-2.0
"""Which resources a statement of an identity policy is about, and what its policy variables make of them."""

from typing import Any

from asked import DEFAULT, FULL, OTHER, Asked, doc
from policies import ACCOUNT, KEY_ARN

from policy_suite import IAM, KMS, VARIABLES, Case, Page

RESOURCE = Page(IAM, "IAM JSON policy elements: Resource", "Using wildcards in resource ARNs")
SEVERAL = Page(IAM, "IAM JSON policy elements: Resource", "Specifying multiple resources")
NOT_RESOURCE = Page(IAM, "IAM JSON policy elements: NotResource", "IAM JSON policy elements: NotResource")
VARIABLE = Page(IAM, VARIABLES, "Resource element")
NO_VALUE = Page(IAM, VARIABLES, "Policy variables with no value")
INVERTED_WITHOUT_VALUE = Page(IAM, VARIABLES, "Policy variables with no value", choice=True)
DEFAULTS = Page(IAM, VARIABLES, "Specifying default values")
OF_KMS = Page(KMS, "Specifying KMS keys in IAM policy statements", "Specifying KMS keys in IAM policy statements")
PERMISSIONS = Page(KMS, "AWS KMS permissions", "Column descriptions")
EU = "arn:aws:kms:eu-west-1"


def named(page: Page, element: dict[str, Any], resource: str, applies: bool) -> list[Case]:
    return variable(page, element, {}, applies, applies, resource)


def variable(
    page: Page, element: dict[str, Any], context: dict[str, str], allow: bool, deny: bool, resource: str = KEY_ARN
) -> list[Case]:
    """Whether an Allow with ``element`` is about ``resource``, and whether a Deny is."""
    asked = Asked(key_policy=DEFAULT, context=context, resource=resource)
    said = {"Action": "kms:*", **element}
    return [
        Case(page, "", asked.but(identity=(doc({"Effect": "Allow", **said}),)), allow),
        Case(page, "", asked.but(identity=(FULL, doc({"Effect": "Deny", **said}))), not deny),
    ]


ROWS = [
    named(RESOURCE, {"Resource": "*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": KEY_ARN}, KEY_ARN, True),
    named(RESOURCE, {"Resource": KEY_ARN + "x"}, KEY_ARN, False),
    named(RESOURCE, {"Resource": KEY_ARN.upper().replace("ARN:AWS:KMS", "arn:aws:kms")}, KEY_ARN, False),
    named(RESOURCE, {"Resource": f"{EU}:{ACCOUNT}:key/*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": f"{EU}:{ACCOUNT}:key/1234abcd-*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": f"{EU}:{ACCOUNT}:key/1234????-12ab*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": f"{EU}:{ACCOUNT}:key/1234???-12ab*"}, KEY_ARN, False),
    named(RESOURCE, {"Resource": f"arn:aws:kms:*:{ACCOUNT}:key/*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": f"arn:aws:kms:us-*:{ACCOUNT}:key/*"}, KEY_ARN, False),
    named(RESOURCE, {"Resource": f"arn:aws:kms:eu-*-1:{ACCOUNT}:key/*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": "arn:aws:kms:*:*:key/*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": f"arn:aws:kms:*:{OTHER}:key/*"}, KEY_ARN, False),
    named(RESOURCE, {"Resource": "arn:aws:kms:*:*:*"}, KEY_ARN, True),
    named(RESOURCE, {"Resource": "arn:aws:s3:*:*:*"}, KEY_ARN, False),
    named(RESOURCE, {"Resource": "arn:*:kms:*:*:key/*"}, KEY_ARN, True),
    named(SEVERAL, {"Resource": [f"{EU}:{OTHER}:key/*", KEY_ARN]}, KEY_ARN, True),
    named(OF_KMS, {"Resource": f"{EU}:{ACCOUNT}:alias/*"}, KEY_ARN, False),
    named(OF_KMS, {"Resource": f"{EU}:{ACCOUNT}:key/mrk-*"}, KEY_ARN, False),
    named(PERMISSIONS, {"Resource": f"{EU}:{ACCOUNT}:*"}, KEY_ARN, True),
    named(NOT_RESOURCE, {"NotResource": KEY_ARN}, KEY_ARN, False),
    named(NOT_RESOURCE, {"NotResource": f"arn:aws:kms:*:{OTHER}:*"}, KEY_ARN, True),
    named(NOT_RESOURCE, {"NotResource": "*"}, KEY_ARN, False),
    named(NOT_RESOURCE, {"NotResource": [f"{EU}:{OTHER}:key/*", f"{EU}:{ACCOUNT}:key/1*"]}, KEY_ARN, False),
    variable(
        VARIABLE,
        {"Resource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}"},
        {"aws:PrincipalTag/key": KEY_ARN[-36:]},
        True,
        True,
    ),
    variable(
        VARIABLE,
        {"Resource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}*"},
        {"aws:PrincipalTag/key": "1234"},
        True,
        True,
    ),
    variable(
        VARIABLE,
        {"Resource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}"},
        {"aws:PrincipalTag/key": "*"},
        False,
        False,
    ),
    variable(NO_VALUE, {"Resource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}"}, {}, False, False),
    variable(DEFAULTS, {"Resource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key, '1234'}}*"}, {}, True, True),
    variable(
        VARIABLE,
        {"Resource": f"{EU}:${{aws:PrincipalAccount}}:key/*"},
        {"aws:PrincipalAccount": ACCOUNT},
        False,
        False,
    ),
    variable(
        VARIABLE,
        {"NotResource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}*"},
        {"aws:PrincipalTag/key": "1"},
        False,
        False,
    ),
    variable(
        VARIABLE,
        {"NotResource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}*"},
        {"aws:PrincipalTag/key": "9"},
        True,
        True,
    ),
    # of a NotResource that matches nothing nothing is said
    variable(
        INVERTED_WITHOUT_VALUE, {"NotResource": f"{EU}:{ACCOUNT}:key/${{aws:PrincipalTag/key}}*"}, {}, False, True
    ),
]
