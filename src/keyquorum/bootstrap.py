# SPDX-License-Identifier: Apache-2.0
"""What a server finds or makes at its start: root key, keyring, the account's root. Every step looks first and writes
under the write lock, so that two servers may start on one empty data directory at once."""

import logging

import sqlalchemy as sa

from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import Seal
from keyquorum.keyring import Keyring, new_access_key_id, new_secret, new_unique_id
from keyquorum.model import ROOT, USER, AccessKey, Principal
from keyquorum.store import roots, schema
from keyquorum.store.engine import Database, Transaction
from keyquorum.store.store import Store

_log = logging.getLogger(__name__)


def has_root(database: Database) -> bool:
    """Whether there is a root key; a database without any tables has none."""
    with database.read() as connection:
        return sa.inspect(connection).has_table(schema.root_keys.name) and roots.sealed_root(connection) is not None


def create_root(database: Database, seal: Seal, now: float) -> None:
    """Make root key and first keyring key, unless another process has."""
    with database.write() as txn:
        if roots.sealed_root(txn.connection) is None:
            key = RootKey.generate()
            roots.insert_root(txn.connection, seal.seal(key), now)
            roots.insert_keyring_key(txn.connection, *Keyring.first_key(RootKey(key)), now)


def open_root(database: Database, seal: Seal) -> tuple[RootKey, Keyring]:
    """Raises SealError if the seal does not open the root key."""
    with database.read() as connection:
        sealed, wrapped = roots.sealed_root(connection), roots.keyring_keys(connection)
    root = RootKey(seal.open(sealed or b""))
    return root, Keyring(root, wrapped)


def ensure_account(txn: Transaction, store: Store, keyring: Keyring, account: str, now: float) -> AccessKey | None:
    """Make the account's root and its access key; the latter, or None if the account is there already.

    Both are made at once, and before anything else of the account, or never: a root that has lost its access key, or an
    account that has lost its root, does not get another one by starting again, for whoever can remove the rows would
    then read the new secret where the start is logged.
    """
    if store.identities.principal(txn.connection, account, ROOT, ROOT) is not None:
        return None
    if store.keys.any_of(txn.connection, account):
        _log.error("account %s has keys and has lost its root; no other is made", account)
        return None
    root = Principal(new_unique_id(USER), account, ROOT, ROOT, created_at=now)
    store.identities.insert(txn, root)
    access_key = keyring.new_access_key(new_access_key_id(), root.principal_id, new_secret(), now)
    store.access_keys.insert(txn, access_key, root)
    return access_key


def empty(store: Store) -> None:
    """Remove everything but the root key and the keyring; for development only."""
    kept = {schema.root_keys, schema.keyring_keys, schema.generation, schema.schema_compatibility}
    with store.database.write() as txn:
        txn.touch_everything()
        for table in reversed(schema.metadata.sorted_tables):
            if table not in kept:
                txn.connection.execute(sa.delete(table))
