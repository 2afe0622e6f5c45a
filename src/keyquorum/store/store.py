# SPDX-License-Identifier: Apache-2.0
"""Everything kept, in one place: the aggregates, and the two views through which a request sees them.

A ``CachedView`` answers from memory what it may, and otherwise reads the database, or raises WouldBlock where waiting
is not allowed. A ``LockedView`` reads the rows inside a write transaction, where nothing can change any more.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa

from keyquorum.errors import WouldBlock
from keyquorum.model import Alias, Grant, IdentityRecord, Key, KeyRecord, identities_name, key_name
from keyquorum.store.access_keys import AccessKeys
from keyquorum.store.aliases import Aliases, cache_name
from keyquorum.store.cache import Cache
from keyquorum.store.engine import Database, Transaction, generation_of
from keyquorum.store.generations import Tag
from keyquorum.store.grants import Grants
from keyquorum.store.identities import Identities
from keyquorum.store.keys import Keys
from keyquorum.store.managed_policies import ManagedPolicies
from keyquorum.store.outbox import Outbox
from keyquorum.store.providers import Providers
from keyquorum.store.rowmac import RowMAC

T = TypeVar("T")
V = TypeVar("V")

_GRANTS: Final = 5
#: A grant in the cache weighs 1, and 1 more for each so many characters of its constraints.
_HEAVY: Final = 1024


class View(Protocol):
    """What steps (1) and (4) of the request path look up."""

    def key(self, key_id: str, region: str) -> KeyRecord | None: ...
    def alias(self, account: str, region: str, name: str) -> Alias | None: ...
    def identity(self, account: str, principal_id: str) -> IdentityRecord | None: ...
    def managed_policy(self, account: str, arn: str) -> str | None: ...
    def grants(self, key: Key, names: Iterable[str], operation: str, make: Callable[[Grant], T]) -> list[T]: ...
    def grant(self, grant_id: str) -> Grant | None: ...


class Store:
    """``cached``: how many keys, and how many aliases, are kept in memory, and how many grants for each of them.
    ``node``: this one's name, where several share the database."""

    def __init__(self, database: Database, mac: RowMAC, cached: int = 20_000, node: str | None = None) -> None:
        self.database = database
        self.mac = mac
        self.keys = Keys(mac)
        self.aliases = Aliases(mac)
        self.managed_policies = ManagedPolicies(mac)
        self.identities = Identities(mac, self.managed_policies)
        self.access_keys = AccessKeys(mac)
        self.providers = Providers(mac)
        self.grants = Grants(mac)
        self.outbox = Outbox(mac, node)
        self.key_cache: Cache[KeyRecord] = Cache(database.generations, cached)
        self.alias_cache: Cache[Alias] = Cache(database.generations, cached)
        self.identity_cache: Cache[IdentityRecord] = Cache(database.generations, cached)
        self.policy_cache: Cache[str] = Cache(database.generations, cached)
        self.grant_cache: Cache[list[Any]] = Cache(database.generations, _GRANTS * cached)
        self.caches: dict[str, Cache[Any]] = {
            "keys": self.key_cache,
            "aliases": self.alias_cache,
            "identities": self.identity_cache,
            "policies": self.policy_cache,
            "grants": self.grant_cache,
        }

    def fetch(
        self,
        cache: Cache[T],
        name: str,
        load: Callable[[sa.Connection], T | None],
        *,
        may_block: bool,
        under: Callable[[T], str] | None = None,
    ) -> T | None:
        """From the cache, else loaded in a snapshot and kept as long as what ``under`` names, or ``name``, does not
        change; WouldBlock where reading the database is not allowed."""
        found = cache.get(name)
        if found is not None:
            return found
        if not may_block:
            raise WouldBlock
        tag, value = self.snapshot(load)
        if value is not None:
            cache.put(name, tag, value, None if under is None else under(value))
        return value

    def snapshot(self, load: Callable[[sa.Connection], V]) -> tuple[Tag, V]:
        """What is loaded, and how new it is."""
        epoch, highest = self.database.generations.epoch, self.database.generations.highest()
        with self.database.read() as connection:
            return Tag(min(generation_of(connection), highest), epoch), load(connection)

    def sweep(self) -> None:
        """Drop what is stale."""
        for cache in self.caches.values():
            cache.sweep()

    def clear(self) -> None:
        for cache in self.caches.values():
            cache.clear()


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

    def identity(self, account: str, principal_id: str) -> IdentityRecord | None:
        """A principal of ``account`` with what it is allowed."""
        store = self._store
        return store.identity_cache.get(principal_id) or store.fetch(
            store.identity_cache,
            principal_id,
            lambda c: store.identities.load(c, principal_id),
            may_block=self._may_block,
            under=lambda _: identities_name(account),
        )

    def managed_policy(self, account: str, arn: str) -> str | None:
        """The document in force of a managed policy that ``account`` can use."""
        store = self._store
        return store.fetch(
            store.policy_cache,
            f"{account} {arn}",
            lambda c: store.managed_policies.document(c, arn),
            may_block=self._may_block,
            under=lambda _: identities_name(account),
        )

    def grants(self, key: Key, names: Iterable[str], operation: str, make: Callable[[Grant], T]) -> list[T]:
        """The grants of an operation on a key to any of these ARNs or unique IDs, each as ``make`` makes it. They are
        kept by name, so that all sessions of a role have one copy of the role's. The list is not to be changed."""
        store, on = self._store, f"{key.name} {operation} "
        found = {name: store.grant_cache.get(on + name) for name in names}
        missing = [name for name, grants in found.items() if grants is None]
        if missing:
            if not self._may_block:
                raise WouldBlock
            tag, loaded = store.snapshot(lambda c: store.grants.to(c, key, missing, operation))
            for name, grants in loaded.items():
                found[name] = made = list(map(make, grants))
                weight = 1 + sum([1 + len(grant.constraints or "") // _HEAVY for grant in grants])
                store.grant_cache.put(on + name, tag, made, key.name, weight)
        lists = [grants for grants in found.values() if grants]
        return lists[0] if len(lists) == 1 else [grant for grants in lists for grant in grants]

    def grant(self, grant_id: str) -> Grant | None:
        if not self._may_block:
            raise WouldBlock
        with self._store.database.read() as connection:
            return self._store.grants.load(connection, grant_id)


class LockedView:
    def __init__(self, store: Store, txn: Transaction) -> None:
        self._store = store
        self._txn = txn

    def key(self, key_id: str, region: str) -> KeyRecord | None:
        return self._store.keys.load(self._txn.connection, key_id, region)

    def alias(self, account: str, region: str, name: str) -> Alias | None:
        return self._store.aliases.load(self._txn.connection, account, region, name)

    def identity(self, _account: str, principal_id: str) -> IdentityRecord | None:
        return self._store.identities.load(self._txn.connection, principal_id)

    def managed_policy(self, _account: str, arn: str) -> str | None:
        return self._store.managed_policies.document(self._txn.connection, arn)

    def grants(self, key: Key, names: Iterable[str], operation: str, make: Callable[[Grant], T]) -> list[T]:
        found = self._store.grants.to(self._txn.connection, key, list(names), operation)
        return [make(grant) for grants in found.values() for grant in grants]

    def grant(self, grant_id: str) -> Grant | None:
        return self._store.grants.load(self._txn.connection, grant_id)
