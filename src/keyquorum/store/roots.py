# SPDX-License-Identifier: Apache-2.0
"""The wrapped keyring keys. Each proves itself when it is opened, so these rows bear no MAC."""

from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.errors import DependencyTimeoutException
from keyquorum.store import schema
from keyquorum.store.engine import Database, Transaction, generation_of
from keyquorum.store.generations import Generations

_KEYS: Final = schema.keyring_keys

#: What changes when a keyring key comes or goes.
KEYRING: Final = "keyring"


class KeyringKey(NamedTuple):
    """What is known of a keyring key; seconds since the epoch. ``retired_at``: when nothing was under it any more."""

    version: int
    created_at: float
    retired_at: float | None


def keyring_keys(connection: sa.Connection) -> dict[int, bytes]:
    """Version -> wrapped keyring key; also of an older schema, which is opened before it is migrated."""
    query = sa.select(_KEYS.c.keyring_version, _KEYS.c.wrapped)
    return {row.keyring_version: row.wrapped for row in connection.execute(query)}


def known_keyring_keys(connection: sa.Connection) -> list[KeyringKey]:
    """Oldest first; the last one wraps what is new."""
    query = sa.select(_KEYS.c.keyring_version, _KEYS.c.created_at, _KEYS.c.retired_at)
    return [KeyringKey(*row) for row in connection.execute(query.order_by(_KEYS.c.keyring_version))]


def newest_version(connection: sa.Connection) -> int:
    """0 if there is none."""
    return connection.execute(sa.select(sa.func.max(_KEYS.c.keyring_version))).scalar() or 0


def check_newest(connection: sa.Connection, version: int) -> None:
    """Raises DependencyTimeoutException if there is a newer keyring key than the one that a secret was wrapped under:
    its process learns of it in a moment, and the request can be sent again. So nothing that is kept is ever added under
    one that is being replaced, or is gone."""
    newest = newest_version(connection)
    if version < newest:
        detail = f"wrapped under keyring key {version}, and {newest} is there since a moment ago"
        raise DependencyTimeoutException("The keyring key was just rotated. You can retry the request.", detail=detail)


def insert_keyring_key(connection: sa.Connection, version: int, wrapped: bytes, now: float) -> None:
    connection.execute(sa.insert(_KEYS).values(keyring_version=version, wrapped=wrapped, created_at=now))


def add_keyring_key(txn: Transaction, version: int, wrapped: bytes, now: float) -> None:
    """A newer keyring key, of which every process is to learn."""
    txn.touch(KEYRING)
    insert_keyring_key(txn.connection, version, wrapped, now)


def retire_keyring_key(txn: Transaction, version: int, now: float) -> None:
    txn.connection.execute(sa.update(_KEYS).where(_KEYS.c.keyring_version == version).values(retired_at=now))


def destroy_keyring_key(txn: Transaction, version: int) -> None:
    """Overwritten with as many zeros, then removed: see ``materials``."""
    txn.touch(KEYRING)
    row = _KEYS.c.keyring_version == version
    wrapped = txn.connection.execute(sa.select(_KEYS.c.wrapped).where(row)).scalar_one()
    txn.connection.execute(sa.update(_KEYS).where(row).values(wrapped=bytes(len(wrapped))))
    txn.connection.execute(sa.delete(_KEYS).where(row))


class KeyringKeys:
    """The keyring keys of a database, for a keyring that is to learn which come and go (``keyring.Source``)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._slot = Generations.slot(KEYRING)
        self._number, self._epoch = -1, 0

    def moved(self) -> bool:
        if self._database.alone:
            # This process is alone with its memory, where a reader would wait for the writer that asks.
            return False
        generations = self._database.generations
        return generations.at(self._slot) > self._number or generations.epoch != self._epoch

    def load(self) -> dict[int, bytes]:
        generations = self._database.generations
        # No number that this host has not given out yet is believed: see ``Store.snapshot``.
        highest, epoch = generations.highest(), generations.epoch
        with self._database.read() as connection:
            number, found = min(generation_of(connection), highest), keyring_keys(connection)
        self._number, self._epoch = number, epoch
        return found
