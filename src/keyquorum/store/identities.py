# SPDX-License-Identifier: Apache-2.0
"""Principals and their access keys. Secrets are kept wrapped and are not opened here."""

from typing import Final

import msgspec
import sqlalchemy as sa

from keyquorum.errors import IntegrityError
from keyquorum.model import ROOT, AccessKey, Principal
from keyquorum.store import schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_PRINCIPALS: Final = schema.principals
_ACCESS_KEYS: Final = schema.access_keys


class Identities:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def access_key(self, connection: sa.Connection, access_key_id: str) -> tuple[AccessKey, Principal] | None:
        """The access key and the principal that it speaks for."""
        query = sa.select(_ACCESS_KEYS).where(_ACCESS_KEYS.c.access_key_id == access_key_id)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        access_key = AccessKey(**self._mac.check(_ACCESS_KEYS, row))
        query = sa.select(_PRINCIPALS).where(_PRINCIPALS.c.principal_id == access_key.principal_id)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise IntegrityError(f"access key {access_key_id} has lost its principal")
        return access_key, Principal(**self._mac.check(_PRINCIPALS, row))

    def principal(self, connection: sa.Connection, account: str, kind: str, name: str) -> Principal | None:
        query = sa.select(_PRINCIPALS).where(
            _PRINCIPALS.c.account == account, _PRINCIPALS.c.kind == kind, _PRINCIPALS.c.name == name
        )
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Principal(**self._mac.check(_PRINCIPALS, row))

    def root_access_key(self, connection: sa.Connection, account: str) -> AccessKey | None:
        """The oldest access key of the account's root."""
        root = self.principal(connection, account, ROOT, ROOT)
        if root is None:
            return None
        query = sa.select(_ACCESS_KEYS).where(_ACCESS_KEYS.c.principal_id == root.principal_id)
        row = connection.execute(query.order_by(_ACCESS_KEYS.c.created_at).limit(1)).mappings().one_or_none()
        return None if row is None else AccessKey(**self._mac.check(_ACCESS_KEYS, row))

    def insert_principal(self, txn: Transaction, principal: Principal) -> None:
        txn.connection.execute(
            sa.insert(_PRINCIPALS).values(self._mac.seal(_PRINCIPALS, msgspec.structs.asdict(principal)))
        )

    def insert_access_key(self, txn: Transaction, access_key: AccessKey) -> None:
        txn.touch(access_key.access_key_id)
        txn.connection.execute(
            sa.insert(_ACCESS_KEYS).values(self._mac.seal(_ACCESS_KEYS, msgspec.structs.asdict(access_key)))
        )
