# SPDX-License-Identifier: Apache-2.0
"""Databases, and a store with one of everything that it can hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keyquorum.authz.policy import default_key_policy
from keyquorum.custody.root import RootKey
from keyquorum.keyring import Keyring
from keyquorum.model import ROOT, USER, AccessKey, Alias, Grant, Key, KeyMaterial, Principal
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


def new_material(ring: Keyring, key_id: str, secret: bytes | None = None, region: str = REGION) -> KeyMaterial:
    """Wrapped key material of a symmetric encryption key; random without ``secret``."""
    return ring.wrap_material(key_id, region, secret or ring.generate("SYMMETRIC_DEFAULT"), NOW)


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
    material = new_material(ring, key_id)
    made = key(key_id, material, **changes)
    with store.database.write() as txn:
        store.keys.insert(txn, made, [material], default_key_policy(ACCOUNT))
    return made


def grant(grant_id: str, key_id: str, **changes: object) -> Grant:
    return Grant(
        **{  # type: ignore[arg-type]  # a test names what differs
            "grant_id": grant_id,
            "key_id": key_id,
            "region": REGION,
            "name": "n",
            "grantee": f"arn:aws:iam::{ACCOUNT}:user/alice",
            "retiring": f"arn:aws:iam::{ACCOUNT}:user/bob",
            "issuing_account": ACCOUNT,
            "operations": ("Decrypt", "Encrypt"),
            "constraints": '{"EncryptionContextSubset":{"a":"b"}}',
            "created_at": NOW,
            **changes,
        }
    )


class Filled(NamedTuple):
    store: Store
    keyring: Keyring
    one: Key


def fill(opened: Database) -> Filled:
    """Two keys with an alias and a grant each, and two principals with an access key each; and a key that is gone.

    No column that may be null is.
    """
    store, ring = Store(opened, MAC), keyring()
    optional = {"primary_region": REGION, "pending_window": 7, "rotation_period": 365, "next_rotation": NOW}
    keys = [
        insert_key(store, ring, f"key-{name}", deletion_date=NOW, state="PendingDeletion", description="d", **optional)
        for name in ("one", "two")
    ]
    with opened.write() as txn:
        for each in keys:
            for material in store.keys.materials.load(txn.connection, each.key_id, REGION).values():
                store.keys.materials.update(
                    txn, material, rotated_at=NOW, rotation_type="ON_DEMAND", valid_to=NOW, description="d"
                )
    for name in ("one", "two"):
        with opened.write() as txn:
            store.aliases.insert(txn, Alias(ACCOUNT, REGION, f"alias/{name}", f"key-{name}", NOW, NOW))
            store.grants.insert(txn, grant(f"grant-{name}", f"key-{name}"))
    gone = insert_key(store, ring, "key-gone")
    with opened.write() as txn:
        store.keys.delete(txn, gone, NOW)
    for kind, name in ((ROOT, ROOT), (USER, "alice")):
        principal = Principal(f"AIDA{name.upper()}", ACCOUNT, kind, name, '{"Statement": []}')
        access_key: AccessKey = ring.new_access_key(f"AKIA{name.upper()}", principal.principal_id, "s" * 40, NOW)
        with opened.write() as txn:
            store.identities.insert_principal(txn, principal)
            store.identities.insert_access_key(txn, access_key)
    return Filled(store, ring, keys[0])
