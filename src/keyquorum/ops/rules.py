# SPDX-License-Identifier: Apache-2.0
"""Rules that several families share. A family does not import another."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from keyquorum import api, lifecycle
from keyquorum.authz import lockout
from keyquorum.authz import policy as policies
from keyquorum.authz.binding import bind
from keyquorum.errors import (
    AccessDeniedException,
    InvalidGrantTokenException,
    InvalidKeyUsageException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    TagException,
    UnsupportedOperationException,
)
from keyquorum.keyring import Keyring
from keyquorum.model import ROOT, Key, KeyMaterial, ResourcePolicy, key_name
from keyquorum.ops.operation import Call, Need
from keyquorum.specs import SPECS

DAY: Final = 86_400
_GRANT_TOKEN: Final = "grant token"  # noqa: S105 - what a token is for

T = TypeVar("T")


def root_of(call: Call, connection: sa.Connection) -> str:
    """The unique ID of the root of the caller's account, for the one that stands in for strangers in development."""
    account = call.caller.account
    root = call.services.store.identities.principal(connection, account, ROOT, ROOT)
    if root is None:
        raise AccessDeniedException("Access denied", detail=f"account {account} has no root")
    return root.principal_id


class DueKey(msgspec.Struct, frozen=True):
    """What a job asks for: a key of which something is due."""

    key_id: str


def sealed_text(keyring: Keyring, purpose: str, content: Any) -> str:
    """Content that callers keep for us, and cannot read or change."""
    return keyring.seal_token(purpose, msgspec.msgpack.encode(content)).hex()


def opened_text(keyring: Keyring, purpose: str, text: str, kind: type[T]) -> T | None:
    """The content, or None for what was not sealed here for this purpose."""
    try:
        sealed = bytes.fromhex(text)
    except ValueError:
        return None
    if sealed.hex() != text:
        return None  # one token, one spelling
    opened = keyring.open_token(purpose, sealed)
    return None if opened is None else msgspec.msgpack.decode(opened, type=kind)


class GrantToken(msgspec.Struct, frozen=True):
    """What a grant token names. It says where a grant is, not that there is one: nobody gets a right by showing it."""

    grant_id: str
    key_id: str
    region: str
    account: str

    def seal(self, call: Call) -> str:
        return sealed_text(call.services.keyring, _GRANT_TOKEN, self)

    @classmethod
    def open(cls, call: Call, text: str) -> "GrantToken":
        """Raises InvalidGrantTokenException for what is none of ours."""
        token = opened_text(call.services.keyring, _GRANT_TOKEN, text, cls)
        if token is None:
            raise InvalidGrantTokenException
        return token


def check_algorithm(key: Key, algorithm: str) -> str:
    """The algorithm, if it is one of the key's; raises InvalidKeyUsageException."""
    if algorithm not in SPECS[key.spec].usages[key.usage]:
        raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {key.spec}.")
    return algorithm


def wrong_origin(call: Call, key: Key) -> UnsupportedOperationException:
    return UnsupportedOperationException(
        f"{call.arn(key)} origin is {key.origin} which is not valid for this operation."
    )


def not_primary(call: Call, key: Key) -> UnsupportedOperationException:
    return UnsupportedOperationException(f"{call.arn(key)} is not a multi-region primary key.")


def family(call: Call, key: Key) -> list[Key]:
    """The key in every Region where it is, itself included, as locked for a change."""
    if key.primary_region is None:
        return [key]
    return call.services.store.keys.regions(call.write().connection, key.key_id)


def own(materials: dict[str, KeyMaterial]) -> list[KeyMaterial]:
    """The materials that belong to the key for good, those aside that wait for a rotation."""
    return [m for m in materials.values() if lifecycle.is_own(m.state)]


def is_complete(materials: dict[str, KeyMaterial]) -> bool:
    """Whether the key has all key material that it needs."""
    mine = own(materials)
    return bool(mine) and all(m.wrapped is not None for m in mine)


