# SPDX-License-Identifier: Apache-2.0
"""TagResource, UntagResource, ListResourceTags."""

from typing import Final

from keyquorum import api
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.rules import merged_tags, paged

_PAGE_SIZES: Final = (50, 50)


def _tag(call: Call, request: api.TagResourceRequest, keys: Keys) -> None:
    key = keys[0].key
    tags = merged_tags(call, dict(key.tags), request.tags or [])
    call.services.store.keys.update(call.write(), key, tags=tuple(sorted(tags.items())))


def _untag(call: Call, request: api.UntagResourceRequest, keys: Keys) -> None:
    key, gone = keys[0].key, set(request.tag_keys or [])
    kept = tuple((name, value) for name, value in key.tags if name not in gone)
    call.services.store.keys.update(call.write(), key, tags=kept)


def _list(call: Call, request: api.ListResourceTagsRequest, keys: Keys) -> api.ListResourceTagsResponse:
    key = keys[0].key
    scope = f"ListResourceTags {key.name}"

    def fetch(after: str, limit: int) -> list[tuple[str, str]]:
        return [tag for tag in key.tags if tag[0] > after][:limit]

    shown, marker, truncated = paged(call, scope, request, _PAGE_SIZES, fetch, lambda tag: tag[0])
    return api.ListResourceTagsResponse(
        tags=[api.Tag(tag_key=name, tag_value=value) for name, value in shown],
        next_marker=marker,
        truncated=truncated,
    )


OPERATIONS = (
    Operation(name="TagResource", run=_tag, keys=on_key("kms:TagResource"), changes=True),
    Operation(name="UntagResource", run=_untag, keys=on_key("kms:UntagResource"), changes=True),
    Operation(name="ListResourceTags", run=_list, keys=on_key("kms:ListResourceTags")),
)
