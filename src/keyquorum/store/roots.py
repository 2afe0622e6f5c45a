# SPDX-License-Identifier: Apache-2.0
"""The sealed root key and the wrapped keyring keys. Each proves itself when it is opened, so these rows bear no MAC."""

import sqlalchemy as sa

from keyquorum.store import schema


def sealed_root(connection: sa.Connection) -> bytes | None:
    return connection.execute(sa.select(schema.root_keys.c.sealed).where(schema.root_keys.c.root_id == 1)).scalar()


def keyring_keys(connection: sa.Connection) -> dict[int, bytes]:
    """Version -> wrapped keyring key."""
    table = schema.keyring_keys
    return {row.keyring_version: row.wrapped for row in connection.execute(sa.select(table))}


def insert_root(connection: sa.Connection, sealed: bytes, now: float) -> None:
    connection.execute(sa.insert(schema.root_keys).values(root_id=1, sealed=sealed, created_at=now))


def insert_keyring_key(connection: sa.Connection, version: int, wrapped: bytes, now: float) -> None:
    connection.execute(sa.insert(schema.keyring_keys).values(keyring_version=version, wrapped=wrapped, created_at=now))
