# SPDX-License-Identifier: Apache-2.0
"""From what a request calls a key to the key: ID, ARN, alias name or alias ARN. It decides nothing.

What it tells is what AWS tells: a caller learns of the absence of its own account's keys, and of no other's.
"""

from collections.abc import Iterable
from typing import Any, Final

from keyquorum import api, arns
from keyquorum.authz.authorize import absent_or_forbidden
from keyquorum.errors import InvalidArnException, KMSError, NotFoundException
from keyquorum.model import KeyRecord
from keyquorum.ops.operation import Call, KeyUse
from keyquorum.store.store import View

#: The members of requests that name a key, the one that decides where the request is to act first.
_NAMES: Final = ("key_id", "source_key_id", "target_key_id", "destination_key_id")


def region_of(request: Any) -> str | None:
    """The Region in the first ARN by which a request names a key or an alias; None if it names none so."""
    for name in _NAMES:
        text = getattr(request, name, None)
        if isinstance(text, str) and text.startswith("arn:aws:kms:"):
            region = text.split(":", 4)[3]
            return region if arns.is_region(region) else None
    return None


def resolve_all(
    view: View, call: Call, operation: str, uses: Iterable[KeyUse]
) -> tuple[list[tuple[KeyUse, KeyRecord]], KMSError | None]:
    """The keys up to the first that cannot be told, and the refusal of that one, for after the decisions on those
    before it: who is refused one of them learns nothing of the next."""
    found: list[tuple[KeyUse, KeyRecord]] = []
    for use in uses:
        try:
            found.append((use, resolve(view, call, operation, use)))
        except KMSError as refusal:
            return found, refusal
    return found, None


def resolve(view: View, call: Call, operation: str, use: KeyUse) -> KeyRecord:
    """The key that ``use`` names. Raises NotFoundException, InvalidArnException or AccessDeniedException."""
    caller = call.caller
    if use.found_in == "ciphertext":
        record = view.key(use.ref, caller.region)
        if record is None:
            raise absent_or_forbidden(caller, use.permission, "the resource associated with this ciphertext")
        return record

    shape = api.OPERATIONS.get(operation)
    ref = arns.parse(use.ref, declares_invalid_arn=shape is not None and "InvalidArnException" in shape.exceptions)
    if ref.alias is not None and use.alias == "refused":
        raise InvalidArnException("Key Aliases are not supported for this operation.")
    if ref.region is not None and ref.region != caller.region:
        raise NotFoundException(f"Invalid arn {ref.region}")
    account = ref.account or caller.account
    own = account == caller.account
    key_id = ref.key_id
    if ref.alias is not None:
        alias = view.alias(account, caller.region, ref.alias)
        if alias is None:
            if not own:
                raise absent_or_forbidden(caller, use.permission)
            raise NotFoundException(
                f"Alias {call.services.layout.alias(caller.region, account, ref.alias)} is not found."
            )
        key_id = alias.key_id
    record = view.key(str(key_id), caller.region)
    if record is not None and record.key.account == account:
        return record
    if not own:
        raise absent_or_forbidden(caller, use.permission)
    if not arns.is_key_id(str(key_id)):
        raise NotFoundException(f"Invalid keyId {key_id}" if ref.account else f"Invalid keyId '{key_id}'")
    raise NotFoundException(f"Key '{call.services.layout.key(caller.region, account, str(key_id))}' does not exist")
