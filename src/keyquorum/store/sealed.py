# SPDX-License-Identifier: Apache-2.0
"""The sealed root key. Opening it is the proof that it is ours, so its rows bear no MAC."""

from typing import Final

import sqlalchemy as sa

from keyquorum.errors import IntegrityError
from keyquorum.model import SealedRoot
from keyquorum.store import schema

_ROOTS: Final = schema.root_keys

#: Rows: of the seal in use, and of the recovery seal.
IN_USE: Final = 1
RECOVERY: Final = 2


def read(connection: sa.Connection, root_id: int = IN_USE) -> SealedRoot | None:
    """A row, if there is one; also of a schema that is older than the kinds of seals, since it is opened before
    anything is migrated, and of a database without tables. Raises IntegrityError."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(_ROOTS.name):
        return None
    there = {column["name"] for column in inspector.get_columns(_ROOTS.name)}
    columns = [column for column in _ROOTS.c if column.name in there]
    row = connection.execute(sa.select(*columns).where(_ROOTS.c.root_id == root_id)).mappings().first()
    if row is None:
        return None
    found = SealedRoot(row["sealed"], row.get("kind"), row.get("parameters"), row["created_at"])
    # SQLite keeps any type in any column, and any bytes in a text.
    texts = [text for text in (found.kind, found.parameters) if text is not None]
    if not isinstance(found.sealed, bytes) or not all(isinstance(text, str) and text.isascii() for text in texts):
        raise IntegrityError("the sealed root key was tampered with")
    return found


def put(connection: sa.Connection, root_id: int, sealed: SealedRoot, now: float) -> None:
    """Write a row, in place of the one that is there."""
    connection.execute(sa.delete(_ROOTS).where(_ROOTS.c.root_id == root_id))
    values = {"sealed": sealed.sealed, "kind": sealed.kind, "parameters": sealed.parameters}
    connection.execute(sa.insert(_ROOTS).values(root_id=root_id, created_at=now, **values))
