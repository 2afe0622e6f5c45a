# SPDX-License-Identifier: Apache-2.0
"""What is backed up is restored, row for row, and works; what is wrong with a file or a place is said before anything
is written there."""

import base64
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from audit_lines import written
from direct import ACCOUNT, Direct
from postgres import fresh_database
from stored import NOTHING, NOW, managed_policy

from keyquorum.app import Service, open_data
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify as verify_audit
from keyquorum.backup import frames, rows
from keyquorum.backup.container import BackupError, Reader, Sealed, Writer, created
from keyquorum.backup.creating import create
from keyquorum.backup.restoring import Options, restore, verify
from keyquorum.config import Settings
from keyquorum.custody import kinds
from keyquorum.custody.seal import RECOVERY, SealError
from keyquorum.model import GROUP, USER, OIDCProvider, Principal
from keyquorum.store import schema, sealed, spent

REGION = "us-east-1"
PASSPHRASE = b"correct horse battery staple"


def all_written(directory: Path) -> list[dict[str, Any]]:
    """The records of every writer."""
    names = sorted(path.name for path in directory.glob("*.jsonl") if path.name != "checkpoints.jsonl")
    return [record for name in names for record in written(directory, name)]


def settings(data: Path, **changes: Any) -> Settings:
    return Settings(data=data, development=True, **changes)


def start(data: Path) -> Direct:
    return Direct(Service(settings(data)))


def started(where: Settings) -> Direct:
    """On PostgreSQL a service that does not follow what other nodes change answers nothing."""
    service = Service(where)
    service.start()
    return Direct(service)


#: Characters that PostgreSQL cannot hold as they are.
ODD = "\0 and \1"


class World:
    """A data directory with something in every table that is backed up, and what its keys promised."""

    def __init__(self, data: Path) -> None:
        self.data = data
        kms = start(data)
        self.keys = [kms.key(Description=ODD), kms.key(), kms.key(MultiRegion=True)]
        self.ciphertexts = [self._encrypted(kms, key_id) for key_id in self.keys]
        self.signer = kms.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        assert kms("RotateKeyOnDemand", KeyId=self.keys[0]).code is None
        self.ciphertexts.append(self._encrypted(kms, self.keys[0]))
        assert kms("ReplicateKey", KeyId=self.keys[2], ReplicaRegion="eu-west-1").code is None
        assert kms("CreateAlias", AliasName="alias/one", TargetKeyId=self.keys[0]).code is None
        root = f"arn:aws:iam::{ACCOUNT}:root"
        assert kms("CreateGrant", KeyId=self.keys[0], GranteePrincipal=root, Operations=["Decrypt"]).code is None
        assert kms("ScheduleKeyDeletion", KeyId=self.keys[1], PendingWindowInDays=30).code is None
        gone = kms.key()
        kms("ScheduleKeyDeletion", KeyId=gone, PendingWindowInDays=7)
        kms.advance(8 * 86_400.0)
        self._people(kms.service)
        # A record whose writer had no time to write it.
        service = kms.service
        service.usage.write()
        with service.database.write() as txn:
            service.store.outbox.add(txn, 7, 0, "waiting", _record(service))
            assert spent.spend(txn, "a session that was ended", NOW + 1e9, NOW)
            service.store.keys.erasures.note(txn, service.store.keys.load(txn.connection, self.keys[0], REGION).key)  # type: ignore[union-attr]  # it is there
        service.close()

    @staticmethod
    def _people(service: Service) -> None:
        store = service.store
        with service.database.write() as txn:
            store.identities.insert(txn, Principal("AGPAALL", ACCOUNT, GROUP, "all", created_at=NOW))
            alice = Principal("AIDAALICE", ACCOUNT, USER, "alice", created_at=NOW, tags=(("a", "ü"),))
            store.identities.insert(txn, alice)
            store.access_keys.insert(
                txn, service.keyring.new_access_key("AKIAALICE", "AIDAALICE", "s" * 40, NOW), alice
            )
            store.managed_policies.insert(txn, managed_policy("one", NOTHING))
            store.providers.insert(txn, OIDCProvider(ACCOUNT, "one.example", ("c",), ("t",), "{}", NOW, ()))
            usage = {"access_key_id": "AKIAALICE", "used_at": 1.5, "service": "kms", "region": REGION}
            txn.connection.execute(sa.insert(schema.access_key_usage).values(usage))

    @staticmethod
    def _encrypted(kms: Direct, key_id: str) -> str:
        return str(kms("Encrypt", KeyId=key_id, Plaintext=b"attack at dawn").body["CiphertextBlob"])

    def check(self, where: Settings) -> None:
        """Everything that was promised holds there."""
        kms = started(where)
        assert kms("DescribeKey", KeyId=self.keys[0]).body["KeyMetadata"]["Description"] == ODD
        assert kms("CancelKeyDeletion", KeyId=self.keys[1]).code is None
        assert kms("EnableKey", KeyId=self.keys[1]).code is None
        for ciphertext in self.ciphertexts:
            answer = kms("Decrypt", CiphertextBlob=base64.b64decode(ciphertext))
            assert base64.b64decode(answer.body["Plaintext"]) == b"attack at dawn"
        assert kms("DescribeKey", KeyId="alias/one").body["KeyMetadata"]["KeyId"] == self.keys[0]
        assert kms("Sign", KeyId=self.signer, Message=b"m", SigningAlgorithm="ECDSA_SHA_256").code is None
        assert len(kms("ListGrants", KeyId=self.keys[0]).body["Grants"]) == 1
        kms.service.stop()