def reconsider_pending(call: Call, key: Key) -> None:
    """Say of imported material that waits for a rotation whether it is there in every Region of the key, which the
    rotation needs; to be called whenever a copy came or went, or a Region did."""
    txn, materials = call.write(), call.services.store.keys.materials
    copies: dict[str, list[KeyMaterial]] = {}
    for member in family(call, key):
        for material in materials.load(txn.connection, member.key_id, member.region).values():
            if not lifecycle.is_own(material.state):
                copies.setdefault(material.material_id, []).append(material)
    for everywhere in copies.values():
        state = lifecycle.pending_state(ready=all(copy.wrapped is not None for copy in everywhere))
        for copy in everywhere:
            materials.update(txn, copy, state=state)
            txn.touch(key_name(copy.key_id, copy.region))


def paged(
    call: Call,
    scope: str,
    request: Any,
    sizes: tuple[int, int],
    fetch: Callable[[str, int], list[T]],
    place: Callable[[T], str],
) -> tuple[list[T], str | None, bool]:
    """One page of a list of KMS: what it shows, NextMarker and Truncated. ``sizes``: the page's default and largest
    size."""
    limit = min(request.limit or sizes[0], sizes[1])
    return page_of(call, scope, request.marker, limit, fetch, place)


def page_of(
    call: Call,
    scope: str,
    marker: str | None,
    limit: int,
    fetch: Callable[[str, int], list[T]],
    place: Callable[[T], str],
) -> tuple[list[T], str | None, bool]:
    """One page of a list: what it shows, the marker of the next one, and whether there is one.

    ``scope`` names all that selects the list. ``fetch(after, limit)`` gives at most so many items that come after a
    place, and ``place`` tells an item's.
    """
    pages = call.services.pages
    after = pages.read(scope, marker) if marker is not None else ""
    found = fetch(after, limit + 1)
    shown, truncated = found[:limit], len(found) > limit
    return shown, pages.issue(scope, place(shown[-1])) if truncated else None, truncated


def check_room(call: Call, region: str) -> None:
    """Raises LimitExceededException if the account has all the keys that it may have in a Region."""
    limit = call.services.quotas.keys_per_region
    if not call.services.store.keys.has_room(call.write(), call.caller.account, region, limit):
        raise LimitExceededException(f"An account can have at most {limit} KMS keys in a Region.")


def acceptable_policy(call: Call, text: str | None, account: str, *, bypass: bool | None) -> ResourcePolicy:
    """A key policy, if ``text`` is one, and one that does not lock its author out unless the author insists; without a
    text the default one of the key's ``account``."""
    if text is None:
        return ResourcePolicy(policies.default_key_policy(account), {})
    parsed = policies.parse_key_policy(text)
    names = bound(call, parsed)
    if not bypass and not lockout.allows_put_key_policy(parsed, call.access.subject, account, names):
        raise MalformedPolicyDocumentException(lockout.LOCKOUT)
    return ResourcePolicy(text, names)


def bound(call: Call, policy: policies.Policy) -> dict[str, str] | None:
    """What the policy's principals are bound to; see ``authz.binding``. A development server knows whoever is named."""
    if call.services.development:
        return None
    identities, connection = call.services.store.identities, call.write().connection
    return bind(
        policy,
        lambda arn: identities.unique_id(connection, arn),
        lambda account: identities.has_account(connection, account),
    )


def tagging(call: Call, region: str) -> Need:
    """The permission to tag a key that is being made in a Region."""
    arn = call.services.layout.key(region, call.caller.account, "*")
    return Need("kms:TagResource", arn, context=(("aws:requestedregion", (region,)),))


def merged_tags(call: Call, present: dict[str, str], new: Iterable[api.Tag]) -> dict[str, str]:
    """The tags with the new ones added or replaced; raises TagException."""
    added: dict[str, str] = {}
    for tag in new:
        name, value = str(tag.tag_key), str(tag.tag_value)
        if name in added:
            raise TagException("Duplicate tag keys")
        if name.lower().startswith("aws:"):
            raise TagException("Tags beginning with aws: are reserved")
        added[name] = value
    merged = present | added
    if len(merged) > call.services.quotas.tags_per_key:
        raise TagException("Too many tags")
    return merged
