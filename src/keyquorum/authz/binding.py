# SPDX-License-Identifier: Apache-2.0
"""What the principals of a resource-based policy are bound to when it is put: they must exist, and it is meant for
those that do, not for whoever gets their names later.

Source: IAM user guide, "IAM JSON policy elements: Principal", on principals that are deleted and created again.
"""

from collections.abc import Callable

from keyquorum.authz.policy import Policy
from keyquorum.authz.principals import INVALID_PRINCIPALS
from keyquorum.errors import MalformedPolicyDocumentException


def bind(policy: Policy, unique_id: Callable[[str], str | None], is_account: Callable[[str], bool]) -> dict[str, str]:
    """ARN -> unique ID of each user, role and session that ``policy`` names. Raises MalformedPolicyDocumentException
    if one of them, or an account, is not there."""
    bound: dict[str, str] = {}
    for statement in policy.statements:
        for principals in (statement.principals, statement.not_principals):
            if principals is None:
                continue
            for account in sorted(principals.accounts):
                if not is_account(account):
                    raise MalformedPolicyDocumentException(INVALID_PRINCIPALS, detail=account)
            for arn in sorted(principals.arns):
                found = unique_id(arn)
                if found is None:
                    raise MalformedPolicyDocumentException(INVALID_PRINCIPALS, detail=arn)
                bound[arn] = found
    return bound
