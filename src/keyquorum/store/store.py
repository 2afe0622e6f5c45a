# SPDX-License-Identifier: Apache-2.0
"""Everything kept, in one place: the aggregates, and the two views through which a request sees them.

A ``CachedView`` answers from memory what it may, and otherwise reads the database, or raises WouldBlock where waiting
is not allowed. A ``LockedView`` reads the rows inside a write transaction, where nothing can change any more.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import sqlalchemy as sa

from keyquorum.errors import WouldBlock
from keyquorum.model import Alias, KeyRecord, key_name
from keyquorum.store.aliases import Aliases, cache_name
from keyquorum.store.cache import Cache
from keyquorum.store.engine import Database, Transaction, generation_of
from keyquorum.store.grants import Grants
from keyquorum.store.identities import Identities
from keyquorum.store.keys import Keys
from keyquorum.store.outbox import Outbox
from keyquorum.store.rowmac import RowMAC

T = TypeVar("T")


class View(Protocol):
    """What steps (1) and (4) of the request path look up."""

    def key(self, key_id: str, region: str) -> KeyRecord | None: ...
    def alias(self, account: str, region: str, name: str) -> Alias | None: ...


class Store:
    """``cached``: how many keys, and how many aliases, are kept in memory."""

    def __init__(self, database: Database, mac: RowMAC, cached: int = 20_000) -> None:
        self.database = database
        self.keys = Keys(mac)
        self.aliases = Aliases(mac)
        self.identities = Identities(mac)
        self.grants = Grants(mac)
        self.outbox = Outbox(mac)
        self.key_cache: Cache[KeyRecord] = Cache(database.generations, cached)
        self.alias_cache: Cache[Alias] = Cache(database.generations, cached)

    def fetch(
        self, cache: Cache[T], name: str, load: Callable[[sa.Connection], T | None], *, may_block: bool
    ) -> T | None:
        """From the cache, else loaded in a snapshot and kept; WouldBlock where reading the database is not allowed."""
        found = cache.get(name)
        if found is not None:
            return found
        if not may_block:
            raise WouldBlock
        # No number that this host has not given out yet is believed: with it an entry would outlive its changes.
        highest = self.database.generations.highest()
        with self.database.read() as connection:
            number = min(generation_of(connection), highest)
            value = load(connection)
        if value is not None:
            cache.put(name, number, value)
        return value

    def sweep(self) -> None:
        """Drop what is stale."""
        self.key_cache.sweep()
        self.alias_cache.sweep()

    def clear(self) -> None:
        self.key_cache.clear()
        self.alias_cache.clear()


class CachedView:
    def __init__(self, store: Store, *, may_block: bool) -> None:
        self._store = store
        self._may_block = may_block

    def key(self, key_id: str, region: str) -> KeyRecord | None:
        store = self._store
        name = key_name(key_id, region)
        return store.key_cache.get(name) or store.fetch(
            store.key_cache, name, lambda c: store.keys.load(c, key_id, region), may_block=self._may_block
        )

    def alias(self, account: str, region: str, name: str) -> Alias | None:
        store = self._store
        return store.fetch(
            store.alias_cache,
            cache_name(account, region, name),
            lambda c: store.aliases.load(c, account, region, name),
            may_block=self._may_block,
        )


class LockedView:
    def __init__(self, store: Store, txn: Transaction) -> None:
        self._store = store
        self._txn = txn

    def key(self, key_id: str, region: str) -> KeyRecord | None:
        return self._store.keys.load(self._txn.connection, key_id, region)

    def alias(self, account: str, region: str, name: str) -> Alias | None:
        return self._store.aliases.load(self._txn.connection, account, region, name)
