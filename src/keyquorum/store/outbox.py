# SPDX-License-Identifier: Apache-2.0
"""Audit records that committed together with their change, and wait to be seen in the audit file.

Each bears a MAC: what somebody else put here does not become an audit record.
"""

from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.store import schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_OUTBOX: Final = schema.audit_outbox


class Waiting(NamedTuple):
    """``position``: the length of the writer's audit file when the record was made; it can only stand after that."""

    row: int
    position: int
    event_id: str
    record: bytes


class Outbox:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def add(self, txn: Transaction, writer: int, position: int, event_id: str, record: bytes) -> int:
        """Put a record into the change's own transaction; its row number."""
        values = {"writer": writer, "position": position, "event_id": event_id, "record": record}
        statement = sa.insert(_OUTBOX).values(self._mac.seal(_OUTBOX, values)).returning(_OUTBOX.c.row)
        return int(txn.connection.execute(statement).scalar_one())

    def remove(self, txn: Transaction, rows: list[int]) -> None:
        txn.connection.execute(sa.delete(_OUTBOX).where(_OUTBOX.c.row.in_(rows)))

    def waiting(self, connection: sa.Connection, writer: int) -> list[Waiting]:
        """What this writer has not been seen to write, in the order of the changes."""
        refusal = "row %s of the audit outbox was tampered with and is not written"
        proven = self._mac.proven(connection, _OUTBOX, refusal, writer=writer)
        return [Waiting(row, values["position"], values["event_id"], values["record"]) for row, values in proven]

    def writers(self, connection: sa.Connection) -> list[int]:
        """The writers that have left records behind. Unproven."""
        return list(connection.execute(sa.select(_OUTBOX.c.writer).distinct()).scalars())
