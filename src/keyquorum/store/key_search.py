# SPDX-License-Identifier: Apache-2.0
"""Which keys of an account may be meant by a search. It is what the database says, and proves nothing: whoever shows a
key loads it, and looks whether it is one that is meant."""

from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from keyquorum.store import schema

_KEYS: Final = schema.keys
_USAGE: Final = schema.key_usage
_ALIASES: Final = schema.aliases
_DELETED: Final = schema.deleted_keys

_CAPITALS: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Wanted(NamedTuple):
    """What is searched for; a member that is empty, or None, says nothing. ``text`` is a part of the description or of
    an alias, or the beginning of the key ID. ``states`` and so on are lists of which one has to be the key's.
    ``used_after`` and ``unused_since``: seconds since the epoch, the latter for keys of which no later use is known."""

    text: str = ""
    states: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    usages: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    tag_key: str | None = None
    tag_value: str | None = None
    used_after: float | None = None
    unused_since: float | None = None


def lower(text: str) -> str:
    """ASCII alone, which is what all databases agree on."""
    return text.translate(_CAPITALS)


def end_of(connection: sa.Connection, account: str, region: str, after: str, count: int) -> str | None:
    """The key ID that ends the ``count`` keys after ``after``, in order; None if there are not so many."""
    of = (_KEYS.c.account == account, _KEYS.c.region == region, _KEYS.c.key_id > after)
    query = sa.select(_KEYS.c.key_id).where(*of).order_by(_KEYS.c.key_id).limit(1).offset(count - 1)
    return connection.execute(query).scalar_one_or_none()


def between(
    connection: sa.Connection, account: str, region: str, after: str, last: str | None, wanted: Wanted, limit: int
) -> list[str]:
    """At most ``limit`` key IDs, in order, after ``after`` and up to ``last``, of keys that may be meant."""
    query = sa.select(_KEYS.c.key_id).where(
        _KEYS.c.account == account, _KEYS.c.region == region, _KEYS.c.key_id > after, *_conditions(wanted)
    )
    if last is not None:
        query = query.where(_KEYS.c.key_id <= last)
    return [row[0] for row in connection.execute(query.order_by(_KEYS.c.key_id).limit(limit))]


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    gone = sa.exists().where(_DELETED.c.key_id == _KEYS.c.key_id, _DELETED.c.region == _KEYS.c.region)
    found = [~gone]
    lists = (("state", wanted.states), ("spec", wanted.specs), ("usage", wanted.usages), ("origin", wanted.origins))
    # With one value for each column but the last, databases use an index to the end; with several, some do not.
    found += [_KEYS.c[column] == values[0] for column, values in lists if len(values) == 1]
    found += [_KEYS.c[column].in_(values) for column, values in lists if len(values) > 1]
    if wanted.text:
        named = sa.exists().where(
            _ALIASES.c.key_id == _KEYS.c.key_id, _ALIASES.c.region == _KEYS.c.region, _has(_ALIASES.c.name, wanted.text)
        )
        begun = sa.func.substr(_KEYS.c.key_id, 1, len(wanted.text)) == lower(wanted.text)
        found.append(sa.or_(begun, _has(_KEYS.c.description, wanted.text), named))
    for part in (wanted.tag_key, wanted.tag_value):
        if part is not None:
            quoted = sa.literal(msgspec.json.encode(part).decode(), _KEYS.c.tags.type)
            found.append(sa.func.replace(_KEYS.c.tags, quoted, "") != _KEYS.c.tags)
    used = sa.exists().where(_USAGE.c.key_id == _KEYS.c.key_id, _USAGE.c.region == _KEYS.c.region)
    if wanted.used_after is not None:
        found.append(used.where(_USAGE.c.used_at > wanted.used_after))
    if wanted.unused_since is not None:
        found.append(~used.where(_USAGE.c.used_at > wanted.unused_since))
    return found


def _has(column: sa.Column[Any], text: str) -> sa.ColumnElement[bool]:
    return sa.func.lower(column).contains(lower(text), autoescape=True)
