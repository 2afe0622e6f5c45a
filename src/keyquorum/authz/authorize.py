# SPDX-License-Identifier: Apache-2.0
"""The proof of a decision: only ``authorize`` makes an ``AuthorizedKey``, and only that opens key material. Pure."""

from typing import Final

from keyquorum.authz.decision import Decision
from keyquorum.errors import AccessDeniedException
from keyquorum.model import Caller, Key, KeyMaterial, KeyRecord

_TOKEN: Final = object()


class AuthorizedKey:
    """A key that this request may use for one permission. Cannot be made outside this module."""

    __slots__ = ("key", "materials", "opened")

    def __init__(self, token: object, record: KeyRecord) -> None:
        if token is not _TOKEN:
            raise TypeError("an AuthorizedKey comes from authorize() alone")
        self.key: Final[Key] = record.key
        self.materials: Final[dict[str, KeyMaterial]] = record.materials
        self.opened: Final = record.opened


def authorize(record: KeyRecord, decision: Decision) -> AuthorizedKey:
    """The proof that ``decision``, which was made about this key, allows it; raises AccessDeniedException."""
    if not decision.allowed:
        raise AccessDeniedException
    return AuthorizedKey(_TOKEN, record)


def absent_or_forbidden(caller: Caller, permission: str, resource: str = "this resource") -> AccessDeniedException:
    """What a caller is told of a key of another account, whether it exists or not."""
    return AccessDeniedException(
        f"User: {caller.arn} is not authorized to perform: {permission} on {resource} because the resource does not "
        "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies "
        "access"
    )
