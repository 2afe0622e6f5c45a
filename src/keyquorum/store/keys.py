# SPDX-License-Identifier: Apache-2.0
"""Keys and their policies; their materials are in ``materials``."""

import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from keyquorum import lifecycle
from keyquorum.errors import IntegrityError
from keyquorum.model import Key, KeyMaterial, KeyRecord, ResourcePolicy
from keyquorum.store import conditions, schema
from keyquorum.store.aliases import Aliases
from keyquorum.store.conditions import Condition
from keyquorum.store.engine import Transaction, generation_of
from keyquorum.store.erasures import Erasures
from keyquorum.store.materials import Materials
from keyquorum.store.rowmac import RowMAC

_KEYS: Final = schema.keys
_POLICIES: Final = schema.key_policies
_DELETED: Final = schema.deleted_keys

#: Of a row that was deleted and put back by somebody else. It is what the database says; no row proves the absence of
#: another.
_GONE: Final = sa.exists().where(_DELETED.c.key_id == _KEYS.c.key_id, _DELETED.c.region == _KEYS.c.region)
_LIVING: Final = Condition(lambda _: ~_GONE, lambda _: True)
_IS_GONE: Final = _GONE.label("gone")


_COUNTED: Final = 1024


class Place(NamedTuple):
    """Where a key is, unproven: whoever acts on it loads the key and learns."""

    key_id: str
    account: str
    region: str


