# SPDX-License-Identifier: Apache-2.0
"""Databases, and a store with one of everything that it can hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keyquorum.authz.policy import default_key_policy
from keyquorum.custody.root import RootKey
from keyquorum.keyring import Keyring
from keyquorum.model import ROOT, USER, AccessKey, Alias, Key, KeyMaterial, Principal
from keyquorum.store import migrate
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations
from keyquorum.store.rowmac import RowMAC
from keyquorum.store.store import Store

ACCOUNT = "111122223333"
REGION = "us-east-1"
NOW = 1_700_000_000.0
ROOT_KEY = RootKey(bytes(range(32)))
MAC = RowMAC(ROOT_KEY.derive("row mac"))


@contextmanager
def database(path: Path | None, timeout: float = 5.0) -> Iterator[Database]:
    """The database in a directory, as one process opens it, or one in memory."""
    opened = _open(path, timeout)
    migrate.upgrade(opened)
    yield opened
    opened.close()


def _open(path: Path | None, timeout: float) -> Database:
    if path is None:
        return Database(None, Generations(None), timeout)
    return Database(path / "keyquorum.db", Generations(path / "generations"), timeout)


def keyring() -> Keyring:
    return Keyring(ROOT_KEY, dict([Keyring.first_key(ROOT_KEY)]))


def key(key_id: str, material: KeyMaterial, **changes: object) -> Key:
    return Key(
        **{  # type: ignore[arg-type]  # a test names what differs
            "key_id": key_id,
            "account": ACCOUNT,
            "region": REGION,
            "spec": "SYMMETRIC_DEFAULT",
            "usage": "ENCRYPT_DECRYPT",
            "origin": "AWS_KMS",
            "state": "Enabled",
            "description": "",
            "created_at": NOW,
            "material_id": material.material_id,
            **changes,
        }
    )


def insert_key(store: Store, ring: Keyring, key_id: str, **changes: object) -> Key:
    material = ring.new_material(key_id, "SYMMETRIC_DEFAULT", NOW)
    made = key(key_id, material, **changes)
    with store.database.write() as txn:
        store.keys.insert(txn, made, material, default_key_policy(ACCOUNT))
    return made


class Filled(NamedTuple):
    store: Store
    keyring: Keyring


def fill(opened: Database) -> Filled:
    """Two keys with an alias each, and two principals with an access key each."""
    store, ring = Store(opened, MAC), keyring()
    for name in ("one", "two"):
        insert_key(
            store, ring, f"key-{name}", deletion_date=NOW, state="PendingDeletion", description="d", tags=(("a", name),)
        )
        with opened.write() as txn:
            store.aliases.insert(txn, Alias(ACCOUNT, REGION, f"alias/{name}", f"key-{name}", NOW, NOW))
    for kind, name in ((ROOT, ROOT), (USER, "alice")):
        principal = Principal(f"AIDA{name.upper()}", ACCOUNT, kind, name, '{"Statement": []}')
        access_key: AccessKey = ring.new_access_key(f"AKIA{name.upper()}", principal.principal_id, "s" * 40, NOW)
        with opened.write() as txn:
            store.identities.insert_principal(txn, principal)
            store.identities.insert_access_key(txn, access_key)
    return Filled(store, ring)
