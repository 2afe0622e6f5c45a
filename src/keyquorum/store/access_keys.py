# SPDX-License-Identifier: Apache-2.0
"""Access keys. Secrets are kept wrapped and are not opened here."""

from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from keyquorum.model import AccessKey, Principal, identities_name
from keyquorum.store import roots, schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_KEYS: Final = schema.access_keys
_USAGE: Final = schema.access_key_usage


class LastUse(NamedTuple):
    """When an access key was last used, and for what. ``used_at``: seconds since the epoch."""

    access_key_id: str
    used_at: float
    service: str
    region: str


class AccessKeys:
    """Every change names the principal that the key speaks for, whose account's caches it drops."""

    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, access_key_id: str) -> AccessKey | None:
        row = self._mac.one(connection, _KEYS, access_key_id=access_key_id)
        return None if row is None else _access_key(row)

    def of(self, connection: sa.Connection, principal_id: str) -> list[AccessKey]:
        """The principal's access keys, oldest first."""
        order = ("created_at", "access_key_id")
        return [_access_key(row) for row in self._mac.many(connection, _KEYS, order=order, principal_id=principal_id)]

    def insert(self, txn: Transaction, access_key: AccessKey, principal: Principal) -> None:
        if access_key.public_key is None:
            roots.check_newest(txn.connection, access_key.keyring_version)
        txn.touch(identities_name(principal.account))
        values = self._mac.seal(_KEYS, msgspec.structs.asdict(access_key))
        txn.connection.execute(sa.insert(_KEYS).values(values))

    def rewrap(self, txn: Transaction, access_key: AccessKey, rewrapped: AccessKey) -> None:
        """The same secret, wrapped under another keyring key. Nothing that is cached holds the wrapped form."""
        changed = msgspec.structs.replace(rewrapped, version=access_key.version + 1)
        statement = sa.update(_KEYS).where(_KEYS.c.access_key_id == access_key.access_key_id)
        txn.connection.execute(statement.values(self._mac.seal(_KEYS, msgspec.structs.asdict(changed))))

    def before(self, connection: sa.Connection, version: int, after: str, limit: int) -> list[str]:
        """At most ``limit`` access keys after this one whose secret is under an older keyring key than this version, in
        their order. Unproven. Those whose owner keeps the secret are under none."""
        query = sa.select(_KEYS.c.access_key_id).where(
            _KEYS.c.keyring_version.between(1, version - 1), _KEYS.c.access_key_id > after
        )
        return list(connection.execute(query.order_by(_KEYS.c.access_key_id).limit(limit)).scalars())

    def count_under(self, connection: sa.Connection, version: int) -> int:
        """How many access keys say that their secret is under this keyring key. Unproven."""
        query = sa.select(sa.func.count()).select_from(_KEYS).where(_KEYS.c.keyring_version == version)
        return int(connection.execute(query).scalar_one())

    def set_status(self, txn: Transaction, access_key: AccessKey, principal: Principal, status: str) -> None:
        txn.touch(identities_name(principal.account))
        changed = msgspec.structs.replace(access_key, status=status, version=access_key.version + 1)
        statement = sa.update(_KEYS).where(_KEYS.c.access_key_id == access_key.access_key_id)
        txn.connection.execute(statement.values(self._mac.seal(_KEYS, msgspec.structs.asdict(changed))))

    def delete(self, txn: Transaction, access_key: AccessKey, principal: Principal) -> None:
        txn.touch(identities_name(principal.account))
        for table in (_USAGE, _KEYS):
            txn.connection.execute(sa.delete(table).where(table.c.access_key_id == access_key.access_key_id))

    def last_use(self, connection: sa.Connection, access_key_id: str) -> LastUse | None:
        row = connection.execute(sa.select(_USAGE).where(_USAGE.c.access_key_id == access_key_id)).first()
        return None if row is None else LastUse(*row)

    def record(self, txn: Transaction, uses: list[LastUse]) -> None:
        """Keep each use that is later than what is known of its access key; of one that is gone meanwhile, none."""
        given = {name: sa.bindparam(f"use_{name}", type_=_USAGE.c[name].type) for name in LastUse._fields}
        living = sa.exists().where(_KEYS.c.access_key_id == given["access_key_id"])
        statement = txn.upsert(_USAGE).from_select(list(LastUse._fields), sa.select(*given.values()).where(living))
        later = {name: statement.excluded[name] for name in ("used_at", "service", "region")}
        statement = statement.on_conflict_do_update(
            index_elements=["access_key_id"], set_=later, where=statement.excluded.used_at > _USAGE.c.used_at
        )
        txn.connection.execute(statement, [{f"use_{k}": v for k, v in use._asdict().items()} for use in uses])


def _access_key(row: dict[str, Any]) -> AccessKey:
    if row["status"] is None:
        del row["status"]  # a row of revision 0001
    return AccessKey(**row)