def _record(service: Service) -> bytes:
    from keyquorum.audit import commands

    return commands.entry("Waiting", service.settings, NOW, {}, read_only=False).record


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world") / "data")


@pytest.fixture
def empty(tmp_path: Path, world: World) -> Path:
    """A data directory with nothing but the same seal."""
    data = tmp_path / "restored"
    data.mkdir(mode=0o700)
    shutil.copy2(world.data / "seal.key", data)
    return data


@pytest.fixture
def backup(tmp_path: Path, world: World) -> Path:
    path = tmp_path / "backup"
    create(settings(world.data), path)
    return path


def contents(data: Path, *but: sa.Table) -> dict[str, list[tuple[Any, ...]]]:
    engine = sa.create_engine(f"sqlite:///{data / 'keyquorum.db'}")
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for table in rows.TABLES
            if table not in but
        }
        form = sa.select(schema.wrapped_materials).where(
            schema.wrapped_materials.c.row.in_(sa.select(schema.key_materials.c.wrapped_row))
        )
        found["wrapped"] = sorted(map(tuple, connection.execute(form)))
    engine.dispose()
    return found


def test_every_table_is_carried_or_left_out_on_purpose() -> None:
    assert {*rows.TABLES, *rows.LEFT_OUT} == set(schema.metadata.sorted_tables)
    position = {table: number for number, table in enumerate(rows.TABLES)}
    for table in rows.TABLES:
        for key in table.foreign_keys:
            assert position[key.column.table] <= position[table]


def test_what_was_there_is_there_again_and_works(world: World, empty: Path, backup: Path) -> None:
    before = contents(world.data, schema.audit_outbox)
    assert [name for name, found in before.items() if not found] == []
    found = restore(settings(empty), backup, Options())
    assert found.damage.found == 0
    assert contents(empty, schema.audit_outbox) == before
    assert sorted(found.counts) == sorted(table.name for table in rows.TABLES)
    world.check(settings(empty))


