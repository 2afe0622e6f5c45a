# SPDX-License-Identifier: Apache-2.0
"""Destructions whose traces in the files are still to be removed, and then recorded."""

from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.model import Key
from keyquorum.store import schema
from keyquorum.store.engine import Transaction

_ERASURES: Final = schema.erasures


class Erasure(NamedTuple):
    row: int
    key_id: str
    region: str
    account: str


def note(txn: Transaction, key: Key) -> None:
    """Material of this key has been destroyed in this transaction."""
    txn.connection.execute(sa.insert(_ERASURES).values(key_id=key.key_id, region=key.region, account=key.account))


def pending(connection: sa.Connection) -> list[Erasure]:
    columns = (_ERASURES.c.row, _ERASURES.c.key_id, _ERASURES.c.region, _ERASURES.c.account)
    return [Erasure(*row) for row in connection.execute(sa.select(*columns).order_by(_ERASURES.c.row))]


def remove(txn: Transaction, row: int) -> bool:
    """Whether this was the first to do so."""
    return txn.connection.execute(sa.delete(_ERASURES).where(_ERASURES.c.row == row)).rowcount == 1
