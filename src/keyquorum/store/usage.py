# SPDX-License-Identifier: Apache-2.0
"""When each key was last used, for what, and under which audit record. Written in batches; decides nothing."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from keyquorum.store import schema
from keyquorum.store.engine import Transaction

_USAGE: Final = schema.key_usage


class Use(NamedTuple):
    """One successful cryptographic operation. ``used_at``: seconds since the epoch."""

    key_id: str
    region: str
    operation: str
    used_at: float
    event_id: str
    request_id: str


def load(connection: sa.Connection, key_id: str, region: str) -> Use | None:
    row = connection.execute(sa.select(_USAGE).where(_USAGE.c.key_id == key_id, _USAGE.c.region == region)).first()
    return None if row is None else Use(*row)


def record(txn: Transaction, uses: Iterable[Use]) -> None:
    """Keep each use that is later than what is known of its key. Uses of keys that are gone meanwhile are dropped."""
    for use in uses:
        exists = sa.select(sa.literal(1)).where(schema.keys.c.key_id == use.key_id, schema.keys.c.region == use.region)
        if txn.connection.execute(exists).first() is None:
            continue
        values = use._asdict()
        statement = insert(_USAGE).values(values)
        later = {name: statement.excluded[name] for name in ("operation", "used_at", "event_id", "request_id")}
        txn.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["key_id", "region"], set_=later, where=statement.excluded.used_at > _USAGE.c.used_at
            )
        )
