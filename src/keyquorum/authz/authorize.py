# SPDX-License-Identifier: Apache-2.0
"""The decision, and the proof of it: only ``authorize`` makes an ``AuthorizedKey``, and only that opens key material.

Until policies are evaluated, a principal may act on its own account's keys, and on no other's. Pure.
"""

from typing import Final

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


def authorize(caller: Caller, permission: str, record: KeyRecord) -> AuthorizedKey:
    """The proof that ``caller`` has ``permission`` on the key; raises AccessDeniedException."""
    if record.key.account != caller.account:
        raise absent_or_forbidden(caller, permission)
    return AuthorizedKey(_TOKEN, record)


def absent_or_forbidden(caller: Caller, permission: str, resource: str = "this resource") -> AccessDeniedException:
    """What a caller is told of a key of another account, whether it exists or not."""
    return AccessDeniedException(
        f"User: {caller.arn} is not authorized to perform: {permission} on {resource} because the resource does not "
        "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies "
        "access"
    )
