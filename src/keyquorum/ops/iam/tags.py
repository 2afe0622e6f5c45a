# SPDX-License-Identifier: Apache-2.0
"""Tags of users and roles: TagUser, UntagUser, ListUserTags, TagRole, UntagRole, ListRoleTags. (Groups have none; those
of policies and providers are with these.)"""

from functools import partial
from typing import Any

from keyquorum.ops.iam.about import changing, on, reading
from keyquorum.ops.iam.rules import ROLES, USERS, Kind, load, tagged, tags_page, untagged
from keyquorum.ops.operation import Call, Keys


def _tag(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    found = load(call, kind, request)
    tags = tagged(call, f"tags_per_{kind.word}", found.tags, request.tags)
    call.services.store.identities.update(call.write(), found, tags=tags)


def _untag(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    found = load(call, kind, request)
    call.services.store.identities.update(call.write(), found, tags=untagged(found.tags, request.tag_keys))


def _list(kind: Kind, call: Call, request: Any, _keys: Keys) -> Any:
    found = load(call, kind, request)
    return tags_page(call, f"List{kind.title}Tags", request, found.arn, found.tags)


OPERATIONS = tuple(
    operation
    for kind in (USERS, ROLES)
    for operation in (
        changing(f"Tag{kind.title}", partial(_tag, kind), on(kind)),
        changing(f"Untag{kind.title}", partial(_untag, kind), on(kind)),
        reading(f"List{kind.title}Tags", partial(_list, kind), on(kind)),
    )
)