@pytest.mark.slow
def test_to_postgresql_and_back(world: World, empty: Path, backup: Path, tmp_path: Path) -> None:
    """The way from one kind of database to the other: the rows are the same, and everything works in each."""
    second, back = tmp_path / "second", tmp_path / "back"
    back.mkdir(mode=0o700)
    shutil.copy2(empty / "seal.key", back)
    with fresh_database() as url:
        there = settings(empty, database=url)
        restore(there, backup, Options())
        shutil.rmtree(empty / "audit")
        with pytest.raises(BackupError, match="empty"):
            restore(there, backup, Options())
        assert create(there, second).damage.found == 0
        restore(settings(back), second, Options())
        assert contents(back, schema.audit_outbox) == contents(world.data, schema.audit_outbox)
        # What it gives out goes on after what was restored.
        kms = started(there)
        key_id = kms.key()
        answer = kms("Encrypt", KeyId=key_id, Plaintext=b"x")
        assert answer.code is None
        assert kms("Decrypt", CiphertextBlob=base64.b64decode(answer.body["CiphertextBlob"])).code is None
        assert kms.service.rewrapping.rotate() == 2
        kms.service.rewrapping.run(lambda _: None)
        kms.service.stop()
        world.check(there)
    world.check(settings(back))


def test_the_log_begins_with_what_waited_and_with_the_restore(world: World, empty: Path, backup: Path) -> None:
    found = restore(settings(empty), backup, Options())
    records = {record["eventName"]: record for record in all_written(empty / "audit")}
    assert set(records) == {"Waiting", "RestoreBackup"}
    told = records["RestoreBackup"]["serviceEventDetails"]
    assert (told["backupId"], told["backupDigest"]) == (found.header.id, found.digest)
    assert told["lastCheckpoint"] >= 1
    assert Path(world.data / "audit" / "checkpoints.jsonl").read_bytes().count(b"\n") >= told["lastCheckpoint"]
    kms = start(empty)
    report = verify_audit(empty / "audit", Verifier(kms.service.audit.public_key))
    assert (report.problems, report.uncovered) == ([], 0)
    kms.service.close()


def test_the_log_that_was_backed_up_goes_on(world: World, empty: Path, tmp_path: Path) -> None:
    path = tmp_path / "with the log"
    create(settings(world.data), path, with_audit=True)
    before = [record["eventID"] for record in all_written(world.data / "audit")]
    restore(settings(empty), path, Options())
    after = all_written(empty / "audit")
    assert set(before) <= {record["eventID"] for record in after}
    assert sum(record["eventName"] == "RestoreBackup" for record in after) == 1
    kms = start(empty)
    kms.key()
    kms.service.close()
    report = verify_audit(empty / "audit", Verifier(kms.service.audit.public_key))
    assert (report.problems, report.uncovered) == ([], 0)
    assert report.records > len(before) + 1


def test_a_backup_is_recorded_before_it_is_made(world: World, tmp_path: Path) -> None:
    made = create(settings(world.data), tmp_path / "recorded")
    told = [r for r in all_written(world.data / "audit") if r["eventName"] == "CreateBackup"]
    assert made.header.id in [record["serviceEventDetails"]["backupId"] for record in told]


def test_a_passphrase_opens_it_where_there_is_no_seal(world: World, tmp_path: Path) -> None:
    path, data = tmp_path / "backup", tmp_path / "elsewhere"
    create(settings(world.data), path, PASSPHRASE)
    for options in (Options(), Options(PASSPHRASE + b"?")):
        with pytest.raises((SealError, BackupError)):
            restore(settings(data), path, options)
    restore(settings(data), path, Options(PASSPHRASE))
    assert (data / "seal.key").read_bytes() != (world.data / "seal.key").read_bytes()
    world.check(settings(data))


