# SPDX-License-Identifier: Apache-2.0
"""SearchKeys: the keys of an account and a Region, with what lists show of them, a page at a time. No operation of
AWS's API: there, it takes ListKeys, and some requests more for each key.

It tells nothing that those would not. ListKeys has to be allowed; then whoever may not DescribeKey sees a key's ID and
ARN, and only where nothing is searched for: else what is found would tell what a key is like. Aliases, tags and the
last use are shown, and searched, to whom ListAliases, ListResourceTags and GetKeyLastUsage would tell them. What
remains to be learned is how many keys there are to look at: a search that finds too many of those that may not be
described ends early, and after a round number of keys.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from keyquorum import lifecycle, own_api
from keyquorum.errors import AccessDeniedException, LimitExceededException
from keyquorum.model import Key, KeyRecord
from keyquorum.ops.metadata import metadata
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, in_account
from keyquorum.ops.rules import DAY
from keyquorum.store import key_search
from keyquorum.store.key_search import Wanted, lower
from keyquorum.store.store import CachedView
from keyquorum.store.usage import Use

_PAGE: Final = 50
#: How many keys the database looks at in one go: more while it finds few of them that may be meant.
_WINDOW, _WIDEST, _FEW = 500, 20_000, _PAGE
#: How many it looks at for one request, and how many are loaded before it ends.
_MOST: Final = 20_000
_LOADED: Final = 500
_NOTHING: Final = Wanted()


class _Seen(NamedTuple):
    """A key as far as the caller may see it."""

    key_id: str
    record: KeyRecord | None = None
    aliases: tuple[str, ...] | None = None
    tags: tuple[tuple[str, str], ...] | None = None
    use: Use | None = None
    sees_use: bool = False


def _search(call: Call, request: own_api.SearchKeysRequest, _keys: Keys) -> own_api.SearchKeysResponse:
    wanted, limit = _wanted(request, call.now), request.limit or _PAGE
    pages, caller = call.services.pages, call.caller
    asked = msgspec.json.encode(replace(request, marker=None, limit=None)).decode()
    scope = f"SearchKeys {caller.account} {caller.region} {asked}"
    place = pages.read(scope, request.marker) if request.marker is not None else ""
    shown: list[_Seen] = []
    looked_at = loaded = 0
    more = True
    by_index = len(wanted.states) == 1 and wanted == Wanted(states=wanted.states)
    # Nothing is left out of a list in which nothing is searched for.
    window = limit + 1 if wanted == _NOTHING else _WINDOW
    while more and len(shown) <= limit and looked_at < _MOST and loaded < _LOADED:
        ids, last = _found(call, place, wanted, window) if by_index else _window(call, place, wanted, window)
        more = last is not None
        for key_id in ids:
            loaded += 1
            seen = _seen(call, key_id, wanted)
            if seen is not None:
                shown.append(seen)
                if len(shown) > limit:
                    break
        else:
            looked_at += window
            place = last or place
            if len(ids) < _FEW and wanted != _NOTHING:
                window = min(2 * window, _WIDEST)
            window = min(window, _MOST - looked_at)
    full = len(shown) > limit
    if full:
        shown.pop()
        place = shown[-1].key_id
    return own_api.SearchKeysResponse(
        keys=[_entry(call, seen) for seen in shown],
        next_marker=pages.issue(scope, place) if full or more else None,
        truncated=full or more,
        looked_at=looked_at if more and not full else None,
    )


def _window(call: Call, place: str, wanted: Wanted, window: int) -> tuple[list[str], str | None]:
    """The IDs to look at among the next ``window`` keys, and the last of those keys; None if there are none after."""
    where = call.caller.account, call.caller.region
    with call.services.store.database.read() as connection:
        last = key_search.end_of(connection, *where, place, window)
        return key_search.between(connection, *where, place, last, wanted, window), last


def _found(call: Call, place: str, wanted: Wanted, most: int) -> tuple[list[str], str | None]:
    """The IDs of the next ``most`` keys that an index finds, so that the database looks at no others; and the last of
    them, None if there are none after."""
    where = call.caller.account, call.caller.region
    with call.services.store.database.read() as connection:
        ids = key_search.between(connection, *where, place, None, wanted, most)
    return ids, ids[-1] if len(ids) == most else None


def _seen(call: Call, key_id: str, wanted: Wanted) -> _Seen | None:
    """What the caller may see of a key; None if it is not one that is meant, as far as they can know. Raises
    IntegrityError."""
    record = CachedView(call.services.store, may_block=True).key(key_id, call.caller.region)
    if record is None or record.key.account != call.caller.account:
        return None
    if not _may(call, KeyUse("kms:DescribeKey", key_id), record):
        return _Seen(key_id) if wanted == _NOTHING else None
    sees_use = _may(call, KeyUse("kms:GetKeyLastUsage", key_id), record)
    seen = _Seen(
        key_id,
        record,
        record.aliases if _may(call, KeyUse("kms:ListAliases", key_id, by="account"), record) else None,
        record.key.tags if _may(call, KeyUse("kms:ListResourceTags", key_id), record) else None,
        call.services.usage.last(record.key) if sees_use else None,
        sees_use,
    )
    return seen if _is_meant(seen, record, wanted, call.now) else None


def _may(call: Call, use: KeyUse, record: KeyRecord) -> bool:
    try:
        call.access.key(use, record, one_of_many=True)
    except (AccessDeniedException, LimitExceededException):  # or too much to be decided
        return False
    return True


def _is_meant(seen: _Seen, record: KeyRecord, wanted: Wanted, now: float) -> bool:
    key = record.key
    state = lifecycle.at(key.state, record.ends(), now)
    lists = (
        (wanted.states, state),
        (wanted.specs, key.spec),
        (wanted.usages, key.usage),
        (wanted.origins, key.origin),
    )
    return all(not values or value in values for values, value in lists) and all(_rest(seen, record, wanted))


def _rest(seen: _Seen, record: KeyRecord, wanted: Wanted) -> Iterator[bool]:
    if wanted.text:
        text = lower(wanted.text)
        texts = (lower(record.key.description), *map(lower, seen.aliases or ()))
        yield record.key.key_id.startswith(text) or any(text in one for one in texts)
    if wanted.tag_key is not None or wanted.tag_value is not None:
        yield any(
            wanted.tag_key in (None, name) and wanted.tag_value in (None, value) for name, value in seen.tags or ()
        )
    used_at = None if seen.use is None else seen.use.used_at
    if wanted.used_after is not None:
        yield used_at is not None and used_at > wanted.used_after
    if wanted.unused_since is not None:
        yield seen.sees_use and (used_at is None or used_at <= wanted.unused_since)


def _wanted(request: own_api.SearchKeysRequest, now: float) -> Wanted:
    within, without = request.used_within_days, request.unused_for_days
    return Wanted(
        text=request.text or "",
        states=tuple(request.key_states or ()),
        specs=tuple(request.key_specs or ()),
        usages=tuple(request.key_usages or ()),
        origins=tuple(request.origins or ()),
        tag_key=request.tag_key,
        tag_value=request.tag_value,
        used_after=None if within is None else now - within * DAY,
        unused_since=None if without is None else now - without * DAY,
    )


def _entry(call: Call, seen: _Seen) -> own_api.FoundKey:
    caller, members = call.caller, dict[str, Any]()
    if seen.record is not None:
        members["key_metadata"] = metadata(call, seen.record, _family(call, seen.record.key))
    if seen.aliases is not None:
        members["aliases"] = list(seen.aliases)
    if seen.tags is not None:
        members["tags"] = dict(seen.tags)
    if seen.sees_use:
        use = seen.use
        members["last_usage"] = own_api.LastUse(
            operation=None if use is None else use.operation, timestamp=None if use is None else use.used_at
        )
    arn = call.services.layout.key(caller.region, caller.account, seen.key_id)
    return own_api.FoundKey(key_id=seen.key_id, key_arn=arn, **members)


def _family(call: Call, key: Key) -> list[Key] | None:
    if key.primary_region is None:
        return None
    with call.services.store.database.read() as connection:
        return call.services.store.keys.regions(connection, key.key_id)


OPERATIONS: Final = (Operation(name="SearchKeys", run=_search, needs=in_account("kms:ListKeys"), waits=True),)
