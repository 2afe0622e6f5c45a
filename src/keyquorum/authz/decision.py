# SPDX-License-Identifier: Apache-2.0
"""What a decision says: whether, why, by which statement, and AWS's text of a refusal."""

from enum import StrEnum

from msgspec import Struct


class Source(StrEnum):
    """Where a statement stands, as AWS's messages call it."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    GRANT = "grant"
    ROOT = "account root user"


class Reason(StrEnum):
    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicit deny"
    IMPLICIT_DENY = "implicit deny"
    NOT_ACROSS_ACCOUNTS = "the operation does not work across accounts"


class Decision(Struct, frozen=True):
    """What was decided, and by what.

    ``source`` is the kind of policy that decided: that allowed or denied, or that was the first to allow nothing.
    ``policy`` is its place among the subject's policies of that kind, ``statement`` and ``sid`` are the statement's;
    ``grant_id`` is the grant's. ``foreign``: the key is another account's.
    """

    allowed: bool
    reason: Reason
    source: Source
    policy: int | None = None
    statement: int | None = None
    sid: str | None = None
    grant_id: str | None = None
    foreign: bool = False

    def message(self, caller_arn: str, action: str, resource: str | None, unnamed: str = "this resource") -> str:
        """AWS's text of a refusal. Where another account's key did not allow it, it tells no more than of a key that
        does not exist, and calls it ``unnamed``."""
        start = f"User: {caller_arn} is not authorized to perform: {action} on "
        if self.foreign and self.source is Source.RESOURCE:
            return (
                f"{start}{unnamed} because the resource does not exist in this Region, no resource-based policies "
                "allow access, or a resource-based policy explicitly denies access"
            )
        start += f"resource: {resource or '*'}"
        if self.reason is Reason.EXPLICIT_DENY:
            article = "an" if self.source is Source.IDENTITY else "a"
            return f"{start} with an explicit deny in {article} {self.source}"
        return f"{start} because no {self.source} allows the {action} action"
