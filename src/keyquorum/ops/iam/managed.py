# SPDX-License-Identifier: Apache-2.0
"""What the families of managed policies and of their versions share."""

from typing import Any

from keyquorum.authz.policy import parse_identity_policy, policy_size
from keyquorum.errors import AccessDeniedException, NoSuchEntityException
from keyquorum.model import ManagedPolicy
from keyquorum.ops.iam.rules import check_quota, find_policy, policy_arn
from keyquorum.ops.operation import Call
from keyquorum.store.managed_policies import OF_AWS


def accepted(call: Call, document: str | None) -> str:
    """The document, if it can be a managed policy's; raises MalformedPolicyDocumentException or
    LimitExceededException."""
    parse_identity_policy(str(document))
    check_quota(call, "policy_size", policy_size(str(document)))
    return str(document)


def load_policy(call: Call, request: Any) -> ManagedPolicy:
    """The managed policy that the request names; raises NoSuchEntityException."""
    found = find_policy(call, policy_arn(request.policy_arn))
    if found is None:
        raise NoSuchEntityException(f"Policy {request.policy_arn} was not found.")
    return found


def load_own_policy(call: Call, request: Any) -> ManagedPolicy:
    """The same of what is to be changed, which no policy of AWS can be; raises AccessDeniedException for one."""
    if request.policy_arn in OF_AWS:
        raise AccessDeniedException("The policy is AWS's, and cannot be changed by an account.")
    return load_policy(call, request)
