# SPDX-License-Identifier: Apache-2.0
"""Aliases: names of keys, unique within an account and a Region."""

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.model import Alias, key_name
from keyquorum.store import conditions, schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_ALIASES: Final = schema.aliases


def cache_name(account: str, region: str, name: str) -> str:
    """What an alias is cached and announced under; no key ID and no access key ID has colons."""
    return f"{account}:{region}:{name}"


class Aliases:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, account: str, region: str, name: str) -> Alias | None:
        row = self._mac.one(connection, _ALIASES, account=account, region=region, name=name)
        return None if row is None else Alias(**row)

    def page(
        self, connection: sa.Connection, account: str, region: str, key_id: str | None, after: str, limit: int
    ) -> list[Alias]:
        """At most ``limit`` aliases after the name ``after``, in order; of one key only where ``key_id`` is given."""
        of: dict[str, Any] = {"account": account, "region": region} | ({} if key_id is None else {"key_id": key_id})
        later = conditions.after("name", after)
        return [Alias(**row) for row in self._mac.many(connection, _ALIASES, later, order=("name",), limit=limit, **of)]

    def of_key(self, connection: sa.Connection, key_id: str, region: str) -> list[Alias]:
        """All aliases of a key."""
        return [Alias(**row) for row in self._mac.many(connection, _ALIASES, key_id=key_id, region=region)]

    def insert(self, txn: Transaction, alias: Alias) -> None:
        self._touch(txn, alias)
        txn.connection.execute(sa.insert(_ALIASES).values(self._mac.seal(_ALIASES, msgspec.structs.asdict(alias))))

    def point(self, txn: Transaction, alias: Alias, key_id: str, now: float) -> None:
        """Make the alias name another key."""
        moved = msgspec.structs.replace(alias, key_id=key_id, updated_at=now, version=alias.version + 1)
        self._touch(txn, alias)
        self._touch(txn, moved)
        values = self._mac.seal(_ALIASES, msgspec.structs.asdict(moved))
        txn.connection.execute(
            sa.update(_ALIASES).where(self._is(alias.account, alias.region, alias.name)).values(values)
        )

    def delete(self, txn: Transaction, alias: Alias) -> None:
        self._touch(txn, alias)
        txn.connection.execute(sa.delete(_ALIASES).where(self._is(alias.account, alias.region, alias.name)))

    def _touch(self, txn: Transaction, alias: Alias) -> None:
        txn.touch(cache_name(alias.account, alias.region, alias.name))
        txn.touch(key_name(alias.key_id, alias.region))  # which is loaded with the names of its aliases

    @staticmethod
    def _is(account: str, region: str, name: str) -> sa.ColumnElement[bool]:
        return sa.and_(_ALIASES.c.account == account, _ALIASES.c.region == region, _ALIASES.c.name == name)
