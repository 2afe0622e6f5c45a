# SPDX-License-Identifier: Apache-2.0
"""Grants: kept and listed here; what one allows is decided elsewhere."""

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.model import Grant, Key, key_name
from keyquorum.store import schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_GRANTS: Final = schema.grants


class Grants:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, grant_id: str) -> Grant | None:
        row = connection.execute(sa.select(_GRANTS).where(_GRANTS.c.grant_id == grant_id)).mappings().one_or_none()
        return None if row is None else self._grant(row)

    def named(self, connection: sa.Connection, key: Key, name: str, grantee: str) -> list[Grant]:
        """The key's grants of this name to this grantee."""
        return self._select(connection, self._on(key), _GRANTS.c.name == name, _GRANTS.c.grantee == grantee)

    def count(self, connection: sa.Connection, key: Key) -> int:
        query = sa.select(sa.func.count()).select_from(_GRANTS).where(self._on(key))
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
        conditions = [self._on(key)]
        if grant_id is not None:
            conditions.append(_GRANTS.c.grant_id == grant_id)
        if grantee is not None:
            conditions.append(_GRANTS.c.grantee == grantee)
        return self._select(connection, *conditions, _GRANTS.c.grant_id > after, limit=limit)

    def retirable(
        self, connection: sa.Connection, region: str, principal: str, issuer: str | None, after: str, limit: int
    ) -> list[Grant]:
        """At most ``limit`` grants of the Region that name this retiring principal; on whoever's keys, unless
        ``issuer`` is an account."""
        of = [_GRANTS.c.retiring == principal, _GRANTS.c.region == region]
        if issuer is not None:
            of.append(_GRANTS.c.issuing_account == issuer)
        return self._select(connection, *of, _GRANTS.c.grant_id > after, limit=limit)

    def to(
        self, connection: sa.Connection, key: Key, grantees: tuple[str, ...], ids: tuple[str, ...]
    ) -> tuple[Grant, ...]:
        """The key's grants to any of these ARNs, or bound to any of these unique IDs: a user who was renamed since has
        another ARN."""
        to = sa.or_(_GRANTS.c.grantee.in_(grantees), _GRANTS.c.grantee_id.in_(ids))
        return tuple(self._select(connection, self._on(key), to))

    def insert(self, txn: Transaction, grant: Grant) -> None:
        self._touch(txn, grant)
        txn.connection.execute(sa.insert(_GRANTS).values(self._mac.seal(_GRANTS, _row(grant))))

    def delete(self, txn: Transaction, grant: Grant) -> None:
        self._touch(txn, grant)
        txn.connection.execute(sa.delete(_GRANTS).where(_GRANTS.c.grant_id == grant.grant_id))

    def _touch(self, txn: Transaction, grant: Grant) -> None:
        txn.touch(key_name(grant.key_id, grant.region))

    def _select(
        self, connection: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None
    ) -> list[Grant]:
        query = sa.select(_GRANTS).where(*conditions).order_by(_GRANTS.c.grant_id).limit(limit)
        return [self._grant(row) for row in connection.execute(query).mappings()]

    def _grant(self, row: sa.RowMapping) -> Grant:
        values = self._mac.check(_GRANTS, row)
        values["operations"] = tuple(msgspec.json.decode(values["operations"]))
        for flag in ("grantee_is_service", "retiring_is_service"):
            values[flag] = bool(values[flag])
        return Grant(**values)

    @staticmethod
    def _on(key: Key) -> sa.ColumnElement[bool]:
        return sa.and_(_GRANTS.c.key_id == key.key_id, _GRANTS.c.region == key.region)


def _row(grant: Grant) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(grant),
        "operations": msgspec.json.encode(grant.operations).decode(),
        "grantee_is_service": int(grant.grantee_is_service),
        "retiring_is_service": int(grant.retiring_is_service),
    }
