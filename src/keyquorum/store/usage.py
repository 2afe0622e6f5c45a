# SPDX-License-Identifier: Apache-2.0
"""When each key was last used, for what, and under which audit record. Written in batches; decides nothing."""

from typing import Final, NamedTuple

import sqlalchemy as sa

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


def record(txn: Transaction, uses: list[Use]) -> None:
    """Keep each use that is later than what is known of its key. Uses of keys that are gone meanwhile are dropped."""
    given = {name: sa.bindparam(f"use_{name}", type_=_USAGE.c[name].type) for name in Use._fields}
    living = sa.exists().where(schema.keys.c.key_id == given["key_id"], schema.keys.c.region == given["region"])
    statement = txn.upsert(_USAGE).from_select(list(Use._fields), sa.select(*given.values()).where(living))
    later = {name: statement.excluded[name] for name in ("operation", "used_at", "event_id", "request_id")}
    statement = statement.on_conflict_do_update(
        index_elements=["key_id", "region"], set_=later, where=statement.excluded.used_at > _USAGE.c.used_at
    )
    txn.connection.execute(statement, [{f"use_{k}": v for k, v in use._asdict().items()} for use in uses])
