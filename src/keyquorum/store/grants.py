# SPDX-License-Identifier: Apache-2.0
"""Grants: kept and listed here; what one allows is decided elsewhere."""

from collections.abc import Collection
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.model import Grant, Key, key_name
from keyquorum.store import conditions, schema
from keyquorum.store.conditions import Condition
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_GRANTS: Final = schema.grants


class Grants:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, grant_id: str) -> Grant | None:
        row = self._mac.one(connection, _GRANTS, grant_id=grant_id)
        return None if row is None else _grant(row)

    def named(self, connection: sa.Connection, key: Key, name: str, grantee: str) -> list[Grant]:
        """The key's grants of this name to this grantee."""
        return self._select(connection, **_on(key), name=name, grantee=grantee)

    def count(self, connection: sa.Connection, key: Key) -> int:
        query = sa.select(sa.func.count()).select_from(_GRANTS)
        query = query.where(_GRANTS.c.key_id == key.key_id, _GRANTS.c.region == key.region)
        return int(connection.execute(query).scalar_one())

    def on_key(
        self,
        connection: sa.Connection,
        key: Key,
        after: str,
        limit: int,
        *,
        grant_id: str | None = None,
        grantee: str | None = None,
    ) -> list[Grant]:
        """At most ``limit`` grants on the key after the grant ID ``after``, in order; the filters are optional."""
        of = {**_on(key), **_given(grant_id=grant_id, grantee=grantee)}
        return self._select(connection, conditions.after("grant_id", after), limit=limit, **of)

    def retirable(
        self, connection: sa.Connection, region: str, principal: str, issuer: str | None, after: str, limit: int
    ) -> list[Grant]:
        """At most ``limit`` grants of the Region that name this retiring principal; on whoever's keys, unless
        ``issuer`` is an account."""
        of = _given(retiring=principal, region=region, issuing_account=issuer)
        return self._select(connection, conditions.after("grant_id", after), limit=limit, **of)

    def to(self, connection: sa.Connection, key: Key, names: Collection[str], operation: str) -> dict[str, list[Grant]]:
        """The key's grants of this operation to each of these names: those bound to it, a unique ID, and those to it,
        an ARN, that are bound to no ID. A user who was renamed since has another ARN, and whoever has the old one now
        has no part in it."""
        to = conditions.either(conditions.among("grantee", names), conditions.among("grantee_id", names))
        found: dict[str, list[Grant]] = {name: [] for name in names}
        for grant in self._select(connection, to, conditions.containing("operations", operation), **_on(key)):
            name = grant.grantee_id or grant.grantee
            if name in found:
                found[name].append(grant)
        return found

    def insert(self, txn: Transaction, grant: Grant) -> None:
        self._touch(txn, grant)
        txn.connection.execute(sa.insert(_GRANTS).values(self._mac.seal(_GRANTS, _row(grant))))

    def delete(self, txn: Transaction, grant: Grant) -> None:
        self._touch(txn, grant)
        txn.connection.execute(sa.delete(_GRANTS).where(_GRANTS.c.grant_id == grant.grant_id))

    def _touch(self, txn: Transaction, grant: Grant) -> None:
        txn.touch(key_name(grant.key_id, grant.region))

    def _select(
        self, connection: sa.Connection, *selecting: Condition, limit: int | None = None, **selected: Any
    ) -> list[Grant]:
        rows = self._mac.many(connection, _GRANTS, *selecting, order=("grant_id",), limit=limit, **selected)
        return [_grant(row) for row in rows]


def _on(key: Key) -> dict[str, Any]:
    return {"key_id": key.key_id, "region": key.region}


def _given(**columns: str | None) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if value is not None}


def _grant(row: dict[str, Any]) -> Grant:
    flags = {name: bool(row[name]) for name in ("grantee_is_service", "retiring_is_service")}
    return Grant(**{**row, **flags, "operations": tuple(msgspec.json.decode(row["operations"]))})


def _row(grant: Grant) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(grant),
        "operations": msgspec.json.encode(grant.operations).decode(),
        "grantee_is_service": int(grant.grantee_is_service),
        "retiring_is_service": int(grant.retiring_is_service),
    }
