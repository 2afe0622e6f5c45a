# SPDX-License-Identifier: Apache-2.0
"""Temporary credentials. They are not stored: the session token holds all that they are, sealed, and opens here alone.

A token says whose session it is, not what that may do: policies, and whether the user or role is still there, are
looked up at each request. It travels in a header, so there is a limit to what may be put into one.
"""

import base64
import binascii
from typing import Final

import msgspec

from keyquorum.authz.matching import fold
from keyquorum.errors import PackedPolicyTooLargeException
from keyquorum.keyring import Keyring, new_secret, new_session_key_id
from keyquorum.model import Session

_PURPOSE: Final = "session token"

#: Of the 16 KiB that the headers of a request may have.
_LONGEST: Final = 12_288
#: Bytes for what callers choose. The rest has a longest form, and all of it in Base64 stays below ``_LONGEST``.
_ROOM: Final = 7_168


class Temporary(msgspec.Struct, frozen=True):
    """Temporary credentials of the user or role ``identity_id``."""

    access_key_id: str
    secret: str
    account: str
    identity_id: str
    session: Session

    def __repr__(self) -> str:
        return f"Temporary({self.access_key_id!r})"


def inherited(session: Session) -> tuple[tuple[str, str], ...]:
    """The tags that go along from a session to those that are begun with it."""
    transitive = {fold(key) for key in session.transitive}
    return tuple([(key, value) for key, value in session.tags if fold(key) in transitive])


def packed_size(session: Session) -> int | None:
    """How much of the room for policies and tags a session takes, in per cent; None if it has none.

    Raises PackedPolicyTooLargeException.
    """
    policies = (session.policies, session.policy_arns)
    chosen = (*policies, session.tags, session.transitive, session.claims)
    percent = -(-100 * len(msgspec.msgpack.encode(chosen)) // _ROOM)
    if percent > 100:
        raise PackedPolicyTooLargeException(
            f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
            if any(policies)
            else f"Packed size of session tags consumes {percent}% of allotted space."
        )
    return percent if any((*policies, session.tags)) else None


def issue(keyring: Keyring, account: str, identity_id: str, session: Session) -> tuple[Temporary, str]:
    """New temporary credentials, and their session token. That the session fits is for ``packed_size`` to say."""
    temporary = Temporary(new_session_key_id(), new_secret(), account, identity_id, session)
    sealed = keyring.seal_token(_PURPOSE, msgspec.msgpack.encode(temporary))
    return temporary, base64.b64encode(sealed).decode()


def open_token(keyring: Keyring, token: bytes) -> Temporary | None:
    """What a session token stands for, or None for one that was not issued here. Whether it has expired is for the
    caller to see."""
    if len(token) > _LONGEST:
        return None
    try:
        sealed = base64.b64decode(token, validate=True)
    except binascii.Error:
        return None
    if base64.b64encode(sealed) != token:
        return None  # the same bytes written otherwise: no client does that
    opened = keyring.open_token(_PURPOSE, sealed)
    return None if opened is None else msgspec.msgpack.decode(opened, type=Temporary)