class Keys:
    """Every row read is checked against its MAC; every change raises the row's version."""

    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac
        self.materials = Materials(mac)
        self.erasures = Erasures(mac)
        self._aliases = Aliases(mac)
        #: Account and Region -> how many keys there were, and the number of the last change then.
        self._counted: dict[tuple[str, str], tuple[int, int]] = {}

    def load(self, connection: sa.Connection, key_id: str, region: str) -> KeyRecord | None:
        """The key and its materials, or None. Raises IntegrityError for rows that do not belong together."""
        row = self._mac.one(connection, _KEYS, unproven=(_IS_GONE,), key_id=key_id, region=region)
        if row is None:
            return None
        if row.pop("gone"):
            raise IntegrityError(f"key {key_id} was deleted, and its row is there again")
        key = _key(row)
        materials = self.materials.load(connection, key_id, region)
        if key.material_id and key.material_id not in materials:
            raise IntegrityError(f"key {key_id} has lost its current key material")
        aliases = tuple([alias.name for alias in self._aliases.of_key(connection, key_id, region)])
        return KeyRecord(key, materials, self.policy(connection, key), aliases)

    def account_of(self, connection: sa.Connection, key_id: str, region: str) -> str | None:
        """Whose the key is, or None if it is not there any more."""
        row = self._mac.one(connection, _KEYS, key_id=key_id, region=region)
        return None if row is None else str(row["account"])

    def regions(self, connection: sa.Connection, key_id: str) -> list[Key]:
        """The key in every Region where it is: one, or a multi-Region key's primary and replicas, in order."""
        rows = self._mac.many(connection, _KEYS, _LIVING, order=("region",), key_id=key_id)
        return [_key(row) for row in rows]

    def page(self, connection: sa.Connection, account: str, region: str, after: str, limit: int) -> list[str]:
        """At most ``limit`` key IDs of this account and Region, in order, that come after ``after``."""
        later = conditions.after("key_id", after)
        rows = self._mac.many(
            connection, _KEYS, _LIVING, later, order=("key_id",), limit=limit, account=account, region=region
        )
        return [row["key_id"] for row in rows]

    def places(self, connection: sa.Connection) -> list[Place]:
        """Where there are keys, in all accounts and Regions."""
        query = sa.select(_KEYS.c.key_id, _KEYS.c.account, _KEYS.c.region).where(~_GONE)
        return [Place(*row) for row in connection.execute(query.order_by(_KEYS.c.account, _KEYS.c.key_id))]

    def has_room(self, txn: Transaction, account: str, region: str, limit: int) -> bool:
        """Whether the account has fewer than ``limit`` keys in the Region. Counting a million takes a tenth of a
        second, under the lock of writers; but there cannot be more than were counted and changes were made since, of
        which each makes one key at most."""
        number, place = generation_of(txn.connection), (account, region)
        count, then = self._counted.get(place, (limit, number))
        if then <= number and count + number - then < limit:
            return True
        count = self._count(txn.connection, account, region)
        if len(self._counted) >= _COUNTED:  # callers name what Regions they like
            self._counted.clear()
        self._counted[place] = (count, number)
        return count < limit

    def _count(self, connection: sa.Connection, account: str, region: str) -> int:
        query = sa.select(sa.func.count()).select_from(_KEYS)
        return int(connection.execute(query.where(_KEYS.c.account == account, _KEYS.c.region == region)).scalar_one())

    def any_of(self, connection: sa.Connection, account: str) -> bool:
        """Whether the account has a key, in whichever Region."""
        return (
            connection.execute(sa.select(_KEYS.c.key_id).where(_KEYS.c.account == account).limit(1)).first() is not None
        )

    def due_for_deletion(self, connection: sa.Connection, now: float, limit: int, skip: int = 0) -> list[Place]:
        """Keys whose deletion date has come, the longest due first, after ``skip`` of them."""
        return self._due(connection, _KEYS.c.deletion_date, now, limit, skip)

    def due_for_rotation(self, connection: sa.Connection, now: float, limit: int, skip: int = 0) -> list[Place]:
        """Keys whose next rotation is due, the longest due first, after ``skip`` of them."""
        return self._due(connection, _KEYS.c.next_rotation, now, limit, skip, _KEYS.c.state.in_(lifecycle.ROTATING))

    def due_for_expiry(self, connection: sa.Connection, now: float, limit: int, skip: int = 0) -> list[Place]:
        """Keys of which imported material has expired, the longest due first, after ``skip`` of them."""
        table = schema.key_materials
        joined = sa.join(table, _KEYS, sa.and_(table.c.key_id == _KEYS.c.key_id, table.c.region == _KEYS.c.region))
        columns = (_KEYS.c.key_id, _KEYS.c.account, _KEYS.c.region)
        query = sa.select(*columns).select_from(joined).where(table.c.valid_to <= now, table.c.wrapped_row.is_not(None))
        query = query.group_by(*columns).order_by(sa.func.min(table.c.valid_to)).limit(limit).offset(skip)
        return [Place(*row) for row in connection.execute(query)]

    def next_date(self, connection: sa.Connection, after: float) -> float | None:
        """When something will be due next. What was due before and is still there has failed, and is no date."""
        deletion, rotation, expiry = _KEYS.c.deletion_date, _KEYS.c.next_rotation, schema.key_materials.c.valid_to
        dates = (
            sa.select(sa.func.min(deletion)).where(deletion > after),
            sa.select(sa.func.min(rotation)).where(rotation > after, _KEYS.c.state.in_(lifecycle.ROTATING)),
            sa.select(sa.func.min(expiry)).where(expiry > after, schema.key_materials.c.wrapped_row.is_not(None)),
        )
        found = [connection.execute(query).scalar() for query in dates]
        return min((date for date in found if date is not None), default=None)

    def _due(
        self,
        connection: sa.Connection,
        date: sa.Column[float],
        now: float,
        limit: int,
        skip: int,
        *conditions: sa.ColumnElement[bool],
    ) -> list[Place]:
        query = sa.select(_KEYS.c.key_id, _KEYS.c.account, _KEYS.c.region).where(date <= now, *conditions)
        return [Place(*row) for row in connection.execute(query.order_by(date).limit(limit).offset(skip))]

    def is_taken(self, connection: sa.Connection, key_id: str) -> bool:
        """Whether this key ID names a key, or named one that was deleted: it is not given out again."""
        known = sa.union_all(
            sa.select(_KEYS.c.key_id).where(_KEYS.c.key_id == key_id),
            sa.select(_DELETED.c.key_id).where(_DELETED.c.key_id == key_id),
        )
        return connection.execute(known).first() is not None

    def insert(self, txn: Transaction, key: Key, materials: Iterable[KeyMaterial], policy: ResourcePolicy) -> None:
        """A new key. A replica may come back to a Region that it was deleted from."""
        txn.touch(key.name)
        txn.connection.execute(
            sa.delete(_DELETED).where(_DELETED.c.key_id == key.key_id, _DELETED.c.region == key.region)
        )
        txn.connection.execute(sa.insert(_KEYS).values(self._mac.seal(_KEYS, _key_row(key))))
        for material in materials:
            self.materials.insert(txn, material)
        row = {"key_id": key.key_id, "region": key.region, "name": "default", "version": 1, **_policy_values(policy)}
        txn.connection.execute(sa.insert(_POLICIES).values(self._mac.seal(_POLICIES, row)))

    def update(self, txn: Transaction, key: Key, **changes: Any) -> Key:
        """Write the key with these members changed; the key as it is now."""
        changed = msgspec.structs.replace(key, **changes, version=key.version + 1)
        txn.touch(key.name)
        statement = sa.update(_KEYS).where(self._is(key.key_id, key.region))
        txn.connection.execute(statement.values(self._mac.seal(_KEYS, _key_row(changed))))
        return changed

    def delete(self, txn: Transaction, key: Key, now: float) -> None:
        """Remove the key with all that hangs on it, and remember its ID. ``Database.erase`` finishes the work."""
        txn.touch(key.name)
        for alias in self._aliases.of_key(txn.connection, key.key_id, key.region):
            self._aliases.delete(txn, alias)
        self.materials.destroy_all(txn, key)
        for table in (schema.grants, schema.key_usage, _POLICIES, _KEYS):
            of_key = sa.and_(table.c.key_id == key.key_id, table.c.region == key.region)
            txn.connection.execute(sa.delete(table).where(of_key))
        row = {"key_id": key.key_id, "region": key.region, "account": key.account, "deleted_at": now, "version": 1}
        txn.connection.execute(sa.insert(_DELETED).values(self._mac.seal(_DELETED, row)))
        self.erasures.note(txn, key)

    def policy(self, connection: sa.Connection, key: Key) -> ResourcePolicy:
        """The key policy ``default``."""
        row = self._policy_row(connection, key)
        bound = row["bound"]
        return ResourcePolicy(sys.intern(row["document"]), None if bound is None else msgspec.json.decode(bound))

    def put_policy(self, txn: Transaction, key: Key, policy: ResourcePolicy) -> None:
        row = self._policy_row(txn.connection, key)
        txn.touch(key.name)
        values = self._mac.seal(_POLICIES, {**row, **_policy_values(policy), "version": row["version"] + 1})
        of_key = sa.and_(_POLICIES.c.key_id == key.key_id, _POLICIES.c.region == key.region)
        txn.connection.execute(sa.update(_POLICIES).where(of_key).values(values))

    def _policy_row(self, connection: sa.Connection, key: Key) -> dict[str, Any]:
        row = self._mac.one(connection, _POLICIES, key_id=key.key_id, region=key.region)
        if row is None:
            raise IntegrityError(f"key {key.key_id} has lost its key policy")
        return row

    @staticmethod
    def _is(key_id: str, region: str) -> sa.ColumnElement[bool]:
        return sa.and_(_KEYS.c.key_id == key_id, _KEYS.c.region == region)


def _key(row: dict[str, Any]) -> Key:
    tags = tuple(tuple(pair) for pair in msgspec.json.decode(row["tags"]))
    # Thousands of keys in memory have the same account, spec and state.
    same = {name: sys.intern(value) for name, value in row.items() if type(value) is str}
    return Key(**{**row, **same, "tags": tags})


def _key_row(key: Key) -> dict[str, Any]:
    return {**msgspec.structs.asdict(key), "tags": msgspec.json.encode(key.tags).decode()}


def _policy_values(policy: ResourcePolicy) -> dict[str, Any]:
    bound = None if policy.bound is None else msgspec.json.encode(policy.bound, order="deterministic").decode()
    return {"document": policy.document, "bound": bound}