def test_the_recovery_seal_opens_it_when_the_seal_is_lost(world: World, tmp_path: Path) -> None:
    """Neither the machine nor the key file is there any more; two of three shares are. A new key file seals it."""
    data, path, shares = tmp_path / "copy", tmp_path / "backup", tmp_path / "shares"
    shutil.copytree(world.data, data)
    made = kinds.divided(2, 3)
    opened = open_data(settings(data), create=False)
    with opened.database.write() as txn:
        row = opened.root.seal_by(made.seal, RECOVERY)
        sealed.put(txn.connection, sealed.RECOVERY, row, NOW)
    opened.database.close()
    create(settings(data), path)
    shares.touch(mode=0o600)
    shares.write_text("\n".join(made.shares[1:]))
    rescued = settings(tmp_path / "rescued", seal_shares=f"file:{shares}")
    with pytest.raises(SealError):
        restore(rescued, path, Options())
    restore(rescued, path, Options(recovery=True))
    assert (tmp_path / "rescued" / "seal.key").read_bytes() != (data / "seal.key").read_bytes()
    world.check(rescued)
    shares.write_text(made.shares[0])
    with pytest.raises(SealError, match="2 shares are needed"):
        verify(rescued, path, Options(recovery=True))


def test_another_seal_is_refused_and_nothing_is_written(tmp_path: Path, backup: Path) -> None:
    data = tmp_path / "other"
    data.mkdir(mode=0o700)
    (data / "seal.key").touch(mode=0o600)
    (data / "seal.key").write_bytes(os.urandom(32))
    with pytest.raises(SealError):
        restore(settings(data), backup, Options())
    assert os.listdir(data) == ["seal.key"]


def test_what_is_there_is_not_overwritten(world: World, empty: Path, backup: Path) -> None:
    restore(settings(empty), backup, Options())
    before = contents(empty)
    with pytest.raises(BackupError, match="empty"):
        restore(settings(empty), backup, Options())
    shutil.rmtree(empty / "audit")
    with pytest.raises(BackupError, match="empty"):
        restore(settings(empty), backup, Options())
    assert contents(empty) == before
    with pytest.raises(BackupError, match="there already"):
        create(settings(world.data), backup)


@pytest.mark.parametrize("cut", [1, 17, 5000, 70_000])
def test_a_file_that_was_cut_off_is_refused_before_anything_is_written(empty: Path, backup: Path, cut: int) -> None:
    data = backup.read_bytes()
    backup.write_bytes(data[: -min(cut, len(data) - 1)])
    for action in (verify, restore):
        with pytest.raises(BackupError):
            action(settings(empty), backup, Options())
    assert os.listdir(empty) == ["seal.key"]


def rewritten(world: World, backup: Path, change: Callable[[list[frames.Frame]], None], **header: Any) -> None:
    """The backup as a program with the root key, and other ideas, would have written it."""
    opened = open_data(settings(world.data), create=False)
    opened.database.close()
    root = opened.root
    reader = Reader(io.BytesIO(backup.read_bytes()))
    found = list(frames.read(reader.payload(root)))
    change(found)
    backup.unlink()
    with created(backup) as file:
        writer = Writer(file, msgspec.structs.replace(reader.header, **header), root)
        out = frames.Out(writer.write)
        for frame in found[:-1]:
            out.put(frame)
        end = found[-1]
        assert isinstance(end, frames.End)
        out.end(end.counts, end.generation)
        writer.finish()


def test_a_newer_schema_is_refused(world: World, empty: Path, backup: Path) -> None:
    rewritten(world, backup, lambda found: None, schema="9999")
    with pytest.raises(BackupError, match="newer version"):
        restore(settings(empty), backup, Options())
    assert os.listdir(empty) == ["seal.key"]


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop(next(n for n, f in enumerate(found) if isinstance(f, frames.Row))),
        lambda found: found.insert(0, frames.Row([1])),
        lambda found: found.insert(-1, frames.Table("sqlite_master", ["sql"])),
        lambda found: found.insert(-1, frames.Data(b"x")),
        lambda found: found.insert(-1, frames.File("0.jsonl", 1)),
    ],
    ids=["a row less", "a row of no table", "a foreign table", "data of no file", "a file that is not there"],
)
def test_what_does_not_hang_together_is_refused(
    world: World, empty: Path, backup: Path, change: Callable[[list[frames.Frame]], None]
) -> None:
    rewritten(world, backup, change)
    with pytest.raises(BackupError):
        restore(settings(empty), backup, Options())
    assert os.listdir(empty) == ["seal.key"]


