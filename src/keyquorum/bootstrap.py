# SPDX-License-Identifier: Apache-2.0
"""What a server finds or makes at its start: root key, keyring, the account's root. Every step looks first and writes
under the write lock, so that two servers may start on one empty data directory at once."""

import logging
from collections.abc import Callable

import sqlalchemy as sa

from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import RECOVERY, Seal, SealError
from keyquorum.keyring import Keyring, new_access_key_id, new_secret, new_unique_id
from keyquorum.model import ROOT, USER, AccessKey, Principal, SealedRoot
from keyquorum.store import roots, schema, sealed
from keyquorum.store.engine import Database, Transaction
from keyquorum.store.store import Store

_log = logging.getLogger(__name__)


def has_root(database: Database) -> bool:
    """Whether there is a root key; a database without any tables has none."""
    return sealed_root(database) is not None


def sealed_root(database: Database, root_id: int = sealed.IN_USE) -> SealedRoot | None:
    """The row of the seal in use, or of the recovery seal; a database without any tables has none."""
    with database.read() as connection:
        return sealed.read(connection, root_id)


def create_root(database: Database, seal: Callable[[], Seal], now: float, root: RootKey | None = None) -> bool:
    """Make root key and first keyring key, unless another process has; whether they were made."""
    with database.write() as txn:
        return put_root(txn, seal, now, root or RootKey(RootKey.generate()))


def put_root(
    txn: Transaction, seal: Callable[[], Seal], now: float, root: RootKey, recovery: Seal | None = None
) -> bool:
    """As ``create_root``. The seal is made only where it is needed: of nodes that start on one empty database at once,
    one has a key file then, and the others have none that opens nothing."""
    if sealed.read(txn.connection) is not None:
        return False
    sealed.put(txn.connection, sealed.IN_USE, root.seal_by(seal()), now)
    if recovery is not None:
        sealed.put(txn.connection, sealed.RECOVERY, root.seal_by(recovery, RECOVERY), now)
    roots.insert_keyring_key(txn.connection, *Keyring.first_key(root), now)
    return True


def open_root(database: Database, seal: Seal) -> tuple[RootKey, Keyring]:
    """Raises SealError if the seal does not open the root key, IntegrityError if that opens no keyring."""
    row = sealed_root(database)
    if row is None:
        raise SealError("the database has no root key")
    root = RootKey(seal.open(row))
    return root, open_keyring(database, root)


def open_keyring(database: Database, root: RootKey) -> Keyring:
    source = roots.KeyringKeys(database)
    return Keyring(root, source.load(), source)


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
