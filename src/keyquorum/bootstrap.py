# SPDX-License-Identifier: Apache-2.0
"""What a server finds or makes at its start: root key, keyring, the account's root, the seed. Every step looks first
and writes under the write lock, so that two servers may start on one empty data directory at once."""

import logging

import sqlalchemy as sa

from keyquorum import lifecycle
from keyquorum.authz.policy import default_key_policy
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import Seal
from keyquorum.errors import IncorrectKeyMaterialException, UnsupportedOperationException
from keyquorum.keyring import Keyring, new_access_key_id, new_principal_id, new_secret
from keyquorum.model import ROOT, USER, AccessKey, Alias, Key, Principal
from keyquorum.seed import Seed, SeedError, SeedKey, SeedUser
from keyquorum.specs import ENCRYPT_DECRYPT
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
    root = Principal(new_principal_id(), account, ROOT, ROOT)
    store.identities.insert_principal(txn, root)
    access_key = keyring.new_access_key(new_access_key_id(), root.principal_id, new_secret(), now)
    store.identities.insert_access_key(txn, access_key)
    return access_key


def apply_seed(store: Store, keyring: Keyring, seed: Seed, account: str, region: str, now: float) -> None:
    """Make what the seed names and is not there; ``account`` and ``region`` are the defaults. All of it, or nothing."""
    with store.database.write() as txn:
        for entry in seed.account:
            ensure_account(txn, store, keyring, entry.id, now)
        for user in seed.user:
            _apply_user(txn, store, keyring, user, user.account or account, now)
        for number, key in enumerate(seed.key, 1):
            try:
                _apply_key(txn, store, keyring, key, key.account or account, key.region or region, now)
            except (IncorrectKeyMaterialException, UnsupportedOperationException) as error:
                problem = error.message or f"is no key material for spec {key.spec}"
                raise SeedError(f"the seed file, [[key]] number {number}, material: {problem}") from error


def _apply_user(txn: Transaction, store: Store, keyring: Keyring, user: SeedUser, account: str, now: float) -> None:
    ensure_account(txn, store, keyring, account, now)
    principal = store.identities.principal(txn.connection, account, USER, user.name)
    if principal is None:
        principal = Principal(new_principal_id(), account, USER, user.name, user.policy)
        store.identities.insert_principal(txn, principal)
    if store.identities.access_key(txn.connection, user.access_key_id) is None:
        access_key = keyring.new_access_key(user.access_key_id, principal.principal_id, user.secret_access_key, now)
        store.identities.insert_access_key(txn, access_key)


def _apply_key(
    txn: Transaction, store: Store, keyring: Keyring, seed: SeedKey, account: str, region: str, now: float
) -> None:
    if not store.keys.is_taken(txn.connection, seed.id):
        ensure_account(txn, store, keyring, account, now)
        material = None
        if seed.material is not None:
            secret = keyring.parse_material(seed.spec, bytes.fromhex(seed.material))
            material = keyring.wrap_material(seed.id, region, secret, now)
        elif seed.origin == "AWS_KMS":
            material = keyring.wrap_material(seed.id, region, keyring.generate(seed.spec), now)
        key = Key(
            key_id=seed.id,
            account=account,
            region=region,
            spec=seed.spec,
            usage=seed.usage or ENCRYPT_DECRYPT,
            origin=seed.origin,
            state=seed.state if material is not None else lifecycle.PENDING_IMPORT,
            description=seed.description,
            created_at=now,
            material_id=material.material_id if material is not None else "",
            deletion_date=None if seed.deletion_date is None else seed.deletion_date.timestamp(),
            tags=tuple(sorted(seed.tags.items())),
        )
        store.keys.insert(txn, key, [material] if material else [], seed.policy or default_key_policy(account))
    record = store.keys.load(txn.connection, seed.id, region)
    if record is None:
        return  # deleted since: a key ID is never used again, and its aliases went with it
    place = (record.key.account, record.key.region)
    for name in seed.aliases:
        if store.aliases.load(txn.connection, *place, name) is None:
            store.aliases.insert(txn, Alias(*place, name, seed.id, now, now))


def empty(store: Store) -> None:
    """Remove everything but the root key and the keyring; for development only."""
    kept = {schema.root_keys, schema.keyring_keys, schema.generation}
    with store.database.write() as txn:
        txn.touch_everything()
        for table in reversed(schema.metadata.sorted_tables):
            if table not in kept:
                txn.connection.execute(sa.delete(table))