def test_a_file_has_no_way_out_of_the_audit_directory(world: World, empty: Path, backup: Path) -> None:
    rewritten(world, backup, lambda found: found.insert(-1, frames.File("../seal.key", 0)))
    key = (empty / "seal.key").read_bytes()
    with pytest.raises(BackupError, match="none of the audit log"):
        restore(settings(empty), backup, Options())
    assert (empty / "seal.key").read_bytes() == key
    assert contents(empty)["keys"] == []
    assert not (empty / "audit").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE keys SET version = version + 1",
        "UPDATE key_policies SET document = '{}'",
        "UPDATE keys SET description = 5",
        "UPDATE grants SET operations = CAST(x'ff' AS TEXT)",
        "UPDATE wrapped_materials SET wrapped = zeroblob(length(wrapped))",
        "UPDATE access_keys SET wrapped_secret = zeroblob(5)",
        "UPDATE key_materials SET wrapped_row = 99999",
        "DELETE FROM wrapped_materials",
    ],
)
def test_what_was_tampered_with_is_said_and_stays_useless(tmp_path: Path, world: World, statement: str) -> None:
    """The rest can be restored, and the rows give nobody a right afterwards."""
    data, path, restored = tmp_path / "tampered", tmp_path / "b", tmp_path / "restored"
    shutil.copytree(world.data, data)
    engine = sa.create_engine(f"sqlite:///{data / 'keyquorum.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
    made = create(settings(data), path)
    assert made.damage.found > 0
    assert verify(settings(data), path, Options()).damage.found > 0
    restored.mkdir(mode=0o700)
    shutil.copy2(data / "seal.key", restored)
    restore(settings(restored), path, Options())
    if "access_keys" not in statement and "grants" not in statement:
        kms = start(restored)
        assert kms("Encrypt", KeyId=world.keys[0], Plaintext=b"x").code == "KMSInternalException"
        kms.service.close()


def test_an_interrupted_restore_has_left_nothing(world: World, empty: Path, backup: Path) -> None:
    """A row that the database refuses, at the very end."""

    def twice(found: list[frames.Frame]) -> None:
        last = max(number for number, frame in enumerate(found) if isinstance(frame, frames.Row))
        found.insert(last, found[last])
        end = found[-1]
        assert isinstance(end, frames.End)
        found[-1] = frames.End({**end.counts, "audit_outbox": end.counts["audit_outbox"] + 1}, end.generation, "")

    good = backup.read_bytes()
    rewritten(world, backup, twice)
    with pytest.raises(Exception, match="stands in the way"):
        restore(settings(empty), backup, Options())
    assert all(not found for found in contents(empty).values())
    backup.write_bytes(good)
    restore(settings(empty), backup, Options())
    world.check(settings(empty))


def test_numbers_of_changes_do_not_fall(world: World, empty: Path, backup: Path) -> None:
    """A process that maps the host's counters must not take what it knew for newer than what was restored."""
    found = restore(settings(empty), backup, Options())
    kms = start(empty)
    with kms.service.database.read() as connection:
        assert connection.execute(sa.select(schema.generation.c.value)).scalar_one() > found.generation
    assert kms.service.database.generations.highest() > found.generation
    kms.service.close()


def test_a_header_says_nothing_secret(world: World, backup: Path) -> None:
    reader = Reader(io.BytesIO(backup.read_bytes()))
    assert isinstance(reader.header.seal, Sealed)
    assert reader.header.passphrase is None
    data = backup.read_bytes()
    assert ACCOUNT.encode() not in data
    assert world.keys[0].encode() not in data
