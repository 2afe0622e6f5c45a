# SPDX-License-Identifier: Apache-2.0
"""Audit records that committed together with their change, and wait to be seen in the audit file.

Each bears a MAC: what somebody else put here does not become an audit record. Where nodes share a database each record
waits for the node that made it, in whose audit directory it belongs.
"""

from typing import Any, Final, NamedTuple

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


class Left(NamedTuple):
    """How many records wait for a node. Unproven."""

    node: str
    records: int


class Outbox:
    """``node``: whose records are added and looked at, beside those that are nobody's; None where there is one node."""

    def __init__(self, mac: RowMAC, node: str | None = None) -> None:
        self._mac = mac
        self.node = node

    def add(self, txn: Transaction, writer: int, position: int, event_id: str, record: bytes) -> int:
        """Put a record into the change's own transaction; its row number."""
        values: dict[str, Any] = {"writer": writer, "position": position, "event_id": event_id, "record": record}
        if self.node is not None:
            values["node"] = self.node
        statement = sa.insert(_OUTBOX).values(self._mac.seal(_OUTBOX, values)).returning(_OUTBOX.c.row)
        return int(txn.connection.execute(statement).scalar_one())

    def remove(self, txn: Transaction, rows: list[int]) -> None:
        txn.connection.execute(sa.delete(_OUTBOX).where(_OUTBOX.c.row.in_(rows)))

    def waiting(self, connection: sa.Connection, writer: int) -> list[Waiting]:
        """What this writer has not been seen to write, in the order of the changes."""
        refusal = "row %s of the audit outbox was tampered with and is not written"
        proven = self._mac.proven(connection, _OUTBOX, refusal, writer=writer)
        return [
            Waiting(row, values["position"], values["event_id"], values["record"])
            for row, values in proven
            if self.node is None or values["node"] in (None, self.node)
        ]

    def writers(self, connection: sa.Connection) -> list[int]:
        """The writers that have left records behind. Unproven."""
        query = sa.select(_OUTBOX.c.writer).distinct()
        if self.node is not None:
            query = query.where(sa.or_(_OUTBOX.c.node.is_(None), _OUTBOX.c.node == self.node))
        return list(connection.execute(query).scalars())

    def nodes(self, connection: sa.Connection) -> list[Left]:
        """The nodes for which records wait, this one among them."""
        query = sa.select(_OUTBOX.c.node, sa.func.count()).where(_OUTBOX.c.node.is_not(None))
        return [Left(*row) for row in connection.execute(query.group_by(_OUTBOX.c.node).order_by(_OUTBOX.c.node))]

    def adopt(self, txn: Transaction, node: str, writer: int) -> int:
        """Let the records of another node wait for a writer of this one: how many there were. Those that were tampered
        with stay where they are."""
        refusal = "row %s of the audit outbox was tampered with and is not adopted"
        adopted = list(self._mac.proven(txn.connection, _OUTBOX, refusal, node=node))
        for row, values in adopted:
            moved = {**values, "node": self.node, "writer": writer, "position": 0}
            txn.connection.execute(
                sa.update(_OUTBOX).where(_OUTBOX.c.row == row).values(self._mac.seal(_OUTBOX, moved))
            )
        return len(adopted)
