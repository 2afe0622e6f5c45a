# SPDX-License-Identifier: Apache-2.0
"""A data directory of schema revision 0001 opens under this one: its users keep their access keys and policies, its
keys theirs, and every row its MAC."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from people import Inside, Person, allow, document
from servers import ACCOUNT, REGION, Access, code_of

from keyquorum import bootstrap
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.crypto.xaes import NONCE_SIZE, XAES256GCM
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import FileSeal, create_key_file
from keyquorum.keyring import Keyring
from keyquorum.layout import DataDirectory
from keyquorum.store import migrate, schema
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations
from keyquorum.store.rowmac import RowMAC
from keyquorum.store.sqlite import SQLite

KEY: Final = "1234abcd-12ab-34cd-56ef-1234567890ab"
NOW: Final = 1_700_000_000.0
ALICE, BOB, CAROL = Person("alice"), Person("bob"), Person("carol")
#: A user of revision 0001 had one inline policy, without a name.
OF_ALICE: Final = document(allow(["kms:Encrypt", "kms:DescribeKey"]))
OF_KEY: Final = document(
    allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), allow("kms:Decrypt", Principal={"AWS": BOB.arn})
)


class Old:
    """A database as the program of revision 0001 wrote it: its tables are read from the file, not from today's code."""

    def __init__(self, database: Database, mac: RowMAC) -> None:
        self._database, self._mac = database, mac
        self._tables = sa.MetaData()
        with database.read() as connection:
            self._tables.reflect(connection)

    def insert(self, table_name: str, /, **row: Any) -> None:
        table = self._tables.tables[table_name]
        sealed = "mac" in table.columns
        with self._database.write() as txn:
            values = self._mac.seal(table, {**row, "version": 1}) if sealed else row
            assert set(values) <= set(table.columns.keys())
            txn.connection.execute(sa.insert(table).values(values))

    def fill(self, keyring: Keyring) -> None:
        self._principal(keyring, "Root", "Root", Access("AKIAROOT000000000000", "secret-of-root"))
        for person in (ALICE, BOB, CAROL):
            self._principal(keyring, "IAMUser", person.name, person.access, OF_ALICE if person is ALICE else None)
        self._key(keyring)
        place = {"key_id": KEY, "region": REGION}
        self.insert("key_policies", **place, name="default", document=OF_KEY)
        self.insert("aliases", **place, account=ACCOUNT, name="alias/old", created_at=NOW, updated_at=NOW)
        self.insert(
            "grants",
            **place,
            grant_id="a" * 64,
            name=None,
            grantee=CAROL.arn,
            retiring=BOB.arn,
            issuing_account=ACCOUNT,
            operations='["GenerateMac","Encrypt"]',
            constraints=None,
            created_at=NOW,
            grantee_is_service=0,
            retiring_is_service=0,
        )

    def _principal(self, keyring: Keyring, kind: str, name: str, access: Access, policy: str | None = None) -> None:
        unique_id = f"AIDA{name.upper()}"
        self.insert("principals", principal_id=unique_id, account=ACCOUNT, kind=kind, name=name, policy=policy)
        made = keyring.new_access_key(access.key_id, unique_id, access.secret, NOW)
        names = ("access_key_id", "principal_id", "keyring_version", "wrapped_secret", "created_at")
        self.insert("access_keys", **{name: getattr(made, name) for name in names})

    def _key(self, keyring: Keyring) -> None:
        material = keyring.wrap_material(KEY, REGION, bytes(32), NOW)
        self.insert("wrapped_materials", row=1, wrapped=material.wrapped)
        self.insert(
            "keys",
            key_id=KEY,
            region=REGION,
            account=ACCOUNT,
            spec="SYMMETRIC_DEFAULT",
            usage="ENCRYPT_DECRYPT",
            origin="AWS_KMS",
            state="Enabled",
            description="",
            created_at=NOW,
            material_id=material.material_id,
            on_demand_rotations=0,
            tags="[]",
        )
        self.insert(
            "key_materials",
            key_id=KEY,
            region=REGION,
            material_id=material.material_id,
            state="CURRENT",
            keyring_version=material.keyring_version,
            wrapped_row=1,
            created_at=NOW,
        )


