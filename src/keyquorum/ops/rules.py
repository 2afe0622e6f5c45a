# SPDX-License-Identifier: Apache-2.0
"""Rules that several families share. A family does not import another."""

from collections.abc import Iterable
from typing import Final

import msgspec

from keyquorum import api
from keyquorum.authz import policy as policies
from keyquorum.errors import (
    InvalidKeyUsageException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    TagException,
    UnsupportedOperationException,
)
from keyquorum.model import Key
from keyquorum.ops.operation import Call
from keyquorum.specs import SPECS

DAY: Final = 86_400


class DueKey(msgspec.Struct, frozen=True):
    """What a job asks for: a key of which something is due."""

    key_id: str


def check_algorithm(key: Key, algorithm: str) -> str:
    """The algorithm, if it is one of the key's; raises InvalidKeyUsageException."""
    if algorithm not in SPECS[key.spec].usages[key.usage]:
        raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {key.spec}.")
    return algorithm


def wrong_origin(call: Call, key: Key) -> UnsupportedOperationException:
    return UnsupportedOperationException(
        f"{call.arn(key)} origin is {key.origin} which is not valid for this operation."
    )


def require_primary(call: Call, key: Key) -> None:
    """Raises UnsupportedOperationException for a replica."""
    if key.is_replica:
        raise UnsupportedOperationException(f"{call.arn(key)} is not a multi-region primary key.")


def family(call: Call, key: Key) -> list[Key]:
    """The key in every Region where it is, itself included, as locked for a change."""
    if key.primary_region is None:
        return [key]
    return call.services.store.keys.regions(call.write().connection, key.key_id)


def check_room(call: Call, region: str) -> None:
    """Raises LimitExceededException if the account has all the keys that it may have in a Region."""
    limit = call.services.quotas.keys_per_region
    if call.services.store.keys.count(call.write().connection, call.caller.account, region) >= limit:
        raise LimitExceededException(f"An account can have at most {limit} KMS keys in a Region.")


def acceptable_policy(call: Call, text: str, *, bypass: bool | None) -> str:
    """The text, if it is a key policy, and one that does not lock its author out unless the author insists."""
    parsed = policies.parse_key_policy(text)
    if not bypass and not policies.allows_put_key_policy(parsed, call.caller.arn, call.caller.account):
        raise MalformedPolicyDocumentException(policies.LOCKOUT)
    return text


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
