# SPDX-License-Identifier: Apache-2.0
"""Destructions whose traces in the files are still to be removed, and then recorded. Each row bears a MAC: nobody else
makes the server say that a key was erased.
"""

from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.model import Key
from keyquorum.store import schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_ERASURES: Final = schema.erasures


class Erasure(NamedTuple):
    row: int
    key_id: str
    region: str
    account: str


class Erasures:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def note(self, txn: Transaction, key: Key) -> None:
        """Material of this key has been destroyed in this transaction."""
        values = {"key_id": key.key_id, "region": key.region, "account": key.account}
        txn.connection.execute(sa.insert(_ERASURES).values(self._mac.seal(_ERASURES, values)))

    def pending(self, connection: sa.Connection) -> list[Erasure]:
        refusal = "row %s of the erasures was tampered with and is not recorded"
        return [Erasure(row=row, **values) for row, values in self._mac.proven(connection, _ERASURES, refusal)]

    def remove(self, txn: Transaction, row: int) -> bool:
        """Whether this was the first to do so."""
        return txn.connection.execute(sa.delete(_ERASURES).where(_ERASURES.c.row == row)).rowcount == 1
