# SPDX-License-Identifier: Apache-2.0
"""What a grant allows: its operations, to its grantee, within its constraints. It never denies, and never widens.

A grant token is not asked for and proves nothing: a grant counts once it is stored, and as long as it is.

Sources: KMS developer guide, "Grants in AWS KMS" and "Creating grants"; API reference, GrantConstraints.
"""

from functools import lru_cache
from typing import Final

import msgspec

from keyquorum import api
from keyquorum.authz.compiled import Level, Pairs, Request, Subject, named
from keyquorum.authz.principals import Principals
from keyquorum.model import Grant

#: The permissions of operations with an encryption context: to others its constraints are not applied.
WITH_CONTEXT: Final = frozenset(
    {
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
    }
)


class CompiledGrant:
    """A grant made ready. ``grantee_id`` and ``retiring_id`` are the unique IDs that its principals had when it was
    made; without one the ARN is compared."""

    __slots__ = (
        "_actions",
        "_equals",
        "_grantee",
        "_retiring",
        "_source_arn",
        "_subset",
        "_terms",
        "grant_id",
        "owner",
    )

    def __init__(self, grant: Grant, grantee_id: str | None = None, retiring_id: str | None = None) -> None:
        constraints = api.GrantConstraints()
        if grant.constraints is not None:
            constraints = msgspec.json.decode(grant.constraints, type=api.GrantConstraints)
        self.grant_id = grant.grant_id
        self.owner = _account(grant.issuing_account)
        self._actions, self._terms = _operations(grant.operations)
        self._grantee = _principal(grant.grantee, grant.grantee_is_service, grantee_id)
        self._retiring = _principal(grant.retiring, grant.retiring_is_service, retiring_id)
        equals, subset = constraints.encryption_context_equals, constraints.encryption_context_subset
        self._equals = None if equals is None else Pairs(equals).listed
        self._subset = None if subset is None else Pairs(subset).unique
        self._source_arn = constraints.source_arn

    def level(self, action: str, request: Request, subject: Subject) -> Level:
        """How the grant names ``subject`` for ``action``, given in lower case; NONE if it does not allow it."""
        operation = self._actions.get(action)
        if operation is None or operation == "RetireGrant":
            return Level.NONE  # who may retire a grant is ``may_retire``'s to say, for that grant alone
        level = named(self._grantee, self._grantee.arns, subject)
        return level if level and self._within(operation, request) else Level.NONE

    def may_retire(self, subject: Subject) -> Level:
        """How the grant names ``subject`` as one who may retire it. Its account, and the key's, may besides."""
        level = named(self._retiring, self._retiring.arns, subject)
        if "RetireGrant" in self._terms:
            level = max(level, named(self._grantee, self._grantee.arns, subject))
        return max(level, named(self.owner, frozenset(), subject))

    def _within(self, operation: str, request: Request) -> bool:
        if self._source_arn is not None:
            on_behalf = request.context["aws:sourcearn"]
            # DescribeKey: "when specified in the request".
            if on_behalf != (self._source_arn,) and not (operation == "DescribeKey" and not on_behalf):
                return False
        if operation == "CreateGrant":
            return self._covers(request)
        if operation not in WITH_CONTEXT or (self._equals is None and self._subset is None):
            return True
        given, _, _ = request.pairs()
        return (self._equals is None or given.listed == self._equals) and (
            self._subset is None or self._subset <= given.unique
        )

    def _covers(self, request: Request) -> bool:
        """Whether what the request creates allows no more than this grant: fewer operations, equal or stricter
        constraints."""
        child = request.creates
        if child is None or not child.operations <= self._terms or self._source_arn not in (None, child.source_arn):
            return False
        _, equals, subset = request.pairs()
        if self._equals is not None and (equals is None or equals.listed != self._equals):
            return False
        required = equals or subset
        return self._subset is None or self._subset <= (frozenset() if required is None else required.unique)


# What many grants have in common is made once: a key can have 50,000 of them.


@lru_cache(maxsize=1024)
def _operations(operations: tuple[str, ...]) -> tuple[dict[str, str], frozenset[str]]:
    """By the permissions that they are, in lower case; and by themselves."""
    return {f"kms:{operation.lower()}": operation for operation in operations}, frozenset(operations)


@lru_cache(maxsize=1024)
def _account(account: str) -> Principals:
    return Principals(accounts=frozenset({account}))


@lru_cache(maxsize=1024)
def _principal(name: str | None, is_service: bool, unique_id: str | None) -> Principals:
    if name is None:
        return Principals()
    if is_service:
        return Principals(services=frozenset({name}))
    if name.endswith(":root"):
        return _account(name.split(":")[4])
    return Principals(arns=frozenset({unique_id or name}))
