# SPDX-License-Identifier: Apache-2.0
"""The lock-out safety check: whether who puts a key policy could put another one after it.

Static: a statement with a Condition is taken neither as a permission nor as a refusal, since what the next request's
context will be is unknown. Where the policy lets the caller's account in, its identity policies are taken to allow it.

Source: KMS developer guide, "Default key policy", on the risk that a key becomes unmanageable.
"""

from collections.abc import Mapping

from keyquorum.authz.compiled import Compiled, Subject
from keyquorum.authz.policy import Policy

LOCKOUT = "The new key policy will not allow you to update the key policy in the future."
"""What callers say, in a MalformedPolicyDocumentException, where the check fails."""


def allows_put_key_policy(
    policy: Policy, subject: Subject, account: str, bound: Mapping[str, str] | None = None
) -> bool:
    """Whether ``subject`` could call PutKeyPolicy on a key of ``account`` under ``policy``, its ARNs ``bound``."""
    if subject.account != account:
        return False  # PutKeyPolicy does not work across accounts
    unconditional = Policy(tuple(s for s in policy.statements if not s.conditions), policy.version)
    denies, allows = Compiled(unconditional, bound).using("kms:putkeypolicy")
    return any(s.level(subject) for s in allows) and not any(s.level(subject) for s in denies)
