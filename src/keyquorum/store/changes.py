# SPDX-License-Identifier: Apache-2.0
"""The record of what the last changes touched, from which processes on other hosts learn what to forget. Only as much
is kept as they look at: who has missed more forgets everything."""

from typing import Final

import sqlalchemy as sa

from keyquorum.store import schema
from keyquorum.store.engine import Database, generation_of

#: How many of the last changes followers look at, at the most, and how many are kept before there are too many.
LOOKED_AT: Final = 1_000
_KEPT: Final = 10_000


def prune(database: Database) -> int:
    """Remove what nobody looks at any more, once there is much of it; how many changes. By number and not by age, so
    that no node's clock has a part in it. Raises KMSError."""
    with database.read() as connection:
        number = generation_of(connection)
        oldest = connection.execute(sa.select(sa.func.min(schema.changes.c.number))).scalar()
    if oldest is None or oldest > number - _KEPT:
        return 0
    with database.write() as txn:
        last = generation_of(txn.connection) - LOOKED_AT
        return txn.connection.execute(sa.delete(schema.changes).where(schema.changes.c.number < last)).rowcount
