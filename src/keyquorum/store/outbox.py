# SPDX-License-Identifier: Apache-2.0
"""Audit records that committed together with their change, and wait to be seen in the audit file."""

from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.store import schema
from keyquorum.store.engine import Transaction

_OUTBOX: Final = schema.audit_outbox


class Waiting(NamedTuple):
    """``position``: the length of the writer's audit file when the record was made; it can only stand after that."""

    row: int
    position: int
    event_id: str
    record: bytes


def add(txn: Transaction, writer: int, position: int, event_id: str, record: bytes) -> int:
    """Put a record into the change's own transaction; its row number."""
    statement = sa.insert(_OUTBOX).values(writer=writer, position=position, event_id=event_id, record=record)
    return int(txn.connection.execute(statement.returning(_OUTBOX.c.row)).scalar_one())


def remove(txn: Transaction, rows: list[int]) -> None:
    txn.connection.execute(sa.delete(_OUTBOX).where(_OUTBOX.c.row.in_(rows)))


def waiting(connection: sa.Connection, writer: int) -> list[Waiting]:
    """What this writer has not been seen to write, in the order of the changes."""
    query = sa.select(_OUTBOX).where(_OUTBOX.c.writer == writer).order_by(_OUTBOX.c.row)
    return [Waiting(row.row, row.position, row.event_id, row.record) for row in connection.execute(query)]


def writers(connection: sa.Connection) -> list[int]:
    """The writers that have left records behind."""
    return list(connection.execute(sa.select(_OUTBOX.c.writer).distinct()).scalars())
