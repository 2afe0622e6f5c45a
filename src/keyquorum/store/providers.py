# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect providers that an account trusts."""

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.model import OIDCProvider, identities_name
from keyquorum.store import schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_PROVIDERS: Final = schema.oidc_providers
_AS_JSON: Final[dict[str, Any]] = {
    "client_ids": tuple[str, ...],
    "thumbprints": tuple[str, ...],
    "tags": tuple[tuple[str, str], ...],
}


class Providers:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, account: str, url: str) -> OIDCProvider | None:
        """The provider of exactly this URL, which has no scheme."""
        row = self._mac.one(connection, _PROVIDERS, account=account, url=url)
        return None if row is None else _provider(row)

    def all(self, connection: sa.Connection, account: str) -> list[OIDCProvider]:
        """The account's providers in order of their URLs; there are at most 100."""
        return [_provider(row) for row in self._mac.many(connection, _PROVIDERS, order=("url",), account=account)]

    def insert(self, txn: Transaction, provider: OIDCProvider) -> None:
        txn.touch(identities_name(provider.account))
        txn.connection.execute(sa.insert(_PROVIDERS).values(self._mac.seal(_PROVIDERS, _values(provider))))

    def update(self, txn: Transaction, provider: OIDCProvider, **changes: Any) -> OIDCProvider:
        """Write the provider with these members changed; the provider as it is now."""
        changed = msgspec.structs.replace(provider, **changes, version=provider.version + 1)
        txn.touch(identities_name(provider.account))
        statement = sa.update(_PROVIDERS).where(self._is(provider.account, provider.url))
        txn.connection.execute(statement.values(self._mac.seal(_PROVIDERS, _values(changed))))
        return changed

    def delete(self, txn: Transaction, provider: OIDCProvider) -> None:
        txn.touch(identities_name(provider.account))
        txn.connection.execute(sa.delete(_PROVIDERS).where(self._is(provider.account, provider.url)))

    @staticmethod
    def _is(account: str, url: str) -> sa.ColumnElement[bool]:
        return sa.and_(_PROVIDERS.c.account == account, _PROVIDERS.c.url == url)


def _provider(row: dict[str, Any]) -> OIDCProvider:
    return OIDCProvider(**row | {name: msgspec.json.decode(row[name], type=shape) for name, shape in _AS_JSON.items()})


def _values(provider: OIDCProvider) -> dict[str, Any]:
    values = msgspec.structs.asdict(provider)
    return {**values, **{name: msgspec.json.encode(values[name]).decode() for name in _AS_JSON}}
