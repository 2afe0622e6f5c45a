# SPDX-License-Identifier: Apache-2.0
"""What may be used once: whether it was, in the whole cluster. Who writes to the database can make a token be refused,
or be taken a second time while it has not expired; what is in a token is sealed, and not for them to choose."""

from typing import Final

import sqlalchemy as sa

from keyquorum.store import schema
from keyquorum.store.engine import Transaction

_SPENT: Final = schema.spent_tokens


def spend(txn: Transaction, token_id: str, expires_at: float, now: float) -> bool:
    """Whether this was its first use. What has expired is forgotten on the way: nobody takes that any more. Seconds
    since the epoch."""
    txn.connection.execute(sa.delete(_SPENT).where(_SPENT.c.expires_at < now))
    if is_spent(txn.connection, token_id):
        return False
    txn.connection.execute(sa.insert(_SPENT).values(token_id=token_id, expires_at=expires_at))
    return True


def is_spent(connection: sa.Connection, token_id: str) -> bool:
    query = sa.select(_SPENT.c.token_id).where(_SPENT.c.token_id == token_id)
    return connection.execute(query).first() is not None
