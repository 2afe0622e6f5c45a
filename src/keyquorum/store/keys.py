# SPDX-License-Identifier: Apache-2.0
"""Keys, their materials and their policies."""

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.errors import IntegrityError
from keyquorum.model import Key, KeyMaterial, KeyRecord
from keyquorum.store import schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_KEYS: Final = schema.keys
_MATERIALS: Final = schema.key_materials
_POLICIES: Final = schema.key_policies


class Keys:
    """Every row read is checked against its MAC; every change raises the row's version."""

    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, key_id: str) -> KeyRecord | None:
        """The key and its materials, or None. Raises IntegrityError for rows that do not belong together."""
        row = connection.execute(sa.select(_KEYS).where(_KEYS.c.key_id == key_id)).mappings().one_or_none()
        if row is None:
            return None
        key = self._key(row)
        rows = connection.execute(sa.select(_MATERIALS).where(_MATERIALS.c.key_id == key_id)).mappings()
        materials = {m.material_id: m for m in map(self._material, rows)}
        if key.material_id and key.material_id not in materials:
            raise IntegrityError(f"key {key_id} has lost its current key material")
        return KeyRecord(key, materials)

    def page(self, connection: sa.Connection, account: str, region: str, after: str, limit: int) -> list[str]:
        """At most ``limit`` key IDs of this account and Region, in order, that come after ``after``."""
        place = sa.and_(_KEYS.c.account == account, _KEYS.c.region == region, _KEYS.c.key_id > after)
        query = sa.select(_KEYS).where(place).order_by(_KEYS.c.key_id).limit(limit)
        return [self._key(row).key_id for row in connection.execute(query).mappings()]

    def due(self, connection: sa.Connection, now: float, limit: int) -> list[tuple[str, str, str]]:
        """(key ID, account, Region) of keys whose deletion date has come, the longest due first. Unproven: a row that
        was tampered with must not keep the others from the list; whoever acts on one loads it and learns."""
        query = sa.select(_KEYS.c.key_id, _KEYS.c.account, _KEYS.c.region).where(_KEYS.c.deletion_date <= now)
        rows = connection.execute(query.order_by(_KEYS.c.deletion_date).limit(limit))
        return [(row.key_id, row.account, row.region) for row in rows]

    def is_taken(self, connection: sa.Connection, key_id: str) -> bool:
        """Whether this key ID names a key, or named one that was deleted: it is not given out again."""
        known = sa.union_all(
            sa.select(_KEYS.c.key_id).where(_KEYS.c.key_id == key_id),
            sa.select(schema.deleted_keys.c.key_id).where(schema.deleted_keys.c.key_id == key_id),
        )
        return connection.execute(known).first() is not None

    def insert(self, txn: Transaction, key: Key, material: KeyMaterial | None, policy: str) -> None:
        txn.touch(key.key_id)
        txn.connection.execute(sa.insert(_KEYS).values(self._mac.seal(_KEYS, _key_row(key))))
        if material is not None:
            row = msgspec.structs.asdict(material)
            txn.connection.execute(sa.insert(_MATERIALS).values(self._seal_material(row)))
        policy_row = {"key_id": key.key_id, "name": "default", "document": policy, "version": 1}
        txn.connection.execute(sa.insert(_POLICIES).values(self._mac.seal(_POLICIES, policy_row)))

    def update(self, txn: Transaction, key: Key, **changes: Any) -> Key:
        """Write the key with these members changed; the key as it is now."""
        changed = msgspec.structs.replace(key, **changes, version=key.version + 1)
        txn.touch(key.key_id)
        txn.connection.execute(
            sa.update(_KEYS).where(_KEYS.c.key_id == key.key_id).values(self._mac.seal(_KEYS, _key_row(changed)))
        )
        return changed

    def delete(self, txn: Transaction, key: Key, now: float) -> None:
        """Remove the key with all that hangs on it, and remember its ID. ``Database.erase`` finishes the work."""
        txn.touch(key.key_id)
        for table in (_MATERIALS, _POLICIES, schema.aliases, _KEYS):
            txn.connection.execute(sa.delete(table).where(table.c.key_id == key.key_id))
        txn.connection.execute(
            sa.insert(schema.deleted_keys).values(
                key_id=key.key_id, account=key.account, region=key.region, deleted_at=now
            )
        )

    def unerased(self, connection: sa.Connection) -> list[tuple[str, str, str]]:
        """(key ID, account, Region) of deleted keys of which some file may still hold wrapped material."""
        table = schema.deleted_keys
        query = sa.select(table.c.key_id, table.c.account, table.c.region).where(table.c.erased_at.is_(None))
        return [(row.key_id, row.account, row.region) for row in connection.execute(query)]

    def mark_erased(self, txn: Transaction, key_id: str, now: float) -> bool:
        """Whether this was the first to say so."""
        table = schema.deleted_keys
        unmarked = sa.and_(table.c.key_id == key_id, table.c.erased_at.is_(None))
        return txn.connection.execute(sa.update(table).where(unmarked).values(erased_at=now)).rowcount == 1

    def policy(self, connection: sa.Connection, key_id: str) -> str:
        """The text of the key policy ``default``."""
        return str(self._policy_row(connection, key_id)["document"])

    def put_policy(self, txn: Transaction, key_id: str, document: str) -> None:
        row = self._policy_row(txn.connection, key_id)
        txn.touch(key_id)
        values = self._mac.seal(_POLICIES, {**row, "document": document, "version": row["version"] + 1})
        txn.connection.execute(sa.update(_POLICIES).where(_POLICIES.c.key_id == key_id).values(values))

    def _policy_row(self, connection: sa.Connection, key_id: str) -> dict[str, Any]:
        row = connection.execute(sa.select(_POLICIES).where(_POLICIES.c.key_id == key_id)).mappings().one_or_none()
        if row is None:
            raise IntegrityError(f"key {key_id} has lost its key policy")
        return self._mac.check(_POLICIES, row)

    def _key(self, row: sa.RowMapping) -> Key:
        values = self._mac.check(_KEYS, row)
        values["tags"] = tuple(tuple(pair) for pair in msgspec.json.decode(values["tags"]))
        return Key(**values)

    # The row number orders insertion only: SQLite assigns it after the MAC is made, and nothing is decided by it.

    def _seal_material(self, row: dict[str, Any]) -> dict[str, Any]:
        return self._mac.seal(_MATERIALS, row)

    def _material(self, row: sa.RowMapping) -> KeyMaterial:
        return KeyMaterial(**self._mac.check(_MATERIALS, row, uncovered="row"))


def _key_row(key: Key) -> dict[str, Any]:
    return {**msgspec.structs.asdict(key), "tags": msgspec.json.encode(key.tags).decode()}
