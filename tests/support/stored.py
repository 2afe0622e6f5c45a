# SPDX-License-Identifier: Apache-2.0
"""Databases, and a store with one of everything that it can hold."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from postgres import fresh_database

from keyquorum.authz.authorize import AuthorizedKey, authorize
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.authz.policy import default_key_policy
from keyquorum.custody.root import RootKey
from keyquorum.errors import IntegrityError
from keyquorum.keyring import Keyring
from keyquorum.model import (
    GROUP,
    ROOT,
    USER,
    Alias,
    Grant,
    Key,
    KeyMaterial,
    KeyRecord,
    ManagedPolicy,
    OIDCProvider,
    PolicyVersion,
    Principal,
    ResourcePolicy,
)
from keyquorum.store import migrate, schema
from keyquorum.store.engine import Database, Transaction
from keyquorum.store.generations import Generations
from keyquorum.store.postgresql import PostgreSQL
from keyquorum.store.rowmac import RowMAC
from keyquorum.store.sqlite import SQLite
from keyquorum.store.store import Store

ACCOUNT = "111122223333"
REGION = "us-east-1"
NOW = 1_700_000_000.0
ROOT_KEY = RootKey(bytes(range(32)))
NOTHING = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
MAC = RowMAC(ROOT_KEY.derive("row mac"))
ALLOWED = Decision(True, Reason.ALLOWED, Source.RESOURCE)


@contextmanager
def database(path: Path | None, timeout: float = 5.0) -> Iterator[Database]:
    """SQLite's in a directory, as one process opens it, or one in memory."""
    if path is None:
        opened = SQLite(None, Generations(None), timeout)
    else:
        opened = SQLite(path / "keyquorum.db", Generations(path / "generations"), timeout)
    with ready(opened):
        yield opened


@contextmanager
def on_postgresql(url: str, timeout: float = 5.0, path: Path | None = None) -> Iterator[PostgreSQL]:
    """PostgreSQL, as a node opens it that has it to itself; the processes in ``path`` are one node."""
    opened = PostgreSQL(url, Generations(None if path is None else path / "generations"), timeout)
    with ready(opened):
        yield opened


@contextmanager
def ready(opened: Database) -> Iterator[None]:
    """With its schema."""
    migrate.upgrade(opened)
    try:
        yield
    finally:
        opened.close()


@contextmanager
def of_kind(kind: str, path: Path) -> Iterator[Database]:
    """An empty database: ``file`` and ``memory`` are SQLite's, ``postgresql`` is the other."""
    if kind == "postgresql":
        with fresh_database() as url, on_postgresql(url, path=path) as shared:
            yield shared
    else:
        with database(path if kind == "file" else None) as own:
            yield own


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


def authorized(record: KeyRecord) -> AuthorizedKey:
    """The proof for whatever a test is about to do."""
    return authorize(record, ALLOWED)


def insert_key(store: Store, ring: Keyring, key_id: str, **changes: object) -> Key:
    material = new_material(ring, key_id)
    made = key(key_id, material, **changes)
    with store.database.write() as txn:
        store.keys.insert(txn, made, [material], ResourcePolicy(default_key_policy(ACCOUNT), {}))
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
            "grantee_id": "AIDAALICE",
            "retiring_id": "AIDABOB",
            **changes,
        }
    )


def managed_policy(name: str, document: str, **changes: object) -> ManagedPolicy:
    return ManagedPolicy(
        **{  # type: ignore[arg-type]  # a test names what differs
            "policy_id": f"ANPA{name.upper()}",
            "account": ACCOUNT,
            "name": name,
            "path": "/",
            "description": "d",
            "created_at": NOW,
            "updated_at": NOW,
            "versions": (PolicyVersion("v1", document, NOW),),
            "default_version": "v1",
            **changes,
        }
    )


class Filled(NamedTuple):
    store: Store
    keyring: Keyring
    one: Key

    @property
    def on_postgresql(self) -> bool:
        return self.store.database.shared


class _Held:
    """A database as one transaction sees it that never commits, whoever reads or writes."""

    def __init__(self, database: Database, txn: Transaction) -> None:
        self.generations, self.shared = database.generations, database.shared
        self._txn = txn

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        yield self._txn.connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        try:
            with self._txn.connection.begin_nested():
                yield self._txn
        except sa.exc.IntegrityError as error:
            raise IntegrityError("a row stands in the way of a change") from error


class _Undone(Exception):
    pass


@contextmanager
def undone(filled: Filled) -> Iterator[Filled]:
    """The same store, and whatever becomes of it is taken back at the end: so that many tests have one database."""
    database = filled.store.database
    with suppress(_Undone), database.write() as txn:
        if database.shared:
            driver: Any = txn.connection.connection.dbapi_connection
            driver.prepare_threshold = None  # a table that another takes the place of would be a new one to a plan
        held = cast(Database, _Held(database, txn))
        yield filled._replace(store=Store(held, MAC))
        raise _Undone


def fill(opened: Database) -> Filled:
    """Two keys with an alias and a grant each, two principals with an access key each, two managed policies, two
    providers; and a key that is gone.

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
            store.managed_policies.insert(txn, managed_policy(name, NOTHING, tags=(("a", "b"),)))
            store.providers.insert(
                txn, OIDCProvider(ACCOUNT, f"{name}.example", ("c",), ("t",), "{}", NOW, (("a", "b"),))
            )
    gone = insert_key(store, ring, "key-gone")
    with opened.write() as txn:
        store.keys.delete(txn, gone, NOW)
    with opened.write() as txn:
        store.identities.insert(txn, Principal("AGPAALL", ACCOUNT, GROUP, "all", created_at=NOW))
    for kind, name in ((ROOT, ROOT), (USER, "alice")):
        _insert_principal(store, ring, opened, kind, name)
    return Filled(store, ring, keys[0])


def _insert_principal(store: Store, ring: Keyring, opened: Database, kind: str, name: str) -> None:
    """All that a principal can have, though no kind of it has all; and with what revision 0001 wrote."""
    principal = Principal(
        principal_id=f"AIDA{name.upper()}",
        account=ACCOUNT,
        kind=kind,
        name=name,
        created_at=NOW,
        tags=(("a", "b"),),
        inline=(("p", NOTHING),),
        attached=(f"arn:aws:iam::{ACCOUNT}:policy/one",),
        boundary=f"arn:aws:iam::{ACCOUNT}:policy/two",
        member_of=("AGPAALL",),
        trust=ResourcePolicy(NOTHING, {"arn": "id"}),
        description="d",
    )
    made = ring.new_access_key(f"AKIA{name.upper()}", principal.principal_id, "s" * 40, NOW)
    table = schema.principals
    with opened.write() as txn:
        store.identities.insert(txn, principal)
        this = table.c.principal_id == principal.principal_id
        row = dict(txn.connection.execute(sa.select(table).where(this)).mappings().one())
        txn.connection.execute(sa.update(table).where(this).values(MAC.seal(table, {**row, "policy": NOTHING})))
        store.access_keys.insert(txn, msgspec.structs.replace(made, public_key=b"public"), principal)