def upgrade_to_0001(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = DataDirectory(tmp_path)
    create_key_file(directory.seal_key)
    database = SQLite(directory.database, Generations(directory.generations))
    database.execute_script(upgrade_to_0001)
    key, nonce = RootKey.generate(), os.urandom(NONCE_SIZE)
    sealed = nonce + XAES256GCM(directory.seal_key.read_bytes()).encrypt(nonce, key, b"keyquorum root key")
    root = RootKey(key)
    version, wrapped = Keyring.first_key(root)
    with database.write() as txn:
        txn.connection.exec_driver_sql("INSERT INTO root_keys VALUES (1, ?, ?)", (sealed, NOW))
        txn.connection.exec_driver_sql("INSERT INTO keyring_keys VALUES (?, ?, ?)", (version, wrapped, NOW))
    Old(database, RowMAC(root.derive("row mac"))).fill(Keyring(root, {version: wrapped}))
    database.close()
    return tmp_path


@contextmanager
def opened(data: Path) -> Iterator[Inside]:
    service = Service(Settings(data=data))
    assert service.new_access_key is None  # the account keeps its root
    try:
        yield Inside(service)
    finally:
        service.close()


@pytest.fixture
def upgraded(data: Path) -> Iterator[Inside]:
    with opened(data) as inside:
        yield inside


def test_every_row_keeps_its_mac(upgraded: Inside, data: Path) -> None:
    """Read by the tables of today, and by a MAC made anew."""
    database = upgraded.service.database
    root, _ = bootstrap.open_root(database, FileSeal(DataDirectory(data).seal_key))
    mac, checked = RowMAC(root.derive("row mac")), set()
    with database.read() as connection:
        for table in schema.metadata.sorted_tables:
            if "mac" in table.columns:
                for row in connection.execute(sa.select(table)).mappings():
                    mac.check(table, row)
                    checked.add(table.name)
    assert {"principals", "access_keys", "keys", "key_materials", "key_policies", "aliases", "grants"} <= checked


def test_users_keep_their_access_keys_and_their_policy(upgraded: Inside) -> None:
    alice, iam = upgraded.by(ALICE), upgraded.root("iam")
    assert alice.encrypt(KeyId="alias/old", Plaintext=b"x")["KeyId"].endswith(KEY)
    assert code_of(alice.disable_key, KeyId=KEY) == "AccessDeniedException"
    (name,) = iam.list_user_policies(UserName=ALICE.name)["PolicyNames"]
    assert iam.get_user_policy(UserName=ALICE.name, PolicyName=name)["PolicyDocument"] == json.loads(OF_ALICE)
    assert iam.list_user_policies(UserName=BOB.name)["PolicyNames"] == []
    (access_key,) = iam.list_access_keys(UserName=ALICE.name)["AccessKeyMetadata"]
    assert (access_key["AccessKeyId"], access_key["Status"]) == (ALICE.access.key_id, "Active")


def test_keys_keep_their_policies_and_grants(upgraded: Inside) -> None:
    """What names somebody there has no unique ID, and goes by the ARN."""
    kms, bob, carol = upgraded.root("kms"), upgraded.by(BOB), upgraded.by(CAROL)
    assert kms.get_key_policy(KeyId=KEY)["Policy"] == OF_KEY
    blob = carol.encrypt(KeyId=KEY, Plaintext=b"x")["CiphertextBlob"]
    assert bob.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert code_of(carol.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    assert code_of(bob.encrypt, KeyId=KEY, Plaintext=b"x") == "AccessDeniedException"
    (grant,) = kms.list_grants(KeyId=KEY)["Grants"]
    assert (grant["GranteePrincipal"], grant["RetiringPrincipal"]) == (CAROL.arn, BOB.arn)
    bob.retire_grant(KeyId=kms.describe_key(KeyId=KEY)["KeyMetadata"]["Arn"], GrantId=grant["GrantId"])
    assert code_of(carol.encrypt, KeyId=KEY, Plaintext=b"x") == "AccessDeniedException"


def test_what_is_changed_then_is_kept_too(data: Path) -> None:
    with opened(data) as upgraded:
        iam = upgraded.root("iam")
        more = document(allow("kms:DisableKey"))
        iam.put_user_policy(UserName=ALICE.name, PolicyName="more", PolicyDocument=more)
        iam.update_access_key(UserName=CAROL.name, AccessKeyId=CAROL.access.key_id, Status="Inactive")
        upgraded.root("kms").put_key_policy(KeyId=KEY, Policy=OF_KEY)  # binds Bob to his unique ID
    with opened(data) as again:
        assert len(again.root("iam").list_user_policies(UserName=ALICE.name)["PolicyNames"]) == 2
        blob = again.by(ALICE).encrypt(KeyId=KEY, Plaintext=b"x")["CiphertextBlob"]
        assert again.by(BOB).decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        assert code_of(again.by(CAROL).encrypt, KeyId=KEY, Plaintext=b"x") == "UnrecognizedClientException"
        again.by(ALICE).disable_key(KeyId=KEY)
